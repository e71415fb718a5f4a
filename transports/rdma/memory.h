/* SPDX-License-Identifier: MIT
 *
 * memory.h -- packets and transfers, reused: an endpoint that has warmed up allocates nothing.
 */
#ifndef DTR_RDMA_MEMORY_H
#define DTR_RDMA_MEMORY_H

#include "rdma/rdma.h"

struct packet *packet_new(struct rdma *rdma); /* NULL: out of memory, or it cannot be registered */
void packet_free(struct rdma *rdma, struct packet *packet);
void packet_append(struct packet_queue *queue, struct packet *packet);
struct packet *packet_take(struct packet_queue *queue); /* the first, or NULL */

/* Zeroed and among its peer's; NULL: out of memory. */
struct dtr_transfer *transfer_new(struct rdma *rdma, uint32_t peer);
void transfer_unlink(struct rdma *rdma, struct dtr_transfer *transfer);

/* Numbers are given out around, so that a late one is not taken for another. */
#define NO_NUMBER UINT32_MAX
int transfer_number(struct rdma *rdma, struct dtr_transfer *transfer);
struct dtr_transfer *transfer_find(const struct rdma *rdma, uint32_t number);

/* Takes everything back, whoever holds it. */
void memory_reset(struct rdma *rdma);
void memory_free(struct rdma *rdma);

#endif

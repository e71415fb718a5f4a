/* SPDX-License-Identifier: MIT
 *
 * pool.h -- the exchange's memory: requests from slabs, buffers of kept messages by powers of two.
 * Both are reused, so that an exchange that has warmed up allocates nothing.
 */
#ifndef DTR_TRANSPORTS_POOL_H
#define DTR_TRANSPORTS_POOL_H

#include "common/exchange.h"

/* A zeroed request, or NULL. */
struct dtr_transfer *pool_request(struct exchange *exchange);
void pool_request_free(struct exchange *exchange, struct dtr_transfer *request);

/* Takes every request back, whoever holds it. */
void pool_requests_reset(struct exchange *exchange);

/* A buffer for `length` bytes, or NULL. */
struct kept_message *pool_kept(struct exchange *exchange, size_t length);
void pool_kept_free(struct exchange *exchange, struct kept_message *message);

void pool_free(struct exchange *exchange);

#endif

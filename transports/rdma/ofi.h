/* SPDX-License-Identifier: MIT
 *
 * ofi.h -- one reliable endpoint of libfabric's (FI_EP_RDM) with what belongs to it: which
 * provider it is of, its completions, its peers' addresses, and registered memory.
 */
#ifndef DTR_RDMA_OFI_H
#define DTR_RDMA_OFI_H

#include <detransformer/plugin.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <stdbool.h>

#include "rdma/library.h"

#define FABRIC_NAME_MAX 256u /* bytes of an endpoint's name */

struct fabric {
    const struct dtr_host *host;
    struct fabric_library library; /* from fabric_choose() on */
    struct fi_info *info;          /* NULL: no provider was chosen yet */
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    uint64_t key; /* the last that was given out, where the provider makes none */

    /* From fabric_listen() to fabric_hang_up(). */
    struct fid_av *av;
    struct fid_cq *cq;
    struct fid_ep *ep;
    int fd; /* readable when there may be a completion; -1: the provider has none */
};

/* "verbs;ofi_rxm: Connection refused": how sentences about the provider begin and end. */
int fabric_fail(const struct fabric *fabric, int code, const char *what, struct dtr_error *error);
/* What a positive error of libfabric's means. */
const char *fabric_cause(const struct fabric *fabric, int code);

/* The provider of that name, or the best that there is for ""; `source` is the local address to
 * use, a number.  What the provider cannot do is said by name. */
int fabric_choose(struct fabric *fabric, const struct dtr_host *host, const char *provider,
                  const char *source, struct dtr_error *error);
const char *fabric_provider(const struct fabric *fabric);
void fabric_free(struct fabric *fabric);

/* An endpoint for `peers` others, whose name is written; the last one is gone. */
int fabric_listen(struct fabric *fabric, uint32_t peers, void *name, size_t *bytes_p,
                  struct dtr_error *error);
/* After that the provider touches no memory but its own. */
void fabric_hang_up(struct fabric *fabric);

/* Removes what the endpoint of that name, whose process has died, has left in /dev/shm. */
void fabric_sweep(const struct fabric *fabric, const char name[FABRIC_NAME_MAX]);

int fabric_add(struct fabric *fabric, const void *name, fi_addr_t *address_p);

/* Registers memory for `access`; negative, an error of libfabric's. */
int fabric_register(struct fabric *fabric, const void *memory, size_t bytes, uint64_t access,
                    struct fid_mr **region_p);
/* The same where the provider wants it for what is only used locally; *region_p is NULL else. */
int fabric_register_local(struct fabric *fabric, const void *memory, size_t bytes, uint64_t access,
                          struct fid_mr **region_p);
void fabric_release(struct fid_mr **region);

/* What a peer writes to, as the provider wants it written. */
uint64_t fabric_target(const struct fabric *fabric, const void *memory);

#endif

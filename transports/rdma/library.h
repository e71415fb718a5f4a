/* SPDX-License-Identifier: MIT
 *
 * library.h -- loads libfabric.  It is loaded by hand and not linked, since what some of its
 * providers do while they are being loaded takes a fifth of a second, and every run looks at every
 * plugin.
 */
#ifndef DTR_RDMA_LIBRARY_H
#define DTR_RDMA_LIBRARY_H

#include <detransformer/plugin.h>
#include <rdma/fabric.h>

/* What the headers do not reach through the objects that libfabric hands out. */
struct fabric_library {
    int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
                   const struct fi_info *hints, struct fi_info **info);
    void (*freeinfo)(struct fi_info *info);
    struct fi_info *(*dupinfo)(const struct fi_info *info);
    int (*fabric)(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context);
    const char *(*strerror)(int code);
};

/* It stays loaded. */
int fabric_library_open(const struct dtr_host *host, struct fabric_library *library,
                        struct dtr_error *error);

#endif

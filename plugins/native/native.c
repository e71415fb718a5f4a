/* SPDX-License-Identifier: MIT
 *
 * native -- the project's own kernels: weights packed once, everything in vector code that is
 * compiled for several instruction sets, and no library.  All of it is in common; this makes a
 * plugin of it.
 */
#include "common/packed.h"

static int native_supports(void *self, const struct dtr_op_shape *shape) {
    if (shape->op == DTR_OP_LINEAR)
        return dtr_packed_supports(self, shape->linear);
    return shape->op <= DTR_OP_NORMALISE;
}

static int native_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 80;
}

static int native_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                       struct dtr_error *error) {
    struct dtr_common *common = host->allocate(host, _Alignof(struct dtr_common), sizeof *common);
    if (!common)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    dtr_common_open(common, host, how->threads);
    host->log(host, DTR_LOG_DEBUG, "vector code for %s", common->vector->name);
    *self_p = common;
    return DTR_OK;
}

static void native_close(void *self) {
    struct dtr_common *common = self;
    const struct dtr_host *host = common->host;
    dtr_common_close(common);
    host->release(host, common);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = native_supports,
    .prepare = dtr_packed_prepare,
    .unprepare = dtr_common_unprepare,
    .packed_bytes = dtr_packed_bytes,
    .prepared_bytes = dtr_packed_prepared_bytes,
    .linear = dtr_packed_linear,
    .attention = dtr_common_attention,
    .add_norm = dtr_common_add_norm,
    .moments = dtr_common_moments,
    .normalise = dtr_common_normalise,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "native",
    .version = "1.0",
    .summary = "packed weights and vector code of our own, for AVX-512, AVX2 and any other machine",
    .probe = native_probe,
    .open = native_open,
    .close = native_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

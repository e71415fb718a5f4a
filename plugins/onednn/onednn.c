/* SPDX-License-Identifier: MIT
 *
 * onednn -- linear layers by oneDNN, with the weights packed as its primitives like them, in f32,
 * bf16 and int8; the rest by the vector code in common.
 */
#include "linear.h"

static int supports(void *self, const struct dtr_op_shape *shape) {
    if (shape->op == DTR_OP_LINEAR)
        return onednn_supports(self, shape->linear);
    return shape->op <= DTR_OP_NORMALISE;
}

static int onednn_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 70;
}

static int onednn_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                       struct dtr_error *error) {
    struct onednn *onednn = host->allocate(host, _Alignof(struct onednn),
                                           sizeof *onednn + how->threads * sizeof(void *));
    if (!onednn)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    const int status = matmul_cache_open(&onednn->cache);
    if (status) {
        host->release(host, onednn);
        return host->fail(error, status, "oneDNN has no processor engine here");
    }
    dtr_common_open(&onednn->common, host, how->threads);
    *self_p = onednn;
    return DTR_OK;
}

static void onednn_close(void *self) {
    struct onednn *onednn = self;
    const struct dtr_host *host = onednn->common.host;
    matmul_cache_close(&onednn->cache);
    dtr_common_close(&onednn->common);
    host->release(host, onednn);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = supports,
    .prepare = onednn_prepare,
    .unprepare = onednn_unprepare,
    .packed_bytes = onednn_packed_bytes,
    .prepared_bytes = onednn_prepared_bytes,
    .linear = onednn_linear,
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
    .name = "onednn",
    .version = "1.0",
    .summary = "linear layers by oneDNN, in f32, bf16 and int8, the rest in vector code",
    .probe = onednn_probe,
    .open = onednn_open,
    .close = onednn_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

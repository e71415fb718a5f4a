/* SPDX-License-Identifier: MIT
 *
 * neon -- kernels for AArch64: weights packed once, register-blocked products in f32 and int8, the
 * latter with dot product instructions where the processor has them; the rest by the vector code
 * in common.
 */
#include "linear.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

static int neon_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    if (shape->op == DTR_OP_LINEAR)
        return neon_supports_linear(shape->linear);
    return shape->op <= DTR_OP_NORMALISE;
}

static int neon_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 90;
}

static int neon_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                     struct dtr_error *error) {
    struct neon *neon = host->allocate(host, _Alignof(struct neon), sizeof *neon);
    if (!neon)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    const bool dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    dtr_common_open(&neon->common, host, how->threads);
    neon->igemm = dot ? neon_igemm_dot_8x12 : neon_igemm_mull_8x12;
    host->log(host, DTR_LOG_DEBUG, "int8 with%s dot product instructions", dot ? "" : "out");
    *self_p = neon;
    return DTR_OK;
}

static void neon_close(void *self) {
    struct neon *neon = self;
    const struct dtr_host *host = neon->common.host;
    dtr_common_close(&neon->common);
    host->release(host, neon);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = neon_supports,
    .prepare = neon_prepare,
    .unprepare = dtr_common_unprepare,
    .packed_bytes = neon_packed_bytes,
    .prepared_bytes = neon_prepared_bytes,
    .linear = neon_linear,
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
    .name = "neon",
    .version = "1.0",
    .summary = "AArch64: packed weights and register-blocked products in f32 and int8",
    .probe = neon_probe,
    .open = neon_open,
    .close = neon_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

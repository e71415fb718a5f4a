/* SPDX-License-Identifier: MIT
 *
 * blas -- linear layers by cblas_sgemm() of any BLAS library, the rest by the vector code in
 * common.  The columns of a product are dealt out to the device's threads; each adds the bias and
 * applies the activation to what it has just computed.
 */
#include "common/dense.h"
#include "library.h"

#include <limits.h>

#define GRAIN 64u /* columns of a product that stay together */

struct params {
    const char *library;
};

struct blas {
    struct dtr_common common; /* first: operations.h */
    struct blas_library library;
};

static const struct dtr_param params[] = {
    {.key = "library",
     .fallback = "",
     .help = "The file name of the BLAS library; empty: the best known one that is installed.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, library)},
    {.key = NULL},
};

static int blas_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    if (shape->op != DTR_OP_LINEAR)
        return shape->op <= DTR_OP_NORMALISE;
    const struct dtr_linear *linear = shape->linear;
    return linear->dtype == DTR_F32 && linear->activation <= DTR_ACT_TANH &&
           linear->out <= INT_MAX && linear->in <= INT_MAX;
}

static int blas_prepare(void *opaque, const struct dtr_linear *linear, const float *weight,
                        size_t weight_stride, const float *bias, void **packed_p,
                        struct dtr_error *error) {
    return dtr_dense_prepare(opaque, linear, false, weight, weight_stride, bias, packed_p, error);
}

/* One call of linear(). */
struct product {
    const struct blas *blas;
    const struct dtr_dense *packed;
    uint32_t rows;
    const float *x;
    size_t x_stride;
    float *y;
    size_t y_stride;
    bool accumulate;
};

static void multiply_columns(void *arg, uint32_t part) {
    const struct product *p = arg;
    const struct dtr_dense *packed = p->packed;
    uint32_t first, end;
    dtr_common_share(packed->out, GRAIN, p->blas->common.threads, part, &first, &end);
    if (first == end)
        return;
    p->blas->library.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANS, BLAS_TRANS, (int)p->rows,
                           (int)(end - first), (int)packed->in, 1.0f, p->x, (int)p->x_stride,
                           packed->weight + (size_t)first * packed->in, (int)packed->in,
                           p->accumulate ? 1.0f : 0.0f, p->y + first, (int)p->y_stride);
    if (!packed->bias && packed->activation == DTR_ACT_NONE)
        return;
    for (uint32_t row = 0; row < p->rows; row++)
        p->blas->common.vector->activate(packed->activation, end - first,
                                         packed->bias ? packed->bias + first : NULL,
                                         p->y + row * p->y_stride + first);
}

static int blas_linear(void *opaque, void *opaque_packed, uint32_t rows, const float *x,
                       size_t x_stride, float *y, size_t y_stride, uint32_t flags) {
    const struct blas *blas = opaque;
    const struct dtr_dense *packed = opaque_packed;
    const struct dtr_host *host = blas->common.host;
    struct product product = {.blas = blas,
                              .packed = packed,
                              .rows = rows,
                              .x = x,
                              .x_stride = x_stride,
                              .y = y,
                              .y_stride = y_stride,
                              .accumulate = flags & DTR_LINEAR_ACCUMULATE};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || rows > INT_MAX || x_stride > INT_MAX ||
        y_stride > INT_MAX || (product.accumulate && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    if (rows)
        host->parallel(host, multiply_columns, &product, blas->common.threads);
    return DTR_OK;
}

static int blas_probe(const struct dtr_host *host, struct dtr_error *error) {
    struct blas_library library;
    if (blas_library_open(host, "", &library, error))
        return 0;
    blas_library_close(&library);
    return library.tuned ? 50 : 5;
}

static int blas_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                     struct dtr_error *error) {
    const struct params *given = how->params;
    struct blas *blas = host->allocate(host, _Alignof(struct blas), sizeof *blas);
    if (!blas)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    const int status = blas_library_open(host, given->library, &blas->library, error);
    if (status) {
        host->release(host, blas);
        return status;
    }
    dtr_common_open(&blas->common, host, how->threads);
    *self_p = blas;
    return DTR_OK;
}

static void blas_close(void *opaque) {
    struct blas *blas = opaque;
    const struct dtr_host *host = blas->common.host;
    dtr_common_close(&blas->common);
    blas_library_close(&blas->library);
    host->release(host, blas);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = blas_supports,
    .prepare = blas_prepare,
    .unprepare = dtr_common_unprepare,
    .packed_bytes = dtr_dense_packed_bytes,
    .prepared_bytes = dtr_dense_prepared_bytes,
    .linear = blas_linear,
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
    .name = "blas",
    .version = "1.0",
    .summary = "linear layers by any BLAS library, the rest in vector code",
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = blas_probe,
    .open = blas_open,
    .close = blas_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

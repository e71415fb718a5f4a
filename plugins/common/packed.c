/* SPDX-License-Identifier: MIT */
#include "packed.h"

#include <string.h>

#define ALIGNMENT 64u

struct packed {
    uint32_t out, in, activation;
    size_t bytes;
    float *weight, *bias;
};

bool dtr_packed_supports(const struct dtr_linear *linear) {
    return linear->dtype == DTR_F32 && linear->activation <= DTR_ACT_TANH;
}

int dtr_packed_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                       size_t weight_stride, const float *bias, void **packed_p,
                       struct dtr_error *error) {
    const struct dtr_common *common = self;
    const struct dtr_host *host = common->host;
    const struct dtr_vector *vector = common->vector;
    const size_t head = (sizeof(struct packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const uint64_t most = ((uint64_t)linear->out + vector->panel) * ((uint64_t)linear->in + 1);
    if (most > (SIZE_MAX - head) / sizeof(float))
        return host->fail(error, DTR_E_MEMORY, "a weight of %u x %u does not fit in memory",
                          linear->out, linear->in);
    const size_t floats = vector->pack_floats(linear->out, linear->in);
    const size_t biases = vector->pack_floats(linear->out, 1);
    const size_t bytes = head + (floats + biases) * sizeof(float);
    struct packed *packed = host->allocate(host, ALIGNMENT, bytes);
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "no memory for a weight of %u x %u", linear->out,
                          linear->in);
    *packed = (struct packed){.out = linear->out,
                              .in = linear->in,
                              .activation = linear->activation,
                              .bytes = bytes,
                              .weight = (float *)((char *)packed + head)};
    packed->bias = packed->weight + floats;
    vector->pack(linear->out, linear->in, weight, weight_stride, packed->weight);
    memset(packed->bias, 0, biases * sizeof(float));
    if (bias)
        memcpy(packed->bias, bias, linear->out * sizeof(float));
    *packed_p = packed;
    return DTR_OK;
}

void dtr_packed_unprepare(void *self, void *packed) {
    const struct dtr_common *common = self;
    common->host->release(common->host, packed);
}

size_t dtr_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct packed *)packed)->bytes;
}

struct product {
    const struct dtr_common *common;
    struct dtr_vector_linear linear;
};

static void multiply_columns(void *arg, uint32_t part) {
    const struct product *product = arg;
    const struct dtr_vector *vector = product->common->vector;
    uint32_t first, end;
    dtr_common_share(product->linear.out, vector->panel, product->common->threads, part, &first,
                     &end);
    vector->linear(&product->linear, first, end);
}

int dtr_packed_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride,
                      float *y, size_t y_stride, uint32_t flags) {
    const struct dtr_common *common = self;
    const struct packed *packed = opaque;
    struct product product = {.common = common,
                              .linear = {.packed = packed->weight,
                                         .packed_floats = (size_t)(packed->bias - packed->weight),
                                         .bias = packed->bias,
                                         .out = packed->out,
                                         .in = packed->in,
                                         .rows = rows,
                                         .activation = packed->activation,
                                         .x = x,
                                         .x_stride = x_stride,
                                         .y = y,
                                         .y_stride = y_stride,
                                         .accumulate = flags & DTR_LINEAR_ACCUMULATE}};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || (flags && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    common->host->parallel(common->host, multiply_columns, &product, common->threads);
    return DTR_OK;
}

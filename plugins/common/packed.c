/* SPDX-License-Identifier: MIT */
#include "packed.h"

#include <string.h>

#define ALIGNMENT 64u

struct packed {
    uint32_t out, in, activation;
    bool pairs; /* bf16 */
    size_t bytes;
    float *weight, *bias;
};

bool dtr_packed_supports(const struct dtr_common *common, const struct dtr_linear *linear) {
    const bool known =
        linear->dtype == DTR_F32 || (linear->dtype == DTR_BF16 && common->vector->pack_pairs);
    return known && linear->activation <= DTR_ACT_TANH;
}

/* Of 32 bits, in one row of x and of W. */
static uint32_t terms(const struct packed *packed) {
    return dtr_vector_terms(packed->pairs, packed->in);
}

static const size_t head = (sizeof(struct packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

static struct packed shape_of(const struct dtr_linear *linear) {
    return (struct packed){.out = linear->out,
                           .in = linear->in,
                           .activation = linear->activation,
                           .pairs = linear->dtype == DTR_BF16};
}

/* There is room for a bias in any case. */
size_t dtr_packed_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    const struct dtr_vector *vector = ((const struct dtr_common *)self)->vector;
    const struct packed shape = shape_of(linear);
    const uint64_t most = ((uint64_t)linear->out + vector->panel) * ((uint64_t)linear->in + 1);
    (void)biased;
    if (most > (SIZE_MAX - head) / sizeof(float))
        return 0;
    return head +
           (vector->pack_floats(shape.out, terms(&shape)) + vector->pack_floats(shape.out, 1)) *
               sizeof(float);
}

int dtr_packed_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                       size_t weight_stride, const float *bias, void **packed_p,
                       struct dtr_error *error) {
    const struct dtr_common *common = self;
    const struct dtr_host *host = common->host;
    const struct dtr_vector *vector = common->vector;
    const struct packed shape = shape_of(linear);
    const size_t bytes = dtr_packed_prepared_bytes(self, linear, bias != NULL);
    if (!bytes)
        return host->fail(error, DTR_E_MEMORY, "a weight of %u x %u does not fit in memory",
                          linear->out, linear->in);
    struct packed *packed = host->allocate(host, ALIGNMENT, bytes);
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "no memory for a weight of %u x %u", linear->out,
                          linear->in);
    *packed = shape;
    packed->bytes = bytes;
    packed->weight = (float *)((char *)packed + head);
    packed->bias = packed->weight + vector->pack_floats(linear->out, terms(&shape));
    (packed->pairs ? vector->pack_pairs : vector->pack)(linear->out, linear->in, weight,
                                                        weight_stride, packed->weight);
    memset(packed->bias, 0, vector->pack_floats(linear->out, 1) * sizeof(float));
    if (bias)
        memcpy(packed->bias, bias, linear->out * sizeof(float));
    *packed_p = packed;
    return DTR_OK;
}

size_t dtr_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct packed *)packed)->bytes;
}

struct product {
    const struct dtr_common *common;
    struct dtr_vector_linear linear;
};

/* The rows of x as pairs. */
struct rounding {
    const struct dtr_common *common;
    const struct packed *packed;
    uint32_t rows;
    const float *x;
    size_t x_stride;
    uint16_t *pairs;
};

static void round_rows(void *arg, uint32_t part) {
    const struct rounding *rounding = arg;
    const uint32_t in = rounding->packed->in;
    const size_t stride = 2 * (size_t)terms(rounding->packed);
    uint32_t first, end;
    dtr_common_share(rounding->rows, 1, rounding->common->threads, part, &first, &end);
    for (uint32_t row = first; row < end; row++) {
        uint16_t *to = rounding->pairs + row * stride;
        rounding->common->vector->to_bf16(in, rounding->x + row * rounding->x_stride, to);
        if (in % 2)
            to[in] = 0;
    }
}

static int round_x(struct dtr_common *common, const struct packed *packed,
                   struct dtr_vector_linear *linear) {
    struct rounding rounding = {.common = common,
                                .packed = packed,
                                .rows = linear->rows,
                                .x = linear->x,
                                .x_stride = linear->x_stride};
    float *pairs = dtr_common_scratch(common, (size_t)linear->rows * terms(packed) * sizeof(float));
    if (!pairs)
        return DTR_E_MEMORY;
    rounding.pairs = (uint16_t *)pairs;
    common->host->parallel(common->host, round_rows, &rounding, common->threads);
    linear->x = pairs;
    linear->x_stride = terms(packed);
    return DTR_OK;
}

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
    struct dtr_common *common = self;
    const struct packed *packed = opaque;
    struct product product = {.common = common,
                              .linear = {.packed = packed->weight,
                                         .packed_floats = (size_t)(packed->bias - packed->weight),
                                         .bias = packed->bias,
                                         .out = packed->out,
                                         .in = terms(packed),
                                         .rows = rows,
                                         .activation = packed->activation,
                                         .pairs = packed->pairs,
                                         .x = x,
                                         .x_stride = x_stride,
                                         .y = y,
                                         .y_stride = y_stride,
                                         .accumulate = flags & DTR_LINEAR_ACCUMULATE}};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || (flags && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    if (packed->pairs && round_x(common, packed, &product.linear))
        return DTR_E_MEMORY;
    common->host->parallel(common->host, multiply_columns, &product, common->threads);
    return DTR_OK;
}

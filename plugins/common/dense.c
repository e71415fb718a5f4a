/* SPDX-License-Identifier: MIT */
#include "dense.h"

#include <string.h>

#define ALIGNMENT 64u

static const size_t head = (sizeof(struct dtr_dense) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

size_t dtr_dense_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    (void)self;
    const uint64_t floats = (uint64_t)linear->out * linear->in + (biased ? linear->out : 0);
    return floats <= (SIZE_MAX - head) / sizeof(float) ? head + (size_t)floats * sizeof(float) : 0;
}

static void copy_weight(const struct dtr_linear *linear, bool by_input, const float *from,
                        size_t stride, float *to) {
    for (size_t n = 0; n < linear->out; n++, from += stride)
        for (size_t k = 0; k < linear->in; k++)
            to[by_input ? k * linear->out + n : n * linear->in + k] = from[k];
}

int dtr_dense_prepare(const struct dtr_common *common, const struct dtr_linear *linear,
                      bool by_input, const float *weight, size_t weight_stride, const float *bias,
                      void **packed_p, struct dtr_error *error) {
    const struct dtr_host *host = common->host;
    const size_t bytes = dtr_dense_prepared_bytes(NULL, linear, bias != NULL);
    struct dtr_dense *packed = bytes ? host->allocate(host, ALIGNMENT, bytes) : NULL;
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "no memory for a weight of %u x %u", linear->out,
                          linear->in);
    *packed = (struct dtr_dense){.out = linear->out,
                                 .in = linear->in,
                                 .activation = linear->activation,
                                 .bytes = bytes,
                                 .weight = (float *)((char *)packed + head)};
    copy_weight(linear, by_input, weight, weight_stride, packed->weight);
    if (bias) {
        packed->bias = packed->weight + (size_t)linear->out * linear->in;
        memcpy(packed->bias, bias, linear->out * sizeof *bias);
    }
    *packed_p = packed;
    return DTR_OK;
}

size_t dtr_dense_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct dtr_dense *)packed)->bytes;
}

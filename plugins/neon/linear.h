/* SPDX-License-Identifier: MIT
 *
 * linear.h -- linear layers in f32 and int8 on top of gemm.h.
 */
#ifndef DTR_NEON_LINEAR_H
#define DTR_NEON_LINEAR_H

#include "common/operations.h"
#include "gemm.h"

struct neon {
    struct dtr_common common; /* first: operations.h */
    gemm_fn *igemm;           /* what this processor has */
};

bool neon_supports_linear(const struct dtr_linear *linear);
int neon_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                 size_t weight_stride, const float *bias, void **packed_p, struct dtr_error *error);
size_t neon_packed_bytes(void *self, const void *packed);
size_t neon_prepared_bytes(void *self, const struct dtr_linear *linear, int biased);
int neon_linear(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride, float *y,
                size_t y_stride, uint32_t flags);

#endif

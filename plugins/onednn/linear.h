/* SPDX-License-Identifier: MIT
 *
 * linear.h -- linear layers in f32, bf16 and int8 on top of matmul.h: the outputs are dealt out to
 * the device's threads when the weight is packed, activations are brought into the weight's type,
 * and what oneDNN does not fuse is done on the way to y.
 */
#ifndef DTR_ONEDNN_LINEAR_H
#define DTR_ONEDNN_LINEAR_H

#include "common/operations.h"
#include "matmul.h"

struct onednn {
    struct dtr_common common; /* first: operations.h */
    struct matmul_cache cache;
    const struct matmul *matmul[]; /* [threads] of the call that is running */
};

int onednn_supports(struct onednn *onednn, const struct dtr_linear *linear);
int onednn_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                   size_t weight_stride, const float *bias, void **packed_p,
                   struct dtr_error *error);
void onednn_unprepare(void *self, void *packed);
size_t onednn_packed_bytes(void *self, const void *packed);
size_t onednn_prepared_bytes(void *self, const struct dtr_linear *linear, int biased);
int onednn_linear(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride,
                  float *y, size_t y_stride, uint32_t flags);

#endif

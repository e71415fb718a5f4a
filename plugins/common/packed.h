/* SPDX-License-Identifier: MIT
 *
 * packed.h -- linear layers in f32, and in bf16 where the machine multiplies that, on
 * weights packed once, by vector.h on the device's threads, as
 * the operations of a kernel plugin whose instance begins with struct dtr_common.
 */
#ifndef DTR_COMMON_PACKED_H
#define DTR_COMMON_PACKED_H

#include "operations.h"

/* True for what the functions below can do. */
bool dtr_packed_supports(const struct dtr_common *common, const struct dtr_linear *linear);

int dtr_packed_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                       size_t weight_stride, const float *bias, void **packed_p,
                       struct dtr_error *error);
size_t dtr_packed_bytes(void *self, const void *packed);
size_t dtr_packed_prepared_bytes(void *self, const struct dtr_linear *linear, int biased);
int dtr_packed_linear(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride,
                      float *y, size_t y_stride, uint32_t flags);

#endif

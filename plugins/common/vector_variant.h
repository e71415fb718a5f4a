/* SPDX-License-Identifier: MIT
 *
 * vector_variant.h -- the functions of struct dtr_vector for the instruction set that is being
 * compiled for.
 */
#ifndef DTR_COMMON_VECTOR_VARIANT_H
#define DTR_COMMON_VECTOR_VARIANT_H

#include "lanes.h"
#include "vector.h"

#define DTR_PANEL_WIDTH 3u /* vectors in a panel of weights */
#define DTR_PANEL (DTR_PANEL_WIDTH * LANES)

static inline uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

size_t DTR_NAME(pack_floats)(uint32_t out, uint32_t in);
void DTR_NAME(pack)(uint32_t out, uint32_t in, const float *weight, size_t stride, float *packed);
void DTR_NAME(pack_pairs)(uint32_t out, uint32_t in, const float *weight, size_t stride,
                          float *packed);
void DTR_NAME(linear)(const struct dtr_vector_linear *linear, uint32_t first, uint32_t end);
void DTR_NAME(to_bf16)(uint32_t count, const float *x, uint16_t *y);
float DTR_NAME(to_int8)(uint32_t count, const float *x, int8_t *y);
void DTR_NAME(from_int32)(uint32_t activation, uint32_t count, const int32_t *sums, float x_scale,
                          const float *w_scale, const float *bias, bool accumulate, float *y);
void DTR_NAME(activate)(uint32_t activation, uint32_t count, const float *bias, float *y);
void DTR_NAME(add_norm)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
void DTR_NAME(moments)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
void DTR_NAME(normalise)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
size_t DTR_NAME(attend_scratch)(const struct dtr_attention *attention);
void DTR_NAME(attend)(const struct dtr_attention *attention, uint32_t part, uint32_t parts,
                      float *scratch);

#endif

/* SPDX-License-Identifier: MIT
 *
 * dense.h -- weights prepared as a copy without gaps, in f32, for plugins whose matrix product
 * takes them as they are.  A plugin's instance begins with struct dtr_common; all but the copy
 * itself then fit into its struct dtr_kernel_ops as they are.
 */
#ifndef DTR_COMMON_DENSE_H
#define DTR_COMMON_DENSE_H

#include "operations.h"

struct dtr_dense {
    uint32_t out, in, activation;
    size_t bytes;
    float *weight; /* [out, in], or [in, out]; aligned to 64 bytes */
    float *bias;   /* [out], or NULL */
};

/* As prepare() of struct dtr_kernel_ops; `by_input`: a row of the copy for each input. */
int dtr_dense_prepare(const struct dtr_common *common, const struct dtr_linear *linear,
                      bool by_input, const float *weight, size_t weight_stride, const float *bias,
                      void **packed_p, struct dtr_error *error);
size_t dtr_dense_packed_bytes(void *self, const void *packed);
size_t dtr_dense_prepared_bytes(void *self, const struct dtr_linear *linear, int biased);

#endif

/* SPDX-License-Identifier: MIT
 *
 * dtype.h -- the types of numbers by name, as experiments and reports call them.
 */
#ifndef DTR_BASE_DTYPE_H
#define DTR_BASE_DTYPE_H

#include <detransformer/kernel.h>

#define DTR_DTYPES 4u /* enum dtr_dtype */

static inline const char *dtr_dtype_name(uint32_t dtype) {
    static const char *const names[DTR_DTYPES] = {
        [DTR_F32] = "f32", [DTR_F16] = "f16", [DTR_BF16] = "bf16", [DTR_INT8] = "int8"};
    return dtype < DTR_DTYPES ? names[dtype] : "?";
}

#endif

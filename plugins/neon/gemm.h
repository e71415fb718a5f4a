/* SPDX-License-Identifier: MIT
 *
 * gemm.h -- register-blocked matrix products in NEON: 8 rows of x with 12 outputs.  Both are packed
 * in elements of four bytes: a float, or four int8 values that follow each other in a row.
 *
 *     x tile   [depth][8]    rows interleaved
 *     w panel  [depth][12]   outputs interleaved
 *     tile     [8][12]       of float, or int32
 */
#ifndef DTR_NEON_GEMM_H
#define DTR_NEON_GEMM_H

#include <stdint.h>

#define GEMM_ROWS 8u
#define GEMM_COLUMNS 12u
#define GEMM_ELEMENT 4u /* bytes */

/* tile = x w over `depth` elements, an even number for int8.  Only the first 4 rows are computed
 * where `rows` <= 4. */
typedef void gemm_fn(uint32_t rows, uint32_t depth, const void *x, const void *w, void *tile);

gemm_fn neon_sgemm_8x12;
gemm_fn neon_igemm_dot_8x12;  /* needs the dot product instructions of ARMv8.2 */
gemm_fn neon_igemm_mull_8x12; /* needs nothing beyond ARMv8.0 */

#endif

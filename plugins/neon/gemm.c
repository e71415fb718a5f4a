/* SPDX-License-Identifier: MIT */
#include "gemm.h"

#include <arm_neon.h>
#include <string.h>

#define BLOCK 512u /* floats summed by themselves before they join the total: keeps it exact */

/* --- float -------------------------------------------------------------------------------------
 */

static inline void fma_quad(float32x4_t sum[4][3], float32x4_t x, const float32x4_t w[3]) {
    for (int i = 0; i < 3; i++) {
        sum[0][i] = vfmaq_laneq_f32(sum[0][i], w[i], x, 0);
        sum[1][i] = vfmaq_laneq_f32(sum[1][i], w[i], x, 1);
        sum[2][i] = vfmaq_laneq_f32(sum[2][i], w[i], x, 2);
        sum[3][i] = vfmaq_laneq_f32(sum[3][i], w[i], x, 3);
    }
}

static inline void add_quad(const float32x4_t sum[4][3], float *tile) {
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < 3; i++) {
            float *at = tile + r * (int)GEMM_COLUMNS + 4 * i;
            vst1q_f32(at, vaddq_f32(vld1q_f32(at), sum[r][i]));
        }
}

static inline __attribute__((always_inline)) void
sgemm_block(int quads, uint32_t depth, const float *x, const float *w, float *tile) {
    float32x4_t low[4][3] = {{vdupq_n_f32(0.0f)}}, high[4][3] = {{vdupq_n_f32(0.0f)}};
    for (uint32_t k = 0; k < depth; k++, x += GEMM_ROWS, w += GEMM_COLUMNS) {
        const float32x4_t columns[3] = {vld1q_f32(w), vld1q_f32(w + 4), vld1q_f32(w + 8)};
        fma_quad(low, vld1q_f32(x), columns);
        if (quads == 2)
            fma_quad(high, vld1q_f32(x + 4), columns);
    }
    add_quad(low, tile);
    if (quads == 2)
        add_quad(high, tile + 4 * GEMM_COLUMNS);
}

void neon_sgemm_8x12(uint32_t rows, uint32_t depth, const void *x, const void *w, void *tile) {
    memset(tile, 0, sizeof(float[GEMM_ROWS][GEMM_COLUMNS]));
    for (uint32_t k = 0; k < depth; k += BLOCK) {
        const uint32_t terms = depth - k < BLOCK ? depth - k : BLOCK;
        const float *xk = (const float *)x + (size_t)k * GEMM_ROWS;
        const float *wk = (const float *)w + (size_t)k * GEMM_COLUMNS;
        if (rows > 4)
            sgemm_block(2, terms, xk, wk, tile);
        else
            sgemm_block(1, terms, xk, wk, tile);
    }
}

/* --- int8 with dot products --------------------------------------------------------------------
 */

#define DOT __attribute__((target("arch=armv8.2-a+dotprod")))

DOT static inline void dot_quad(int32x4_t sum[4][3], int8x16_t x, const int8x16_t w[3]) {
    for (int i = 0; i < 3; i++) {
        sum[0][i] = vdotq_laneq_s32(sum[0][i], w[i], x, 0);
        sum[1][i] = vdotq_laneq_s32(sum[1][i], w[i], x, 1);
        sum[2][i] = vdotq_laneq_s32(sum[2][i], w[i], x, 2);
        sum[3][i] = vdotq_laneq_s32(sum[3][i], w[i], x, 3);
    }
}

static inline void store_quad(const int32x4_t sum[4][3], int32_t *tile) {
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < 3; i++)
            vst1q_s32(tile + r * (int)GEMM_COLUMNS + 4 * i, sum[r][i]);
}

DOT void neon_igemm_dot_8x12(uint32_t rows, uint32_t depth, const void *x, const void *w,
                             void *tile) {
    int32x4_t low[4][3] = {{vdupq_n_s32(0)}}, high[4][3] = {{vdupq_n_s32(0)}};
    const int8_t *xk = x, *wk = w;
    for (uint32_t k = 0; k < depth;
         k++, xk += GEMM_ROWS * GEMM_ELEMENT, wk += GEMM_COLUMNS * GEMM_ELEMENT) {
        const int8x16_t columns[3] = {vld1q_s8(wk), vld1q_s8(wk + 16), vld1q_s8(wk + 32)};
        dot_quad(low, vld1q_s8(xk), columns);
        if (rows > 4)
            dot_quad(high, vld1q_s8(xk + 16), columns);
    }
    store_quad(low, tile);
    store_quad(high, (int32_t *)tile + 4 * GEMM_COLUMNS);
}

/* --- int8 without ------------------------------------------------------------------------------
 */

/* Four values of x, twice: for two outputs side by side. */
static inline int8x8_t twice(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return vreinterpret_s8_s32(vdup_n_s32(four));
}

/* Two products fit into 16 bits, since nothing is below -127; then pairs are added into 32. */
static inline void mull_row(int32x4_t sum[6], int8x8_t x0, int8x8_t x1, const int8_t *w) {
    for (int i = 0; i < 6; i++) {
        const int16x8_t products = vmull_s8(vld1_s8(w + 8 * i), x0);
        const int8x8_t next = vld1_s8(w + GEMM_COLUMNS * GEMM_ELEMENT + 8 * i);
        sum[i] = vpadalq_s16(sum[i], vmlal_s8(products, next, x1));
    }
}

void neon_igemm_mull_8x12(uint32_t rows, uint32_t depth, const void *x, const void *w, void *tile) {
    for (uint32_t r = 0; r < (rows > 4 ? GEMM_ROWS : 4u); r += 2) {
        int32x4_t sum[2][6] = {{vdupq_n_s32(0)}};
        const int8_t *xk = (const int8_t *)x + r * GEMM_ELEMENT, *wk = w;
        const uint32_t next = GEMM_ROWS * GEMM_ELEMENT;
        for (uint32_t k = 0; k < depth;
             k += 2, xk += 2 * next, wk += 2 * GEMM_COLUMNS * GEMM_ELEMENT) {
            mull_row(sum[0], twice(xk), twice(xk + next), wk);
            mull_row(sum[1], twice(xk + GEMM_ELEMENT), twice(xk + next + GEMM_ELEMENT), wk);
        }
        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t c = 0; c < 3; c++)
                vst1q_s32((int32_t *)tile + (r + i) * GEMM_COLUMNS + 4 * c,
                          vpaddq_s32(sum[i][2 * c], sum[i][2 * c + 1]));
    }
}

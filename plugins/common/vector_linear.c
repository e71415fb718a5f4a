/* SPDX-License-Identifier: MIT
 *
 * vector_linear.c -- linear layers over packed weights: tiles of sums that stay in registers, over
 * blocks of a panel that stay in the second cache, with bias and activation applied while a tile is
 * in the first (Goto and van de Geijn 2008, without the packing of x, whose rows are read as they
 * are).
 *
 * Packed, W [out, in] is panels [out / PANEL][in][PANEL], filled up with zeros.  A term is a float,
 * or two numbers of bfloat16 that the machine multiplies and adds at once: to all but pack() and
 * the innermost line it is 32 bits.
 */
#include "vector_variant.h"

#if LANES == 16 || defined(__aarch64__)
#define TILE 8u /* with WIDTH, 24 sums in 32 registers */
#else
#define TILE 4u /* 12 sums in 16 registers */
#endif
#define WIDTH DTR_PANEL_WIDTH
#define PANEL DTR_PANEL
/* Terms of a sum that are done at once: such a block of weights stays in the second cache, and the
 * one behind it has time to arrive there from memory. */
#define BLOCK 768u
/* So many terms before they are used they are fetched from there into the first. */
#define NEAR 32u

size_t DTR_NAME(pack_floats)(uint32_t out, uint32_t in) {
    return ((size_t)out / PANEL + (out % PANEL != 0)) * PANEL * in;
}

void DTR_NAME(pack)(uint32_t out, uint32_t in, const float *weight, size_t stride, float *packed) {
    for (uint32_t first = 0; first < out; first += PANEL, packed += (size_t)PANEL * in)
        for (uint32_t c = 0; c < PANEL; c++)
            for (uint32_t k = 0; k < in; k++)
                packed[(size_t)k * PANEL + c] =
                    first + c < out ? weight[(first + c) * stride + k] : 0.0f;
}

void DTR_NAME(pack_pairs)(uint32_t out, uint32_t in, const float *weight, size_t stride,
                          float *packed) {
    const uint32_t pairs = in / 2 + in % 2;
    uint16_t row[2 * BLOCK];
    memset(packed, 0, DTR_NAME(pack_floats)(out, pairs) * sizeof *packed);
    for (uint32_t c = 0; c < out; c++) {
        float *to = packed + (size_t)(c / PANEL) * PANEL * pairs + c % PANEL;
        for (uint32_t k = 0; k < in; k += 2 * BLOCK) {
            const uint32_t count = in - k < 2 * BLOCK ? in - k : 2 * BLOCK;
            DTR_NAME(to_bf16)(count, weight + c * stride + k, row);
            if (count % 2)
                row[count] = 0;
            for (uint32_t i = 0; i < count; i += 2, to += PANEL)
                memcpy(to, row + i, sizeof *to);
        }
    }
}

/* The weights that come next, fetched while those at hand are being multiplied: `step` floats of
 * them with each term.  From memory they come slower than they are used when there are few rows,
 * but much faster than all of them are needed when there are many. */
struct ahead {
    const float *w;
    uint32_t step;
};

/* y[height][PANEL] = x w + start + (from_y ? y : 0) over `depth` terms.  They are summed by
 * themselves first: a long sum then consists of short ones, which keeps it exact. */
static inline __attribute__((always_inline)) void multiply(uint32_t height, bool pairs,
                                                           const float *x, size_t x_stride,
                                                           const float *w, uint32_t depth,
                                                           struct ahead ahead, const float *start,
                                                           int from_y, float *y, size_t y_stride) {
    const uintptr_t near = NEAR * PANEL * sizeof *w; /* what lies there may not be ours */
    const float *row[TILE];
    lanes sum[TILE][WIDTH];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < height; r++) {
        row[r] = x + r * x_stride;
#pragma GCC unroll 3
        for (uint32_t i = 0; i < WIDTH; i++)
            sum[r][i] = lanes_set(0.0f);
    }
    for (uint32_t k = 0; k < depth; k++, w += PANEL, ahead.w += ahead.step) {
        __builtin_prefetch(ahead.w, 0, 2);
#pragma GCC unroll 3
        for (uint32_t i = 0; i < WIDTH; i++)
            __builtin_prefetch((const void *)((uintptr_t)(w + i * LANES) + near), 0, 3);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < height; r++)
#pragma GCC unroll 3
            for (uint32_t i = 0; i < WIDTH; i++)
                sum[r][i] = pairs ? lanes_add_pairs(sum[r][i], row[r] + k, w + i * LANES)
                                  : sum[r][i] + row[r][k] * *(const lanes *)(w + i * LANES);
    }
#pragma GCC unroll 8
    for (uint32_t r = 0; r < height; r++)
#pragma GCC unroll 3
        for (uint32_t i = 0; i < WIDTH; i++) {
            float *at = y + r * y_stride + i * LANES;
            if (start)
                sum[r][i] += lanes_load(start + i * LANES);
            if (from_y)
                sum[r][i] += lanes_load(at);
            lanes_store(at, sum[r][i]);
        }
}

static inline __attribute__((always_inline)) void
multiply_rows(uint32_t rows, bool pairs, const float *x, size_t x_stride, const float *w,
              uint32_t depth, struct ahead ahead, const float *start, int from_y, float *y,
              size_t y_stride) {
    switch (rows) {
    case 1:
        multiply(1, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
    case 2:
        multiply(2, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
    case 3:
        multiply(3, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
#if TILE == 8
    case 4:
        multiply(4, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
    case 5:
        multiply(5, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
    case 6:
        multiply(6, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
    case 7:
        multiply(7, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
        break;
#endif
    default:
        multiply(TILE, pairs, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
    }
}

static void multiply_floats(uint32_t rows, const float *x, size_t x_stride, const float *w,
                            uint32_t depth, struct ahead ahead, const float *start, int from_y,
                            float *y, size_t y_stride) {
    multiply_rows(rows, false, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
}

static void multiply_pairs(uint32_t rows, const float *x, size_t x_stride, const float *w,
                           uint32_t depth, struct ahead ahead, const float *start, int from_y,
                           float *y, size_t y_stride) {
    multiply_rows(rows, true, x, x_stride, w, depth, ahead, start, from_y, y, y_stride);
}

/* What the tile at row i fetches of the block behind the one at w, of which each tile takes a part;
 * at the end of all weights there is none. */
static struct ahead ahead_of(const struct dtr_vector_linear *l, const float *w, uint32_t depth,
                             uint32_t i) {
    const uint32_t tiles = (l->rows + TILE - 1) / TILE, step = (PANEL + tiles - 1) / tiles;
    const size_t left = l->packed_floats - (size_t)(w - l->packed), block = (size_t)depth * PANEL;
    const size_t offset = block + (size_t)(i / TILE) * depth * step;
    if (offset + (size_t)depth * step > left)
        return (struct ahead){.w = w, .step = 0};
    return (struct ahead){.w = w + offset, .step = step};
}

/* One panel that is whole: partial sums wait in y while the other rows use the block of weights. */
static void whole_panel(const struct dtr_vector_linear *l, const float *w, const float *bias,
                        float *y) {
    uint32_t k = 0;
    do {
        const uint32_t depth = smaller(l->in - k, BLOCK), last = k + depth == l->in;
        for (uint32_t i = 0; i < l->rows; i += TILE) {
            const uint32_t rows = smaller(l->rows - i, TILE);
            (LANES_PAIRS && l->pairs ? multiply_pairs : multiply_floats)(
                rows, l->x + i * l->x_stride + k, l->x_stride, w, depth, ahead_of(l, w, depth, i),
                k ? NULL : bias, k || l->accumulate, y + i * l->y_stride, l->y_stride);
            if (last && l->activation != DTR_ACT_NONE)
                for (uint32_t r = 0; r < rows; r++)
                    DTR_NAME(activate)(l->activation, PANEL, NULL, y + (i + r) * l->y_stride);
        }
        k += depth;
        w += (size_t)depth * PANEL;
    } while (k < l->in);
}

/* The last panel, of which only `columns` are there. */
static void part_panel(const struct dtr_vector_linear *l, const float *w, const float *bias,
                       uint32_t columns, float *y) {
    _Alignas(64) float tile[TILE][PANEL];
    for (uint32_t i = 0; i < l->rows; i += TILE) {
        const uint32_t rows = smaller(l->rows - i, TILE);
        (LANES_PAIRS && l->pairs ? multiply_pairs : multiply_floats)(
            rows, l->x + i * l->x_stride, l->x_stride, w, l->in, (struct ahead){.w = w, .step = 0},
            bias, 0, tile[0], PANEL);
        for (uint32_t r = 0; r < rows; r++) {
            float *row = y + (i + r) * l->y_stride;
            DTR_NAME(activate)(l->activation, PANEL, NULL, tile[r]);
            for (uint32_t c = 0; c < columns; c++)
                row[c] = l->accumulate ? row[c] + tile[r][c] : tile[r][c];
        }
    }
}

void DTR_NAME(linear)(const struct dtr_vector_linear *linear, uint32_t first, uint32_t end) {
    for (uint32_t column = first; column < end; column += PANEL) {
        const float *w = linear->packed + (size_t)column * linear->in;
        const float *bias = linear->bias + column;
        float *y = linear->y + column;
        if (linear->out - column >= PANEL)
            whole_panel(linear, w, bias, y);
        else
            part_panel(linear, w, bias, linear->out - column, y);
    }
}

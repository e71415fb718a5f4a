/* SPDX-License-Identifier: MIT
 *
 * vector_rows.c -- activations and layer normalisation, a row at a time.
 */
#include "vector_variant.h"

#include <math.h>

#define WHOLE(_count) ((_count) / LANES * LANES) /* columns in whole vectors */

static inline lanes activate(uint32_t activation, lanes x) {
    switch (activation) {
    case DTR_ACT_GELU:
        return lanes_gelu(x);
    case DTR_ACT_GELU_TANH:
        return lanes_gelu_tanh(x);
    case DTR_ACT_TANH:
        return lanes_tanh(x);
    default:
        return x;
    }
}

/* Inlined once for each activation, which is then a constant. */
static inline __attribute__((always_inline)) void activate_row(uint32_t activation, uint32_t count,
                                                               const float *bias, float *y) {
    uint32_t i = 0;
    for (; i < WHOLE(count); i += LANES) {
        const lanes x = lanes_load(y + i);
        lanes_store(y + i, activate(activation, bias ? x + lanes_load(bias + i) : x));
    }
    if (i < count) {
        const uint32_t rest = count - i;
        const lanes x = lanes_load_part(y + i, rest, 0.0f);
        lanes_store_part(
            y + i, rest,
            activate(activation, bias ? x + lanes_load_part(bias + i, rest, 0.0f) : x));
    }
}

void DTR_NAME(activate)(uint32_t activation, uint32_t count, const float *bias, float *y) {
    switch (activation) {
    case DTR_ACT_GELU:
        activate_row(DTR_ACT_GELU, count, bias, y);
        break;
    case DTR_ACT_GELU_TANH:
        activate_row(DTR_ACT_GELU_TANH, count, bias, y);
        break;
    case DTR_ACT_TANH:
        activate_row(DTR_ACT_TANH, count, bias, y);
        break;
    default:
        activate_row(DTR_ACT_NONE, count, bias, y);
    }
}

/* A row is summed up in so many parts, none of which waits for another's additions. */
#define PARTS 4u
#define WHOLE_PARTS(_count) ((_count) / (PARTS * LANES) * (PARTS * LANES))

static inline float parts_sum(const lanes part[PARTS]) {
    return lanes_sum((part[0] + part[1]) + (part[2] + part[3]));
}

static inline lanes add_lanes(const float *x, const float *residual, float *y) {
    const lanes z = residual ? lanes_load(x) + lanes_load(residual) : lanes_load(x);
    lanes_store(y, z);
    return z;
}

/* y = x + residual; returns the sum of the row. */
static float add(const struct dtr_norm *n, uint32_t row, float *y) {
    const float *x = n->x + row * n->x_stride;
    const float *residual = n->residual ? n->residual + row * n->residual_stride : NULL;
    lanes sum[PARTS] = {{0.0f}};
    uint32_t i = 0;
    for (; i < WHOLE_PARTS(n->columns); i += PARTS * LANES)
#pragma GCC unroll 4
        for (uint32_t p = 0; p < PARTS; p++) {
            const uint32_t at = i + p * LANES;
            sum[p] += add_lanes(x + at, residual ? residual + at : NULL, y + at);
        }
    for (; i < WHOLE(n->columns); i += LANES)
        sum[0] += add_lanes(x + i, residual ? residual + i : NULL, y + i);
    if (i < n->columns) {
        const uint32_t rest = n->columns - i;
        lanes z = lanes_load_part(x + i, rest, 0.0f);
        if (residual)
            z += lanes_load_part(residual + i, rest, 0.0f);
        lanes_store_part(y + i, rest, z);
        sum[0] += z;
    }
    return parts_sum(sum);
}

/* The sum of squared distances from the mean. */
static float squares(const float *y, uint32_t columns, float mean) {
    lanes sum[PARTS] = {{0.0f}};
    uint32_t i = 0;
    for (; i < WHOLE_PARTS(columns); i += PARTS * LANES)
#pragma GCC unroll 4
        for (uint32_t p = 0; p < PARTS; p++) {
            const lanes d = lanes_load(y + i + p * LANES) - mean;
            sum[p] += d * d;
        }
    for (; i < columns; i += LANES) {
        const lanes d =
            (i < WHOLE(columns) ? lanes_load(y + i) : lanes_load_part(y + i, columns - i, mean)) -
            mean;
        sum[0] += d * d;
    }
    return parts_sum(sum);
}

/* y = gamma (x - mean) factor + beta */
static void scale(const struct dtr_norm *n, const float *x, float *y, float mean, float factor) {
    uint32_t i = 0;
    for (; i < WHOLE(n->columns); i += LANES) {
        const lanes z = (lanes_load(x + i) - mean) * factor;
        lanes_store(y + i, z * lanes_load(n->gamma + i) + lanes_load(n->beta + i));
    }
    if (i < n->columns) {
        const uint32_t rest = n->columns - i;
        const lanes z = (lanes_load_part(x + i, rest, 0.0f) - mean) * factor;
        lanes_store_part(y + i, rest,
                         z * lanes_load_part(n->gamma + i, rest, 0.0f) +
                             lanes_load_part(n->beta + i, rest, 0.0f));
    }
}

void DTR_NAME(add_norm)(const struct dtr_norm *norm, uint32_t first, uint32_t end) {
    const float columns = (float)norm->columns;
    for (uint32_t row = first; row < end; row++) {
        float *y = norm->y + row * norm->y_stride;
        const float mean = add(norm, row, y) / columns;
        const float variance = squares(y, norm->columns, mean) / columns;
        scale(norm, y, y, mean, 1.0f / sqrtf(variance + norm->epsilon));
    }
}

void DTR_NAME(moments)(const struct dtr_norm *norm, uint32_t first, uint32_t end) {
    for (uint32_t row = first; row < end; row++) {
        float *y = norm->y + row * norm->y_stride, *moments = norm->moments + 2 * (size_t)row;
        moments[0] = add(norm, row, y) / (float)norm->columns;
        moments[1] = squares(y, norm->columns, moments[0]);
    }
}

void DTR_NAME(normalise)(const struct dtr_norm *norm, uint32_t first, uint32_t end) {
    for (uint32_t row = first; row < end; row++) {
        const float *moments = norm->moments + 2 * (size_t)row;
        const float variance = moments[1] / (float)norm->count;
        scale(norm, norm->x + row * norm->x_stride, norm->y + row * norm->y_stride, moments[0],
              1.0f / sqrtf(variance + norm->epsilon));
    }
}

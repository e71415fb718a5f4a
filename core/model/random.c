/* SPDX-License-Identifier: MIT */
#include "model/random.h"

#define INCREMENT UINT64_C(0x9e3779b97f4a7c15)

/* Stafford's variant 13 of MurmurHash3's finaliser. */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t dtr_random_key(uint64_t key, uint64_t value) {
    return mix(mix(key + INCREMENT) ^ (value + INCREMENT));
}

/* 24 bits, so that the conversion and, with a power of two, the product are exact: whether a
 * compiler fuses product and sum makes no difference. */
static inline float number(uint32_t bits, float base, float step) {
    return base + step * (float)((int32_t)bits >> 8);
}

void dtr_random_row(uint64_t key, uint32_t row, uint32_t column, size_t count, float base,
                    float scale, float *out) {
    const uint64_t stream = dtr_random_key(key, row);
    const float step = scale * 0x1p-23f;
    uint64_t pair = column / 2;
    size_t i = 0;
    if (column % 2 && count)
        out[i++] = number((uint32_t)(mix(stream + pair++ * INCREMENT) >> 32), base, step);
    for (; i + 2 <= count; i += 2) {
        uint64_t bits = mix(stream + pair++ * INCREMENT);
        out[i] = number((uint32_t)bits, base, step);
        out[i + 1] = number((uint32_t)(bits >> 32), base, step);
    }
    if (i < count)
        out[i] = number((uint32_t)mix(stream + pair * INCREMENT), base, step);
}

/* SPDX-License-Identifier: MIT
 *
 * vector_narrow.c -- to and from the types narrower than float.
 */
#include "vector_variant.h"

#define WHOLE(_count) ((_count) / LANES * LANES)

typedef uint16_t lanes_u16 __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef int8_t lanes_i8 __attribute__((vector_size(LANES)));

static inline lanes_u16 bf16(lanes x) {
#if LANES_PAIRS
    /* What is below the normal numbers becomes zero, as it does in products of pairs. */
    return (lanes_u16)_mm512_cvtneps_pbh((__m512)x);
#else
    typedef uint32_t words __attribute__((vector_size(LANES * sizeof(float))));
    const words bits = (words)x;
    const words rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const words quiet = (bits >> 16) | 0x40u; /* rounding could make an infinity of a NaN */
    const words nan = (words)(x != x);
    return __builtin_convertvector((nan & quiet) | (~nan & rounded), lanes_u16);
#endif
}

void DTR_NAME(to_bf16)(uint32_t count, const float *x, uint16_t *y) {
    uint32_t i = 0;
    for (; i < WHOLE(count); i += LANES) {
        const lanes_u16 z = bf16(lanes_load(x + i));
        memcpy(y + i, &z, sizeof z);
    }
    if (i < count) {
        const lanes_u16 z = bf16(lanes_load_part(x + i, count - i, 0.0f));
        memcpy(y + i, &z, (count - i) * sizeof *y);
    }
}

static inline lanes magnitude(lanes x) {
    return (lanes)((lanes_bits)x & 0x7fffffff);
}

/* Nothing is farther than 127 steps from zero, so nothing has to be cut off. */
static inline lanes_i8 int8(lanes x, float inverse) {
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    const lanes_bits whole = (lanes_bits)(x * inverse + magic) - 0x4b400000;
    return __builtin_convertvector(whole, lanes_i8);
}

float DTR_NAME(to_int8)(uint32_t count, const float *x, int8_t *y) {
    lanes far = lanes_set(0.0f);
    for (uint32_t i = 0; i < count; i += LANES) {
        const lanes z = magnitude(i < WHOLE(count) ? lanes_load(x + i)
                                                   : lanes_load_part(x + i, count - i, 0.0f));
        far = lanes_larger(z, far);
    }
    const float farthest = lanes_max(far);
    const float inverse = farthest > 0.0f ? 127.0f / farthest : 0.0f;
    uint32_t i = 0;
    for (; i < WHOLE(count); i += LANES) {
        const lanes_i8 z = int8(lanes_load(x + i), inverse);
        memcpy(y + i, &z, sizeof z);
    }
    if (i < count) {
        const lanes_i8 z = int8(lanes_load_part(x + i, count - i, 0.0f), inverse);
        memcpy(y + i, &z, count - i);
    }
    return farthest / 127.0f;
}

static inline lanes to_float(const int32_t *sums, uint32_t count) {
    lanes_bits z = {0};
    memcpy(&z, sums, count * sizeof *sums);
    return __builtin_convertvector(z, lanes);
}

void DTR_NAME(from_int32)(uint32_t activation, uint32_t count, const int32_t *sums, float x_scale,
                          const float *w_scale, const float *bias, bool accumulate, float *y) {
    for (uint32_t i = 0; i < count; i += LANES) {
        if (i < WHOLE(count)) {
            lanes z = to_float(sums + i, LANES) * (lanes_load(w_scale + i) * x_scale);
            if (accumulate)
                z += lanes_load(y + i);
            lanes_store(y + i, z);
        } else {
            const uint32_t rest = count - i;
            lanes z =
                to_float(sums + i, rest) * (lanes_load_part(w_scale + i, rest, 0.0f) * x_scale);
            if (accumulate)
                z += lanes_load_part(y + i, rest, 0.0f);
            lanes_store_part(y + i, rest, z);
        }
    }
    if (bias || activation != DTR_ACT_NONE)
        DTR_NAME(activate)(activation, count, bias, y);
}

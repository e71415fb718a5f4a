/* SPDX-License-Identifier: MIT
 *
 * half.h -- the two 16-bit floating-point formats, IEEE 754 binary16 and bfloat16, to float.
 * Plain integer arithmetic that compilers vectorise: no instruction beyond the base set.
 */
#ifndef DTR_BASE_HALF_H
#define DTR_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float dtr_float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float dtr_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t exponent = magnitude & 0x0f800000u;
    /* 2^-14 (1 + m / 1024) - 2^-14: exact, and no subnormal float takes part in it. */
    float small = dtr_float_from_bits(magnitude + 0x38800000u) - dtr_float_from_bits(0x38800000u);
    uint32_t small_bits;
    memcpy(&small_bits, &small, sizeof small_bits);
    uint32_t bits = magnitude + (exponent == 0x0f800000u ? 0x70000000u : 0x38000000u);
    return dtr_float_from_bits(sign | (exponent ? bits : small_bits));
}

static inline float dtr_bf16_to_f32(uint16_t half) {
    return dtr_float_from_bits((uint32_t)half << 16);
}

#endif

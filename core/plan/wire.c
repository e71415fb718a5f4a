/* SPDX-License-Identifier: MIT */
#include "plan/wire.h"

#include <stdbool.h>
#include <string.h>

/* Loops over a row are plain; the compiler makes vector code of them for each of these targets,
 * once it is told to and need not mind what floating-point exceptions a discarded branch raises. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-trapping-math")
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MULTIVERSION
#endif

uint64_t dtr_wire_bytes(uint8_t wire, uint64_t rows, uint64_t values) {
    switch (wire) {
    case DTR_F32:
        return values * sizeof(float);
    case DTR_INT8:
        return values + rows * sizeof(float);
    default:
        return values * sizeof(uint16_t);
    }
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t bf16_of(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : rounded >> 16);
}

/* IEEE 754 binary16 without branches on the value: normal numbers by shifting the exponent,
 * subnormal ones by letting the addition of a constant do the rounding, the rest by selection. */
static inline uint16_t f16_of(float value) {
    const uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    const uint32_t normal = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x47800000u ? 0x7c00u : half;
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    return (uint16_t)(sign | half);
}

static inline float float_of_f16(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fffu;
    /* The product moves the exponent from one bias to the other and makes subnormals normal. */
    const float scaled = float_of(magnitude << 13) * 0x1p112f;
    const uint32_t bits =
        magnitude >= 0x7c00u ? 0x7f800000u | (magnitude & 0x3ffu) << 13 : bits_of(scaled);
    return float_of(sign | bits);
}

MULTIVERSION
static void encode_row_f16(const float *in, uint32_t columns, uint16_t *out) {
    for (uint32_t i = 0; i < columns; i++)
        out[i] = f16_of(in[i]);
}

MULTIVERSION
static void encode_row_bf16(const float *in, uint32_t columns, uint16_t *out) {
    for (uint32_t i = 0; i < columns; i++)
        out[i] = bf16_of(in[i]);
}

MULTIVERSION
static void decode_row_f16(const uint16_t *in, uint32_t columns, float *out, float keep) {
    for (uint32_t i = 0; i < columns; i++)
        out[i] = (keep != 0 ? out[i] : 0) + float_of_f16(in[i]);
}

MULTIVERSION
static void decode_row_bf16(const uint16_t *in, uint32_t columns, float *out, float keep) {
    for (uint32_t i = 0; i < columns; i++)
        out[i] = (keep != 0 ? out[i] : 0) + float_of((uint32_t)in[i] << 16);
}

/* Symmetric: the largest magnitude of the row is 127.  Magnitudes compare as their bits do, which
 * are quicker. */
MULTIVERSION
static void encode_row_int8(const float *in, uint32_t columns, int8_t *out, float *scale_p) {
    uint32_t most_bits = 0;
    for (uint32_t i = 0; i < columns; i++) {
        const uint32_t magnitude = bits_of(in[i]) & 0x7fffffff;
        most_bits = magnitude > most_bits ? magnitude : most_bits;
    }
    const float most = float_of(most_bits);
    const float inverse = most > 0 ? 127.0f / most : 0;
    for (uint32_t i = 0; i < columns; i++) {
        const float scaled = in[i] * inverse;
        /* A NaN has no integer; its row is broken anyhow. */
        out[i] = scaled == scaled ? (int8_t)(int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f)) : 0;
    }
    *scale_p = most / 127.0f;
}

MULTIVERSION
static void decode_row_int8(const int8_t *in, uint32_t columns, float scale, float *out,
                            float keep) {
    for (uint32_t i = 0; i < columns; i++)
        out[i] = (keep != 0 ? out[i] : 0) + scale * (float)in[i];
}

MULTIVERSION
static void add_row_f32(const uint8_t *in, uint32_t columns, float *out) {
    for (uint32_t i = 0; i < columns; i++) {
        float value;
        memcpy(&value, in + i * sizeof value, sizeof value);
        out[i] += value;
    }
}

uint8_t *dtr_wire_encode(uint8_t wire, const float *in, size_t stride, uint32_t rows,
                         uint32_t columns, uint8_t *out) {
    for (uint32_t row = 0; row < rows; row++, in += stride) {
        float scale;
        switch (wire) {
        case DTR_F32:
            memcpy(out, in, columns * sizeof *in);
            break;
        case DTR_F16:
            encode_row_f16(in, columns, (uint16_t *)(void *)out);
            break;
        case DTR_BF16:
            encode_row_bf16(in, columns, (uint16_t *)(void *)out);
            break;
        default:
            encode_row_int8(in, columns, (int8_t *)out + sizeof scale, &scale);
            memcpy(out, &scale, sizeof scale);
            break;
        }
        out += dtr_wire_bytes(wire, 1, columns);
    }
    return out;
}

static const uint8_t *decode(uint8_t wire, const uint8_t *in, float *out, size_t stride,
                             uint32_t rows, uint32_t columns, bool add) {
    const float keep = add ? 1 : 0;
    for (uint32_t row = 0; row < rows; row++, out += stride) {
        float scale;
        switch (wire) {
        case DTR_F32:
            if (add)
                add_row_f32(in, columns, out);
            else
                memcpy(out, in, columns * sizeof *out);
            break;
        case DTR_F16:
            decode_row_f16((const uint16_t *)(const void *)in, columns, out, keep);
            break;
        case DTR_BF16:
            decode_row_bf16((const uint16_t *)(const void *)in, columns, out, keep);
            break;
        default:
            memcpy(&scale, in, sizeof scale);
            decode_row_int8((const int8_t *)in + sizeof scale, columns, scale, out, keep);
            break;
        }
        in += dtr_wire_bytes(wire, 1, columns);
    }
    return in;
}

const uint8_t *dtr_wire_decode(uint8_t wire, const uint8_t *in, float *out, size_t stride,
                               uint32_t rows, uint32_t columns) {
    return decode(wire, in, out, stride, rows, columns, false);
}

const uint8_t *dtr_wire_add(uint8_t wire, const uint8_t *in, float *out, size_t stride,
                            uint32_t rows, uint32_t columns) {
    return decode(wire, in, out, stride, rows, columns, true);
}

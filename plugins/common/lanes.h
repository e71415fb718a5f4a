/* SPDX-License-Identifier: MIT
 *
 * lanes.h -- vectors of floats as wide as the instruction set that this is compiled for, and the
 * functions of them that the kernels need.  Only the compiler's generic vectors are used, so the
 * same text serves every machine; the sources that include it are compiled once for each
 * instruction set, with DTR_VARIANT as its name.
 */
#ifndef DTR_COMMON_LANES_H
#define DTR_COMMON_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define DTR_PASTE2(_a, _b, _c) _a##_b##_c
#define DTR_PASTE(_a, _b, _c) DTR_PASTE2(_a, _b, _c)
#define DTR_NAME(_name) DTR_PASTE(dtr_, DTR_VARIANT, _##_name)

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lanes_bits __attribute__((vector_size(LANES * sizeof(float))));
typedef float lanes_unaligned
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline lanes lanes_set(float x) {
    return x - (lanes){0.0f};
}

static inline lanes lanes_load(const float *p) {
    return *(const lanes_unaligned *)p;
}

static inline void lanes_store(float *p, lanes x) {
    *(lanes_unaligned *)p = x;
}

/* The first `count` < LANES floats; the other lanes hold `fill`. */
static inline lanes lanes_load_part(const float *p, uint32_t count, float fill) {
    lanes x = lanes_set(fill);
    memcpy(&x, p, count * sizeof *p);
    return x;
}

static inline void lanes_store_part(float *p, uint32_t count, lanes x) {
    memcpy(p, &x, count * sizeof *p);
}

/* mask ? a : b, lane by lane */
static inline lanes lanes_select(lanes_bits mask, lanes a, lanes b) {
    return (lanes)((mask & (lanes_bits)a) | (~mask & (lanes_bits)b));
}

/* When x is not a number, neither is the result. */
static inline lanes lanes_at_least(lanes x, float low) {
    return lanes_select(x < low, lanes_set(low), x);
}

static inline lanes lanes_at_most(lanes x, float high) {
    return lanes_select(x > high, lanes_set(high), x);
}

static inline float lanes_sum(lanes x) {
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (uint32_t n = LANES / 2; n; n /= 2)
        for (uint32_t i = 0; i < n; i++)
            part[i] += part[i + n];
    return part[0];
}

static inline float lanes_max(lanes x) {
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (uint32_t n = LANES / 2; n; n /= 2)
        for (uint32_t i = 0; i < n; i++)
            part[i] = part[i] < part[i + n] ? part[i + n] : part[i];
    return part[0];
}

/* e^x to 2 units in the last place: x = n log 2 + r with |r| <= log(2) / 2, and a polynomial in r
 * (Cephes, expf).  Below -87 the result is about 1e-38 instead of a subnormal number, above 88
 * about 1e38. */
static inline lanes lanes_exp(lanes x) {
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    x = lanes_at_least(lanes_at_most(x, 88.0f), -87.0f);
    const lanes n = (x * 1.44269504088896341f + magic) - magic;
    const lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + (r + 1.0f);
    const lanes_bits power = (lanes_bits)(n + (magic + 127.0f)) << 23;
    return p * (lanes)power;
}

/* x Phi(x).  (Phi(x) - 1/2) / x is a rational function of x^2, fitted on |x| < 5.4 to 5e-8 of the
 * result; beyond it Phi is 0 or 1 to the same exactness. */
static inline lanes lanes_gelu(lanes x) {
    const float end = 5.4f;
    const lanes u = x * x;
    lanes p = u * 1.1448959986577748e-10f - 2.310164687606158e-08f;
    p = p * u + 3.5253486550265404e-06f;
    p = p * u + 1.8970798233405986e-04f;
    p = p * u + 4.621926578295639e-03f;
    p = p * u + 3.7628362500094575e-02f;
    p = p * u + 3.989416845727759e-01f;
    lanes q = u * 6.948723956216883e-05f + 1.9356589135959938e-03f;
    q = q * u + 3.0091548448953915e-02f;
    q = q * u + 2.6098059060773543e-01f;
    q = q * u + 1.0f;
    const lanes near = x * (x * (p / q) + 0.5f);
    return lanes_select(x > end, x, lanes_select(x < -end, lanes_set(0.0f), near));
}

/* x (1 + tanh(z)) / 2 = x / (1 + e^-2z) with z = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline lanes lanes_gelu_tanh(lanes x) {
    const lanes minus_2z = x * (x * x * -0.0713548162726f - 1.59576912160573f);
    return x / (1.0f + lanes_exp(minus_2z));
}

static inline lanes lanes_tanh(lanes x) {
    return 1.0f - 2.0f / (1.0f + lanes_exp(x + x));
}

#endif

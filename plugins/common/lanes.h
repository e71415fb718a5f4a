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
#if defined(__AVX__)
#include <immintrin.h>
#endif

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

#if defined(__AVX512BF16__)
#define LANES_PAIRS 1
#else
#define LANES_PAIRS 0
#endif

/* sum + x[0] w[][0] + x[1] w[][1], with pairs of bfloat16 as the 32 bits of a float; only where
 * there is an instruction for it. */
static inline lanes lanes_add_pairs(lanes sum, const float *x, const float *w) {
#if LANES_PAIRS
    const __m512bh both = (__m512bh)_mm512_castps_si512(_mm512_set1_ps(*x));
    return (lanes)_mm512_dpbf16_ps((__m512)sum, both, *(const __m512bh *)w);
#else
    (void)x;
    (void)w;
    return sum;
#endif
}

/* Pairs of a[i] and b[i] as bfloat16, in the bits of a float. */
static inline lanes lanes_pairs(lanes a, lanes b) {
#if LANES_PAIRS
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)a));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)b));
    return (lanes)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
#else
    (void)b;
    return a;
#endif
}

/* mask ? a : b, lane by lane */
static inline lanes lanes_select(lanes_bits mask, lanes a, lanes b) {
    return (lanes)((mask & (lanes_bits)a) | (~mask & (lanes_bits)b));
}

/* The larger, the smaller of two; b where one is not a number.  Compilers do not see through
 * lanes_select() here. */
static inline lanes lanes_larger(lanes a, lanes b) {
#if defined(__AVX512F__)
    return (lanes)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (lanes)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return lanes_select(a > b, a, b);
#endif
}

static inline lanes lanes_smaller(lanes a, lanes b) {
#if defined(__AVX512F__)
    return (lanes)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (lanes)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return lanes_select(a < b, a, b);
#endif
}

/* When x is not a number, neither is the result. */
static inline lanes lanes_at_least(lanes x, float low) {
    return lanes_larger(lanes_set(low), x);
}

static inline lanes lanes_at_most(lanes x, float high) {
    return lanes_smaller(lanes_set(high), x);
}

typedef float quad __attribute__((vector_size(4 * sizeof(float))));
typedef float quad_unaligned
    __attribute__((vector_size(4 * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline float lanes_sum(lanes x) {
    quad part[LANES / 4];
    memcpy(part, &x, sizeof part);
#pragma GCC unroll 4
    for (uint32_t i = 1; i < LANES / 4; i++)
        part[0] += part[i];
    return (part[0][0] + part[0][2]) + (part[0][1] + part[0][3]);
}

static inline float lanes_max(lanes x) {
    float part[LANES];
    memcpy(part, &x, sizeof part);
#pragma GCC unroll 4
    for (uint32_t n = LANES / 2; n; n /= 2)
#pragma GCC unroll 8
        for (uint32_t i = 0; i < n; i++)
            part[i] = part[i] < part[i + n] ? part[i + n] : part[i];
    return part[0];
}

#if defined(__clang__) || __GNUC__ >= 12
#define QUAD_SHUFFLE(_a, _b, _0, _1, _2, _3) __builtin_shufflevector(_a, _b, _0, _1, _2, _3)
#else
typedef int32_t quad_index __attribute__((vector_size(4 * sizeof(float))));
#define QUAD_SHUFFLE(_a, _b, _0, _1, _2, _3) __builtin_shuffle(_a, _b, (quad_index){_0, _1, _2, _3})
#endif

/* to[j][i] = from[i][j] for four rows and columns */
static inline void quad_transpose(const float *from, size_t from_stride, float *to,
                                  size_t to_stride) {
    const quad a = *(const quad_unaligned *)from;
    const quad b = *(const quad_unaligned *)(from + from_stride);
    const quad c = *(const quad_unaligned *)(from + 2 * from_stride);
    const quad d = *(const quad_unaligned *)(from + 3 * from_stride);
    const quad low = QUAD_SHUFFLE(a, b, 0, 4, 1, 5), low2 = QUAD_SHUFFLE(c, d, 0, 4, 1, 5);
    const quad high = QUAD_SHUFFLE(a, b, 2, 6, 3, 7), high2 = QUAD_SHUFFLE(c, d, 2, 6, 3, 7);
    *(quad_unaligned *)to = QUAD_SHUFFLE(low, low2, 0, 1, 4, 5);
    *(quad_unaligned *)(to + to_stride) = QUAD_SHUFFLE(low, low2, 2, 3, 6, 7);
    *(quad_unaligned *)(to + 2 * to_stride) = QUAD_SHUFFLE(high, high2, 0, 1, 4, 5);
    *(quad_unaligned *)(to + 3 * to_stride) = QUAD_SHUFFLE(high, high2, 2, 3, 6, 7);
}

/* e^x for x <= 88, to 2 units in the last place: x = n log 2 + r with |r| <= log(2) / 2, and a
 * polynomial in r (Cephes, expf).  Below -87 the result is about 1e-38 instead of a subnormal
 * number. */
static inline lanes lanes_exp_below(lanes x) {
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    x = lanes_at_least(x, -87.0f);
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

/* The same for every x; above 88 the result is about 1e38. */
static inline lanes lanes_exp(lanes x) {
    return lanes_exp_below(lanes_at_most(x, 88.0f));
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

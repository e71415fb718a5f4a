/* SPDX-License-Identifier: MIT */
#include "cli/roofline.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "base/clock.h"

enum { SUMS = 16, ROUNDS = 5 };

/* A loop of multiply-adds: runs `turns` times and returns something that depends on all of them. */
struct loop {
    float (*run)(uint64_t turns, float x);
    double flops; /* of one turn */
};

/* --- multiply-adds ---------------------------------------------------------------------------- */

/* As many independent sums as hide the latency of an addition on every processor there is; loops
 * over them are unrolled, or they would lie in memory.  The factors come from an argument, so that
 * nothing is known before it runs. */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float f32_avx512(uint64_t turns, float x) {
    __m512 sum[SUMS], factor = _mm512_set1_ps(x);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx2,fma"))) static float f32_avx2(uint64_t turns, float x) {
    __m256 sum[SUMS - 1], factor = _mm256_set1_ps(x);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS - 1; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS - 1; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], factor, factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS - 1; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static float
bf16_avx512(uint64_t turns, float x) {
    const __m512 wide = _mm512_set1_ps(x);
    const __m512bh factor = _mm512_cvtne2ps_pbh(wide, wide);
    __m512 sum[SUMS];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static float int8_avx512(uint64_t turns, float x) {
    const __m512i factor = _mm512_set1_epi32((int)x);
    __m512i sum[SUMS];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS; i++)
        sum[i] = _mm512_set1_epi32(i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], factor, factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS; i++)
        sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    return (float)_mm512_cvtsi512_si32(sum[0]);
}

static float f32_base(uint64_t turns, float x) {
    __m128 sum[SUMS - 1], factor = _mm_set1_ps(x);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS - 1; i++)
        sum[i] = _mm_set1_ps((float)i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS - 1; i++)
            sum[i] = _mm_add_ps(_mm_mul_ps(sum[i], factor), factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS - 1; i++)
        sum[0] = _mm_add_ps(sum[0], sum[i]);
    return _mm_cvtss_f32(sum[0]);
}

static struct loop loop_of(uint32_t dtype) {
    __builtin_cpu_init();
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
    if (dtype == DTR_F32 && wide)
        return (struct loop){f32_avx512, SUMS * 16 * 2};
    if (dtype == DTR_F32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct loop){f32_avx2, (SUMS - 1) * 8 * 2};
    if (dtype == DTR_F32)
        return (struct loop){f32_base, (SUMS - 1) * 4 * 2};
    if (dtype == DTR_BF16 && wide && __builtin_cpu_supports("avx512bf16"))
        return (struct loop){bf16_avx512, SUMS * 32 * 2};
    if (dtype == DTR_INT8 && wide && __builtin_cpu_supports("avx512vnni"))
        return (struct loop){int8_avx512, SUMS * 64 * 2};
    return (struct loop){NULL, 0};
}
#elif defined(__aarch64__)
static float f32_base(uint64_t turns, float x) {
    float32x4_t sum[SUMS], factor = vdupq_n_f32(x);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS; i++)
        sum[i] = vdupq_n_f32((float)i);
    for (uint64_t t = 0; t < turns; t++)
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SUMS; i++)
            sum[i] = vfmaq_f32(factor, sum[i], factor);
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS; i++)
        sum[0] = vaddq_f32(sum[0], sum[i]);
    return vaddvq_f32(sum[0]);
}

static struct loop loop_of(uint32_t dtype) {
    return dtype == DTR_F32 ? (struct loop){f32_base, SUMS * 4 * 2} : (struct loop){NULL, 0};
}
#else
static float f32_base(uint64_t turns, float x) {
    float sum[SUMS];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < SUMS; i++)
        sum[i] = (float)i;
    for (uint64_t t = 0; t < turns; t++)
        for (uint32_t i = 0; i < SUMS; i++)
            sum[i] = sum[i] * x + x;
#pragma GCC unroll 16
    for (uint32_t i = 1; i < SUMS; i++)
        sum[0] += sum[i];
    return sum[0];
}

static struct loop loop_of(uint32_t dtype) {
    return dtype == DTR_F32 ? (struct loop){f32_base, SUMS * 2} : (struct loop){NULL, 0};
}
#endif

/* What the threads do at the same time, each on its own. */
struct job {
    struct loop loop;
    uint64_t turns;
    uint64_t *memory; /* [threads][words] */
    size_t words;
    _Atomic float sink; /* what is written here cannot be left out */
};

static void multiply(void *arg, uint32_t index) {
    struct job *job = arg;
    job->sink = job->loop.run(job->turns, 0.5f + (float)index * 0x1p-20f);
}

static double timed_s(struct dtr_pool *pool, uint32_t threads,
                      void (*body)(void *arg, uint32_t index), struct job *job) {
    const uint64_t begin_ns = dtr_now_ns();
    dtr_pool_run(pool, body, job, threads);
    return (double)(dtr_now_ns() - begin_ns) * 1e-9;
}

static double measure_gflops(struct dtr_pool *pool, uint32_t threads, double seconds,
                             uint32_t dtype) {
    struct job job = {.loop = loop_of(dtype), .turns = 1u << 14};
    double best = 0;
    if (!job.loop.run)
        return 0;
    double took_s = timed_s(pool, threads, multiply, &job);
    const double wanted = (double)job.turns * seconds / ROUNDS / (took_s > 1e-7 ? took_s : 1e-7);
    job.turns = wanted > 1 ? (uint64_t)wanted : 1;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        took_s = timed_s(pool, threads, multiply, &job);
        const double gflops = (double)job.turns * job.loop.flops * threads / took_s * 1e-9;
        best = gflops > best ? gflops : best;
    }
    return best;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* More than any cache holds, all threads together. */
static const size_t memory_bytes = (size_t)512 << 20;

static void read_words(void *arg, uint32_t index) {
    struct job *job = arg;
    typedef uint64_t four __attribute__((vector_size(32)));
    const four *at = (const four *)(job->memory + index * job->words);
    const four *end = (const four *)(job->memory + (index + 1) * job->words);
    four sum[4] = {{0}};
    for (; at < end; at += 4) {
        sum[0] ^= at[0];
        sum[1] ^= at[1];
        sum[2] ^= at[2];
        sum[3] ^= at[3];
    }
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    job->sink = (float)(sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3]);
}

static void touch_words(void *arg, uint32_t index) {
    const struct job *job = arg;
    memset(job->memory + index * job->words, 1, job->words * sizeof *job->memory);
}

static int measure_memory(struct dtr_pool *pool, uint32_t threads, double seconds,
                          double *gbyte_s_p, struct dtr_error *error) {
    const size_t share = memory_bytes / threads / 128 * 128;
    struct job job = {.words = share / sizeof *job.memory};
    job.memory = aligned_alloc(128, share * threads);
    if (!job.memory)
        return dtr_fail_memory(error);
    timed_s(pool, threads, touch_words, &job);
    double best = 0, all = 0;
    for (uint32_t i = 0; i < ROUNDS && (!i || all < seconds); i++) {
        const double took_s = timed_s(pool, threads, read_words, &job);
        const double gbyte_s = (double)(share * threads) / took_s * 1e-9;
        best = gbyte_s > best ? gbyte_s : best;
        all += took_s;
    }
    free(job.memory);
    *gbyte_s_p = best;
    return DTR_OK;
}

int dtr_roofline_measure(struct dtr_pool *pool, uint32_t threads, double seconds,
                         struct dtr_roofline *roofline, struct dtr_error *error) {
    for (uint32_t dtype = 0; dtype < DTR_DTYPES; dtype++)
        roofline->gflops[dtype] = measure_gflops(pool, threads, seconds, dtype);
    return measure_memory(pool, threads, seconds, &roofline->gbyte_s, error);
}

double dtr_roofline_limit(const struct dtr_roofline *roofline, uint32_t dtype, double flops,
                          double bytes) {
    const double arithmetic = roofline->gflops[dtype], memory = flops / bytes * roofline->gbyte_s;
    return arithmetic < memory ? arithmetic : memory;
}

/* SPDX-License-Identifier: MIT */
#include "vector.h"

extern const struct dtr_vector dtr_base_vector;
#ifdef DTR_HAVE_AVX512BF16
extern const struct dtr_vector dtr_avx512bf16_vector;
#endif
#ifdef DTR_HAVE_X86_VARIANTS
extern const struct dtr_vector dtr_avx2_vector, dtr_avx512_vector;
#endif

/* From each table on the list goes down to what every machine has. */
static const struct dtr_vector *const all[] = {
#ifdef DTR_HAVE_AVX512BF16
    &dtr_avx512bf16_vector,
#endif
#ifdef DTR_HAVE_X86_VARIANTS
    &dtr_avx512_vector, &dtr_avx2_vector,
#endif
    &dtr_base_vector, NULL};

const struct dtr_vector *const *dtr_vector_list(void) {
#ifdef DTR_HAVE_X86_VARIANTS
    const struct dtr_vector *const *const base = all + sizeof all / sizeof all[0] - 2;
    /* These ask CPUID and whether the system keeps the registers; emulators may hide some. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return base;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return base - 1;
#ifdef DTR_HAVE_AVX512BF16
    if (!__builtin_cpu_supports("avx512bf16"))
        return base - 2;
#endif
#endif
    return all;
}

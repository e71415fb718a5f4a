/* SPDX-License-Identifier: MIT
 *
 * With the instruction alone each step waits for the one before.  Three lanes side by side keep the
 * unit busy; their checksums are joined by carry-less products (Gopal et al., "Fast CRC Computation
 * for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011).
 */
#include "config.h"

#include "common/crc.h"

#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */

/* Four bits at a time: the table fits in one cache line. */
uint32_t crc32c_plain(uint32_t crc, const void *bytes, size_t count) {
    uint32_t table[16];
    const uint8_t *at = bytes;
    for (uint32_t i = 0; i < 16; i++) {
        table[i] = i;
        for (int bit = 0; bit < 4; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
    }
    crc = ~crc;
    for (; count; count--, at++) {
        crc ^= *at;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

#include <immintrin.h>

#define LANE 1024u                     /* bytes */
#define SHIFT_ONE UINT64_C(0x170076fa) /* x^(8 LANE - 33) modulo the polynomial   */
#define SHIFT_TWO UINT64_C(0xa51b6135) /* x^(16 LANE - 33) modulo the polynomial  */

static uint64_t word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* What the checksum becomes when as many zeros follow as the constant stands for. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t shifted(uint64_t crc, uint64_t constant) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
                                                 _mm_cvtsi64_si128((long long)constant), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
by_instruction(uint32_t start, const uint8_t *at, size_t count) {
    uint64_t crc = ~start;
    for (; count >= 3 * LANE; count -= 3 * LANE, at += 3 * LANE) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            crc = _mm_crc32_u64(crc, word_at(at + i));
            second = _mm_crc32_u64(second, word_at(at + LANE + i));
            third = _mm_crc32_u64(third, word_at(at + 2 * LANE + i));
        }
        crc = shifted(crc, SHIFT_TWO) ^ shifted(second, SHIFT_ONE) ^ third;
    }
    for (; count >= 8; count -= 8, at += 8)
        crc = _mm_crc32_u64(crc, word_at(at));
    for (; count; count--, at++)
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t count) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")
               ? by_instruction(crc, bytes, count)
               : crc32c_plain(crc, bytes, count);
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

__attribute__((target("+crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at,
                                                               size_t count) {
    crc = ~crc;
    for (; count >= 8; count -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        crc = __builtin_aarch64_crc32cx(crc, word);
    }
    for (; count; count--, at++)
        crc = __builtin_aarch64_crc32cb(crc, *at);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t count) {
    return getauxval(AT_HWCAP) & HWCAP_CRC32 ? by_instruction(crc, bytes, count)
                                             : crc32c_plain(crc, bytes, count);
}

#else

uint32_t crc32c(uint32_t crc, const void *bytes, size_t count) {
    return crc32c_plain(crc, bytes, count);
}

#endif

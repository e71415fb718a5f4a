/* SPDX-License-Identifier: MIT
 *
 * crc_test.c -- CRC-32C with and without the processor's instruction.
 */
#include "unit.h"

#include <stdlib.h>

#include "common/crc.h"

static uint8_t bytes[10000];

static int fill(void **state) {
    uint32_t x = 1;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return 0;
}

/* RFC 3720, appendix B.4, and the usual nine digits. */
static void known_values(void **state) {
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    for (uint8_t i = 0; i < 32; i++) {
        ones[i] = 0xff;
        rising[i] = i;
    }
    uint32_t (*const both[])(uint32_t, const void *, size_t) = {crc32c, crc32c_plain};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i](0, "123456789", 9), 0xe3069283);
        assert_int_equal(both[i](0, zeros, 32), 0x8a9136aa);
        assert_int_equal(both[i](0, ones, 32), 0x62a8ab43);
        assert_int_equal(both[i](0, rising, 32), 0x46dd794e);
        assert_int_equal(both[i](0, NULL, 0), 0);
    }
}

static void every_length(void **state) {
    (void)state;
    for (size_t length = 0; length < 8000; length += length < 70 ? 1 : 97)
        assert_int_equal(crc32c(0, bytes + length % 9, length),
                         crc32c_plain(0, bytes + length % 9, length));
}

static void piece_by_piece(void **state) {
    (void)state;
    const uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (size_t first = 0; first < sizeof bytes; first += 499)
        assert_int_equal(crc32c(crc32c(0, bytes, first), bytes + first, sizeof bytes - first),
                         whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_length),
        cmocka_unit_test(piece_by_piece),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * random_test.c -- random weights: every rectangle is part of the same matrix, on every machine.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "model/random.h"

enum { ROWS = 5, COLUMNS = 37 };

static void rectangles_agree(void **state) {
    (void)state;
    float whole[ROWS][COLUMNS], part[COLUMNS];
    for (uint32_t row = 0; row < ROWS; row++)
        dtr_random_row(7, row, 0, COLUMNS, 0.0f, 1.0f, whole[row]);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t first = 0; first < COLUMNS; first++)
            for (uint32_t count = 0; count <= COLUMNS - first; count++) {
                dtr_random_row(7, row, first, count, 0.0f, 1.0f, part);
                assert_memory_equal(part, &whole[row][first], count * sizeof *part);
            }
}

/* Values that any other machine must find, too; a change of them changes every random model. */
static void numbers_are_known(void **state) {
    (void)state;
    float row[4];
    dtr_random_row(dtr_random_key(1, 2), 3, 1, 4, 0.0f, 1.0f, row);
    static const float known[4] = {-0x1.1bb5ap-2f, -0x1.74004cp-1f, 0x1.bf4038p-1f, 0x1.ce9becp-1f};
    assert_memory_equal(row, known, sizeof known);
    dtr_random_row(dtr_random_key(1, 2), 3, 1, 4, 1.0f, 0.125f, row);
    for (int i = 0; i < 4; i++)
        assert_true(row[i] == 1.0f + 0.125f * known[i]);
}

static void keys_differ(void **state) {
    (void)state;
    float a[COLUMNS], b[COLUMNS];
    dtr_random_row(dtr_random_key(1, 2), 0, 0, COLUMNS, 0.0f, 1.0f, a);
    const struct {
        uint64_t key;
        uint32_t row;
    } others[] = {{dtr_random_key(2, 1), 0}, {dtr_random_key(1, 3), 0}, {dtr_random_key(1, 2), 1}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        dtr_random_row(others[i].key, others[i].row, 0, COLUMNS, 0.0f, 1.0f, b);
        for (int column = 0; column < COLUMNS; column++)
            assert_true(a[column] != b[column]);
    }
}

static void numbers_are_uniform(void **state) {
    (void)state;
    enum { N = 4096, BINS = 16 };
    static float row[N];
    unsigned bins[BINS] = {0};
    double sum = 0, squares = 0, neighbours = 0;
    for (uint32_t r = 0; r < 64; r++) {
        dtr_random_row(42, r, 0, N, 0.0f, 1.0f, row);
        for (int i = 0; i < N; i++) {
            assert_true(row[i] >= -1.0f && row[i] < 1.0f);
            bins[(int)floorf((row[i] + 1.0f) * BINS / 2)]++;
            sum += (double)row[i];
            squares += (double)row[i] * (double)row[i];
            neighbours += i ? (double)row[i] * (double)row[i - 1] : 0.0;
        }
    }
    /* Five standard deviations, or more, of what a perfect generator would give. */
    const double count = 64.0 * N;
    assert_true(fabs(sum / count) < 5 * sqrt(1.0 / 3 / count));
    assert_true(fabs(squares / count - 1.0 / 3) < 5 * sqrt(4.0 / 45 / count));
    assert_true(fabs(neighbours / count) < 5 * sqrt(1.0 / 9 / count));
    for (int i = 0; i < BINS; i++)
        assert_true(fabs(bins[i] - count / BINS) < 5 * sqrt(count / BINS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rectangles_agree),
        cmocka_unit_test(numbers_are_known),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(numbers_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

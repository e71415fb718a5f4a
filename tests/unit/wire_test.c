/* SPDX-License-Identifier: MIT
 *
 * Wire types: what comes back, how far off it is, at lengths that leave vectors half full.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "plan/wire.h"

enum { ROWS = 3, COLUMNS_MOST = 70 };

static float value(uint32_t i) {
    return sinf((float)i * 1.7f) * (i % 5 ? 1.0f : 30.0f);
}

/* The largest error of a value, over the largest magnitude of its row. */
static double round_trip(uint8_t wire, uint32_t columns) {
    float in[ROWS * COLUMNS_MOST], out[ROWS * COLUMNS_MOST], sum[ROWS * COLUMNS_MOST];
    uint8_t bytes[ROWS * COLUMNS_MOST * sizeof(float) + 64];
    double worst = 0;
    memset(bytes, 0xa5, sizeof bytes);
    for (uint32_t i = 0; i < ROWS * COLUMNS_MOST; i++) {
        in[i] = value(i);
        out[i] = -1;
        sum[i] = 2;
    }
    const uint64_t length = dtr_wire_bytes(wire, ROWS, ROWS * columns);
    assert_ptr_equal(dtr_wire_encode(wire, in, COLUMNS_MOST, ROWS, columns, bytes), bytes + length);
    assert_int_equal(bytes[length], 0xa5);
    assert_ptr_equal(dtr_wire_decode(wire, bytes, out, COLUMNS_MOST, ROWS, columns),
                     bytes + length);
    assert_ptr_equal(dtr_wire_add(wire, bytes, sum, COLUMNS_MOST, ROWS, columns), bytes + length);
    for (uint32_t row = 0; row < ROWS; row++) {
        const float *x = in + row * COLUMNS_MOST;
        const float *y = out + row * COLUMNS_MOST, *z = sum + row * COLUMNS_MOST;
        float most = 0;
        for (uint32_t i = 0; i < columns; i++)
            most = fmaxf(most, fabsf(x[i]));
        for (uint32_t i = 0; i < columns; i++) {
            worst = fmax(worst, fabs((double)y[i] - (double)x[i]) / (double)most);
            assert_true(fabsf(z[i] - (y[i] + 2)) <= 1e-5f);
        }
        for (uint32_t i = columns; i < COLUMNS_MOST; i++)
            assert_true(y[i] < 0 && z[i] > 1);
    }
    return worst;
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    for (uint32_t columns = 1; columns <= COLUMNS_MOST; columns++) {
        assert_true(round_trip(DTR_F32, columns) <= 0);
        assert_true(round_trip(DTR_F16, columns) <= 1.0 / 2048);
        assert_true(round_trip(DTR_BF16, columns) <= 1.0 / 256);
        assert_true(round_trip(DTR_INT8, columns) <= 0.5001 / 127);
    }
}

static float through(uint8_t wire, float x) {
    uint8_t bytes[8];
    float out;
    dtr_wire_encode(wire, &x, 1, 1, 1, bytes);
    dtr_wire_decode(wire, bytes, &out, 1, 1, 1);
    return out;
}

static void assert_through(uint8_t wire, float x, float wanted) {
    const float got = through(wire, x);
    if (memcmp(&got, &wanted, sizeof got) != 0)
        fail_msg("type %d: %a became %a instead of %a", wire, (double)x, (double)got,
                 (double)wanted);
}

static void halves_at_their_limits(void **state) {
    (void)state;
    assert_through(DTR_F16, 65504.0f, 65504.0f);
    assert_through(DTR_F16, 65519.0f, 65504.0f);
    assert_through(DTR_F16, 65520.0f, INFINITY);
    assert_through(DTR_F16, -1e30f, -INFINITY);
    assert_through(DTR_F16, 0x1p-24f, 0x1p-24f);
    assert_through(DTR_F16, 0x1p-26f, 0.0f);
    assert_through(DTR_F16, 0x1.ff8p-15f, 0x1.ff8p-15f);
    assert_through(DTR_F16, 1.0f + 0x1p-11f, 1.0f);
    assert_through(DTR_F16, 1.0f + 3 * 0x1p-11f, 1.0f + 2 * 0x1p-10f);
    assert_through(DTR_BF16, 1.0f + 0x1p-8f, 1.0f);
    assert_through(DTR_BF16, INFINITY, INFINITY);
    assert_true(isnan(through(DTR_F16, NAN)));
    assert_true(isnan(through(DTR_BF16, NAN)));
}

static void rows_of_nothing(void **state) {
    (void)state;
    assert_through(DTR_INT8, 0.0f, 0.0f);
    assert_through(DTR_INT8, 3.0f, 3.0f);
    assert_through(DTR_INT8, -1e-30f, -1e-30f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(halves_at_their_limits),
        cmocka_unit_test(rows_of_nothing),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

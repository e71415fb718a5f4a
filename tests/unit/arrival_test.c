/* SPDX-License-Identifier: MIT
 *
 * arrival_test.c -- which part of a message is left unread, and for how long.
 */
#include "unit.h"

#include "tcp/arrival.h"

static const uint64_t us = 1000, ms = 1000000;

static struct arrival read_at(uint64_t now_ns) {
    struct arrival arrival = {.there = 0};
    arrival_read(&arrival, now_ns);
    return arrival;
}

static void what_is_whole_is_read(void **state) {
    (void)state;
    struct arrival arrival = {.there = 0};
    assert_false(arrival_goes_on(&arrival, 1000, 1000, 1 * ms));
    assert_false(arrival_goes_on(&arrival, 1001, 1000, 2 * ms));
}

static void nothing_is_waited_for_by_looking(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_false(arrival_goes_on(&arrival, 0, 20000, 1 * ms + 10 * us));
}

/* 10 ns a byte, at first. */
static void the_rest_is_expected_at_the_rate_at_which_it_comes(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_true(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 100 * us));
    assert_int_equal(arrival.look_again_ns, 1 * ms + 100 * us + 100 * us);
    /* Half as fast. */
    assert_true(arrival_goes_on(&arrival, 20000, 30000, 1 * ms + 300 * us));
    assert_int_equal(arrival.look_again_ns, 1 * ms + 300 * us + 100 * us);
    /* Close to the end it is not slept. */
    assert_true(arrival_goes_on(&arrival, 25000, 30000, 1 * ms + 400 * us));
    assert_true(arrival.look_again_ns <= 1 * ms + 400 * us);
}

static void what_stands_still_is_read(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_true(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 100 * us));
    assert_true(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 299 * us));
    assert_false(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 300 * us));
    /* What was read is no longer missing; the next bytes are measured from there. */
    arrival_read(&arrival, 2 * ms);
    assert_true(arrival_goes_on(&arrival, 5000, 20000, 2 * ms + 100 * us));
    assert_int_equal(arrival.look_again_ns, 2 * ms + 100 * us + 150 * us);
}

/* A sender that did not run for a while makes no long sleep; few bytes that came at once do not
 * make a short wait. */
static void no_rate_is_taken_for_too_low_or_too_high(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_true(arrival_goes_on(&arrival, 1000, 30000, 101 * ms));
    assert_int_equal(arrival.look_again_ns, 102 * ms);
    arrival_read(&arrival, 200 * ms);
    assert_true(arrival_goes_on(&arrival, 1000, 30000, 200 * ms + 1));
    assert_true(arrival_goes_on(&arrival, 1000, 30000, 200 * ms + 90 * us));
    assert_false(arrival_goes_on(&arrival, 1000, 30000, 200 * ms + 110 * us));
}

static void long_messages_are_read_as_they_come(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_false(arrival_goes_on(&arrival, 10000, 1000000, 1 * ms + 100 * us));
}

static void no_end_is_waited_for_that_will_not_come(void **state) {
    (void)state;
    struct arrival arrival = read_at(1 * ms);
    assert_true(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 100 * us));
    arrival_end(&arrival);
    assert_false(arrival_goes_on(&arrival, 10000, 30000, 1 * ms + 101 * us));
    assert_int_equal(arrival.look_again_ns, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_whole_is_read),
        cmocka_unit_test(nothing_is_waited_for_by_looking),
        cmocka_unit_test(the_rest_is_expected_at_the_rate_at_which_it_comes),
        cmocka_unit_test(what_stands_still_is_read),
        cmocka_unit_test(no_rate_is_taken_for_too_low_or_too_high),
        cmocka_unit_test(long_messages_are_read_as_they_come),
        cmocka_unit_test(no_end_is_waited_for_that_will_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

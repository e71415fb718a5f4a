/* SPDX-License-Identifier: MIT
 *
 * pool_test.c -- every index of every job is done once, by threads that are still looking for the
 * next job and by such as have gone to sleep.
 */
#include "unit.h"

#include <stdatomic.h>
#include <time.h>

#include "plugin/pool.h"

#define COUNT_MAX 64u

static void count_up(void *arg, uint32_t index) {
    atomic_uint *done = arg;
    atomic_fetch_add(&done[index], 1);
}

static void pause_ms(long ms) {
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

/* The first is slow, so that others wait for whoever does it. */
static void count_up_slowly(void *arg, uint32_t index) {
    if (index == 0)
        pause_ms(2);
    count_up(arg, index);
}

static void run_all(struct dtr_pool *pool, void (*body)(void *arg, uint32_t index),
                    uint32_t count) {
    atomic_uint done[COUNT_MAX] = {0};
    dtr_pool_run(pool, body, done, count);
    for (uint32_t i = 0; i < COUNT_MAX; i++)
        assert_int_equal(atomic_load(&done[i]), i < count);
}

static void all_is_done_once(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        struct dtr_pool *pool;
        struct dtr_error error;
        assert_int_equal(dtr_pool_create(threads, &pool, &error), DTR_OK);
        for (uint32_t i = 0; i < 1000; i++)
            run_all(pool, count_up, i % (COUNT_MAX + 1));
        for (uint32_t i = 0; i < 10; i++) {
            run_all(pool, count_up_slowly, threads);
            pause_ms(2);
        }
        dtr_pool_free(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_is_done_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

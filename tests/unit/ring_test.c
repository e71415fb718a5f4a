/* SPDX-License-Identifier: MIT
 *
 * ring_test.c -- the ring between two processes: every byte in order, whatever the sizes; small
 * messages stay in its first part; a sleeping reader is woken; what a hostile other end writes is
 * noticed.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "shm/ring.h"

#define BYTES ((uint64_t)256 << 10)
#define NEAR ((uint64_t)64 << 10)

struct fixture {
    struct ring *ring;
    struct bell bell;
    struct ring_end out, in;
    atomic_bool broken;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->ring = aligned_alloc(64, sizeof *f->ring + BYTES);
    memset(f->ring, 0, sizeof *f->ring + BYTES);
    f->out = f->in = (struct ring_end){.ring = f->ring, .bytes = BYTES, .other = &f->bell};
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    free(f->ring);
    free(f);
    return 0;
}

/* What the stream has at each place. */
static unsigned char byte_at(uint64_t place) {
    return (unsigned char)((place * 2654435761u) >> 13);
}

static ssize_t put(struct fixture *f, uint64_t place, size_t bytes) {
    static unsigned char data[2 * BYTES];
    for (size_t i = 0; i < bytes; i++)
        data[i] = byte_at(place + i);
    return ring_write(&f->out, &(struct iovec){.iov_base = data, .iov_len = bytes}, 1);
}

static ssize_t take(struct fixture *f, uint64_t place, size_t bytes) {
    static unsigned char data[2 * BYTES];
    const ssize_t got = ring_read(&f->in, &(struct iovec){.iov_base = data, .iov_len = bytes}, 1);
    for (ssize_t i = 0; i < got; i++)
        assert_int_equal(data[i], byte_at(place + (uint64_t)i));
    return got;
}

static void small_messages_stay_near(void **state) {
    struct fixture *f = *state;
    uint64_t place = 0;
    for (size_t i = 0; i < 1000; i++) {
        const size_t bytes = 1 + i * 37 % 5000;
        assert_int_equal(put(f, place, bytes), bytes);
        assert_int_equal(take(f, place, bytes), bytes);
        place += bytes;
    }
    for (uint64_t i = NEAR + 5000; i < BYTES; i++)
        assert_int_equal(f->ring->data[i], 0);
}

static void a_full_ring_turns_only_when_it_is_empty(void **state) {
    struct fixture *f = *state;
    assert_int_equal(put(f, 0, BYTES), BYTES);
    assert_int_equal(put(f, BYTES, 1), 0);
    assert_int_equal(take(f, 0, BYTES - 1), BYTES - 1);
    /* One byte is unread: the rest of the way, and on round. */
    assert_int_equal(put(f, BYTES, NEAR), NEAR);
    assert_int_equal(take(f, BYTES - 1, 2 * BYTES), NEAR + 1);
    assert_int_equal(put(f, BYTES + NEAR, 10), 10);
    assert_int_equal(f->ring->data[0], byte_at(BYTES + NEAR));
    assert_int_equal(take(f, BYTES + NEAR, 100), 10);
    assert_int_equal(take(f, 0, 100), 0);
}

#define STREAM ((uint64_t)16 << 20)

static void *write_stream(void *arg) {
    struct fixture *f = arg;
    uint64_t seed = 1, place = 0;
    while (place < STREAM) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t bytes = (size_t)(seed >> 33) % (seed >> 62 ? 3000 : BYTES);
        if (bytes > STREAM - place)
            bytes = (size_t)(STREAM - place);
        const ssize_t moved = put(f, place, bytes);
        if (moved < 0) {
            atomic_store(&f->broken, true);
            break;
        }
        if (!moved)
            sched_yield();
        place += (uint64_t)moved;
    }
    return NULL;
}

static void two_threads_lose_nothing(void **state) {
    struct fixture *f = *state;
    pthread_t thread;
    uint64_t place = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_stream, f), 0);
    while (place < STREAM && !atomic_load(&f->broken)) {
        const ssize_t got = take(f, place, (size_t)(1 + place % 70000));
        assert_true(got >= 0);
        if (!got)
            sched_yield();
        place += (uint64_t)got;
    }
    pthread_join(thread, NULL);
    assert_int_equal(place, STREAM);
}

/* Whoever misses being woken sleeps until the harness's time is up. */
static void a_sleeper_is_always_woken(void **state) {
    struct fixture *f = *state;
    const uint64_t long_ns = UINT64_C(3600000000000);
    pthread_t thread;
    uint64_t place = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_stream, f), 0);
    while (place < STREAM && !atomic_load(&f->broken)) {
        ssize_t got = take(f, place, BYTES);
        if (!got) {
            const uint32_t seen = bell_lie_down(&f->bell);
            got = take(f, place, BYTES);
            if (!got)
                bell_sleep(&f->bell, seen, long_ns);
            bell_get_up(&f->bell);
        }
        assert_true(got >= 0);
        place += (uint64_t)got;
    }
    pthread_join(thread, NULL);
    assert_int_equal(place, STREAM);
}

static void a_ring_between_lying_down_and_sleeping_counts(void **state) {
    struct fixture *f = *state;
    bell_ring(&f->bell); /* nobody lies down: not a trace of it */
    assert_int_equal(atomic_load(&f->bell.rung), 0);
    const uint32_t seen = bell_lie_down(&f->bell);
    bell_ring(&f->bell);
    bell_sleep(&f->bell, seen, UINT64_C(3600000000000));
    bell_get_up(&f->bell);
    assert_int_equal(atomic_load(&f->bell.asleep), 0);
}

static void what_cannot_be_is_refused(void **state) {
    struct fixture *f = *state;
    atomic_store(&f->ring->head, BYTES + 1);
    assert_int_equal(take(f, 0, 1), -1);
    atomic_store(&f->ring->head, 2 * BYTES);
    atomic_store(&f->ring->turn, BYTES + 64);
    assert_int_equal(take(f, 0, 1), -1);
    atomic_store(&f->ring->turn, 3 * BYTES);
    assert_int_equal(take(f, 0, 1), -1);
    /* The reader's index, once the writer looks at it. */
    assert_int_equal(put(f, 0, NEAR), NEAR);
    atomic_store(&f->ring->tail, NEAR + 1);
    assert_int_equal(put(f, NEAR, 1), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_messages_stay_near, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_ring_turns_only_when_it_is_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_threads_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sleeper_is_always_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ring_between_lying_down_and_sleeping_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * emulated_test.c -- the arithmetic of slow ports, on times that the test makes up: no clock, no
 * sockets, no waiting.
 */
#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "emulated/port.h"

#define MS UINT64_C(1000000)
#define KB 1000u
#define PEERS 4u

/* 8 Mbit/s are one byte a microsecond, 1 kB a millisecond. */
#define MBIT 8.0

static void *plain_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    (void)host;
    void *memory;
    return posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes + 1)
               ? NULL
               : memory;
}

static void plain_release(const struct dtr_host *host, void *memory) {
    (void)host;
    free(memory);
}

static const struct dtr_host host = {
    .size = sizeof host, .allocate = plain_allocate, .release = plain_release, .fail = dtr_fail};

static struct trace constant(double mbit, double latency_us) {
    struct trace trace;
    assert_int_equal(trace_constant(&host, mbit, latency_us, 0, &trace, NULL), DTR_OK);
    return trace;
}

static struct in_port *port_over(const struct trace *trace) {
    struct in_port *port;
    assert_int_equal(in_port_create(&host, trace, PEERS, &port), DTR_OK);
    return port;
}

static void add(struct in_port *port, uint32_t peer, uint64_t begin, uint64_t end, size_t bytes,
                uint64_t *ready) {
    const struct passage passage = {.begin_ns = begin, .end_ns = end};
    *ready = UINT64_MAX;
    assert_int_equal(in_port_add(port, peer, &passage, bytes, ready), DTR_OK);
}

/* To the nearest microsecond: rounding is in nanoseconds. */
static void about(uint64_t value, uint64_t expected) {
    if (value + 1000 < expected || value > expected + 1000)
        assert_int_equal(value, expected);
}

/* --- tests --- */

static void out_one_after_the_other(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 500);
    struct out_port port = {.trace = &trace};
    struct passage passage = out_port_send(&port, 10 * MS, 4 * KB);
    assert_int_equal(passage.begin_ns, 10 * MS + MS / 2);
    about(passage.end_ns, 14 * MS + MS / 2);
    passage = out_port_send(&port, 11 * MS, 2 * KB);
    about(passage.begin_ns, 14 * MS + MS / 2);
    about(passage.end_ns, 16 * MS + MS / 2);
    passage = out_port_send(&port, 40 * MS, 0);
    assert_int_equal(passage.begin_ns, 40 * MS + MS / 2);
    assert_int_equal(passage.end_ns, 40 * MS + MS / 2);
    trace_free(&trace);
}

static void alone_the_length_counts_once(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 0);
    struct in_port *port = port_over(&trace);
    uint64_t ready;
    add(port, 1, 100 * MS, 108 * MS, 8 * KB, &ready);
    about(in_port_next(port), 108 * MS);
    in_port_advance(port, 107 * MS);
    assert_int_equal(ready, UINT64_MAX);
    in_port_advance(port, 200 * MS);
    about(ready, 108 * MS);
    assert_int_equal(in_port_next(port), UINT64_MAX);
    in_port_free(port);
    trace_free(&trace);
}

static void a_slower_port_in_decides(void **state) {
    (void)state;
    struct trace trace = constant(MBIT / 4, 0);
    struct in_port *port = port_over(&trace);
    uint64_t ready;
    add(port, 1, 100 * MS, 108 * MS, 8 * KB, &ready);
    about(in_port_next(port), 132 * MS);
    in_port_advance(port, 140 * MS);
    about(ready, 132 * MS);
    in_port_free(port);
    trace_free(&trace);
}

static void peers_share_the_port(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 0);
    struct in_port *port = port_over(&trace);
    uint64_t long_one, short_one, late_one;
    add(port, 0, 0, 12 * MS, 12 * KB, &long_one);
    add(port, 1, 0, 2 * MS, 2 * KB, &short_one);
    in_port_advance(port, 3 * MS);
    assert_int_equal(short_one, UINT64_MAX);
    /* Half of the port each, for 4 ms; then the long one alone but for a third. */
    in_port_advance(port, 5 * MS);
    about(short_one, 4 * MS);
    add(port, 2, 10 * MS, 11 * MS, 1 * KB, &late_one);
    in_port_advance(port, 100 * MS);
    about(late_one, 12 * MS);
    about(long_one, 15 * MS);
    in_port_free(port);
    trace_free(&trace);
}

static void who_sends_slowly_is_not_held_up(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 0);
    struct in_port *port = port_over(&trace);
    uint64_t fast, slow;
    add(port, 0, 0, 10 * MS, 10 * KB, &fast);
    add(port, 1, 0, 8 * MS, 2 * KB, &slow); /* a quarter of the port's rate */
    in_port_advance(port, 100 * MS);
    about(slow, 8 * MS);
    about(fast, 12 * MS);
    in_port_free(port);
    trace_free(&trace);
}

/* Whether time passes in one step or in many, and whether what is next is asked for, is the same.
 */
static void steps_do_not_matter(void **state) {
    (void)state;
    uint64_t ready[2][64];
    struct trace trace = constant(MBIT, 0);
    for (int often = 0; often < 2; often++) {
        struct in_port *port = port_over(&trace);
        for (uint32_t i = 0; i < 64; i++)
            add(port, i % PEERS, (i / PEERS) * 3 * MS, ((i / PEERS) * 3 + 3) * MS,
                500 + 97 * (i % 7), &ready[often][i]);
        for (uint64_t time = 0; often && time < 100 * MS; time += 137000) {
            in_port_next(port);
            in_port_advance(port, time);
        }
        in_port_advance(port, 1000 * MS);
        in_port_free(port);
    }
    for (uint32_t i = 0; i < 64; i++) {
        assert_true(ready[0][i] < 200 * MS);
        about(ready[1][i], ready[0][i]);
    }
    trace_free(&trace);
}

static void late_news_still_counts(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 0);
    struct in_port *port = port_over(&trace);
    uint64_t first, second, third, fourth;
    add(port, 0, 0, 10 * MS, 10 * KB, &first);
    in_port_advance(port, 5 * MS);
    add(port, 1, 3 * MS, 4 * MS, 1 * KB, &second); /* in time: nothing was through yet */
    in_port_advance(port, 100 * MS);
    about(second, 5 * MS);
    about(first, 11 * MS);
    /* One that begins later does not keep out one that began before. */
    add(port, 2, 60 * MS, 61 * MS, 1 * KB, &third);
    in_port_advance(port, 55 * MS);
    add(port, 3, 50 * MS, 51 * MS, 1 * KB, &fourth);
    in_port_advance(port, 101 * MS);
    about(fourth, 51 * MS);
    about(third, 61 * MS);
    /* Too late: what it should have had is gone, and it has what is left from there on. */
    add(port, 0, 200 * MS, 202 * MS, 2 * KB, &first);
    add(port, 1, 201 * MS, 208 * MS, 7 * KB, &second);
    in_port_advance(port, 204 * MS); /* the first was through at 203 ms */
    about(first, 203 * MS);
    add(port, 2, 200 * MS, 201 * MS, 1 * KB, &third);
    in_port_advance(port, 300 * MS);
    about(third, 205 * MS);
    about(second, 210 * MS);
    in_port_free(port);
    trace_free(&trace);
}

/* What waits for a nanosecond is next to nothing, but it counts, or it adds up and keeps the last
 * segment back for ever. */
static void every_segment_gets_through(void **state) {
    (void)state;
    enum { SEGMENTS = 48, BYTES = 12312 };
    struct trace trace = constant(12.3, 256);
    struct in_port *port = port_over(&trace);
    struct out_port out[3] = {{.trace = &trace}, {.trace = &trace}, {.trace = &trace}};
    uint64_t ready[SEGMENTS];
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        const uint64_t now = i / 3 * 40 * MS + i % 3;
        const struct passage passage = out_port_send(&out[i % 3], now, BYTES);
        add(port, i % 3, passage.begin_ns, passage.end_ns, BYTES, &ready[i]);
    }
    in_port_advance(port, 10000 * MS);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        assert_true(ready[i] < 10000 * MS);
    in_port_free(port);
    trace_free(&trace);
}

static void one_peer_keeps_its_order(void **state) {
    (void)state;
    struct trace trace = constant(MBIT, 0);
    struct in_port *port = port_over(&trace);
    uint64_t ready[200];
    for (uint32_t i = 0; i < 200; i++)
        add(port, 1, i * MS, (i + 1) * MS, i % 3 ? 1 * KB : 0, &ready[i]);
    in_port_advance(port, 1000 * MS);
    for (uint32_t i = 0; i < 200; i++)
        about(ready[i], (i + 1) * MS);
    in_port_free(port);
    trace_free(&trace);
}

/* --- traces --- */

static int trace_of(const char *text, struct trace *trace, struct dtr_error *error) {
    char name[] = "trace-XXXXXX";
    const int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    const int status = trace_read(&host, name, 0, trace, error);
    unlink(name);
    return status;
}

static void traces_step(void **state) {
    (void)state;
    struct trace trace;
    assert_int_equal(
        trace_of("# a comment\n5 8 100\n\n  10 0 200 # none\n20\t16 300\n", &trace, NULL), DTR_OK);
    trace.origin_ns = 1000 * MS;
    assert_int_equal(trace_latency(&trace, 0), 100000);
    assert_int_equal(trace_latency(&trace, 11000 * MS), 200000);
    assert_int_equal(trace_next(&trace, 0), 11000 * MS);
    assert_int_equal(trace_next(&trace, 11000 * MS), 21000 * MS);
    assert_int_equal(trace_next(&trace, 21000 * MS), UINT64_MAX);
    /* 1 kB/ms until 11 s, nothing until 21 s, 2 kB/ms from then. */
    about(trace_end(&trace, 10990 * MS, 10 * KB), 11000 * MS);
    about(trace_end(&trace, 10990 * MS, 12 * KB), 21001 * MS);

    struct in_port *port = port_over(&trace);
    uint64_t ready;
    add(port, 0, 10990 * MS, 11000 * MS, 20 * KB, &ready);
    in_port_advance(port, 20990 * MS);
    assert_int_equal(ready, UINT64_MAX);
    about(in_port_next(port), 21005 * MS);
    in_port_advance(port, 21010 * MS);
    about(ready, 21005 * MS);
    in_port_free(port);
    trace_free(&trace);
}

static void bad_traces_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",         "1 2\n",     "0 1e-300 0\n", "1 2 3 4\n",      "a b c\n",
        "1 -2 3\n", "1 nan 3\n", "1 0 3\n",      "1 2 3\n1 2 3\n", "1 2 1e300\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trace trace;
        struct dtr_error error = {.status = DTR_OK};
        assert_int_equal(trace_of(bad[i], &trace, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, "trace-"));
    }
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(trace_read(&host, "no such file", 0, &(struct trace){0}, &error),
                     DTR_E_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_one_after_the_other),
        cmocka_unit_test(alone_the_length_counts_once),
        cmocka_unit_test(a_slower_port_in_decides),
        cmocka_unit_test(peers_share_the_port),
        cmocka_unit_test(who_sends_slowly_is_not_held_up),
        cmocka_unit_test(steps_do_not_matter),
        cmocka_unit_test(late_news_still_counts),
        cmocka_unit_test(one_peer_keeps_its_order),
        cmocka_unit_test(every_segment_gets_through),
        cmocka_unit_test(traces_step),
        cmocka_unit_test(bad_traces_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * exchange_test.c -- messages over byte streams that are short, slow and break: two exchanges in
 * one process, joined by pipes that the tests control.
 */
#include "unit.h"

#include <string.h>

#include "base/error.h"
#include "common/exchange.h"

#define PIPE 4096u
#define LIMIT 8192u
#define TAG 7u

struct pipe {
    unsigned char data[PIPE];
    size_t have, step; /* at most `step` bytes a call */
};

struct side {
    struct exchange exchange;
    struct pipe *out, *in;
    bool broken;
};

struct pair {
    struct pipe there, back;
    struct side side[2];
};

/* --- the host and the streams --- */

static size_t allocations;

static void *count_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    (void)host;
    void *memory;
    allocations++;
    return posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes + 1)
               ? NULL
               : memory;
}

static void count_release(const struct dtr_host *host, void *memory) {
    (void)host;
    free(memory);
}

static void say_nothing(const struct dtr_host *host, enum dtr_log_level level, const char *format,
                        ...) {
    (void)host;
    (void)level;
    (void)format;
}

static const struct dtr_host host = {.size = sizeof host,
                                     .allocate = count_allocate,
                                     .release = count_release,
                                     .log = say_nothing,
                                     .fail = dtr_fail};

static ssize_t pipe_write(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    (void)peer;
    struct side *side = owner;
    struct pipe *pipe = side->out;
    size_t moved = 0;
    if (side->broken)
        return -1;
    for (int i = 0; i < parts; i++)
        for (size_t k = 0; k < part[i].iov_len; k++) {
            if (pipe->have == PIPE || moved == pipe->step)
                return (ssize_t)moved;
            pipe->data[pipe->have++] = ((const unsigned char *)part[i].iov_base)[k];
            moved++;
        }
    return (ssize_t)moved;
}

static ssize_t pipe_read(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    (void)peer;
    struct side *side = owner;
    struct pipe *pipe = side->in;
    size_t moved = 0;
    for (int i = 0; i < parts; i++)
        for (size_t k = 0; k < part[i].iov_len && moved < pipe->have && moved < pipe->step; k++)
            ((unsigned char *)part[i].iov_base)[k] = pipe->data[moved++];
    if (!moved && side->broken)
        return -1;
    memmove(pipe->data, pipe->data + moved, pipe->have - moved);
    pipe->have -= moved;
    return (ssize_t)moved;
}

static const struct exchange_streams no_stage = {
    .stage = EXCHANGE_HEADER, .write = pipe_write, .read = pipe_read};
static const struct exchange_streams stage = {.stage = 100, .write = pipe_write, .read = pipe_read};

static struct pair *pair_make(const struct exchange_streams *streams, size_t step) {
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    pair->there.step = pair->back.step = step;
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->side[i];
        side->out = i ? &pair->back : &pair->there;
        side->in = i ? &pair->there : &pair->back;
        exchange_init(&side->exchange, &host, streams, side, LIMIT);
        assert_int_equal(exchange_begin(&side->exchange, 2, i), DTR_OK);
    }
    return pair;
}

static void pair_free(struct pair *pair) {
    for (uint32_t i = 0; i < 2; i++)
        exchange_free(&pair->side[i].exchange);
    free(pair);
}

/* Until both pipes are quiet, or the reader has no room. */
static void move(struct pair *pair) {
    struct exchange *there = &pair->side[0].exchange, *back = &pair->side[1].exchange;
    for (int i = 0; i < 100000; i++) {
        exchange_write(there, 1);
        exchange_read(back, 0);
        exchange_write(back, 0);
        exchange_read(there, 1);
        if (!exchange_has_writes(there, 1) && !exchange_has_writes(back, 0) && !pair->there.have &&
            !pair->back.have)
            return;
    }
}

/* --- messages from side 0 to side 1 --- */

static struct dtr_transfer *send(struct pair *pair, uint32_t tag, const void *from, size_t bytes) {
    struct dtr_transfer *request = NULL;
    assert_int_equal(exchange_isend(&pair->side[0], 1, tag, from, bytes, &request), DTR_OK);
    return request;
}

static struct dtr_transfer *receive(struct pair *pair, uint32_t tag, void *to, size_t bytes) {
    struct dtr_transfer *request = NULL;
    assert_int_equal(exchange_irecv(&pair->side[1], 0, tag, to, bytes, &request), DTR_OK);
    return request;
}

static int sent(struct pair *pair, struct dtr_transfer *request) {
    return exchange_test(&pair->side[0].exchange, request, NULL);
}

static int received(struct pair *pair, struct dtr_transfer *request, size_t *bytes_p) {
    return exchange_test(&pair->side[1].exchange, request, bytes_p);
}

static unsigned char *pattern(size_t bytes, unsigned seed) {
    unsigned char *data = malloc(bytes + 1);
    assert_non_null(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(seed + i * 7 + (i >> 8));
    return data;
}

/* Sends and receives one message whole. */
static void one_message(struct pair *pair, uint32_t tag, size_t bytes, bool post_first) {
    unsigned char *from = pattern(bytes, tag), *to = malloc(bytes + 9);
    size_t got = 0;
    struct dtr_transfer *in = post_first ? receive(pair, tag, to, bytes + 9) : NULL;
    struct dtr_transfer *out = send(pair, tag, from, bytes);
    if (!in) {
        move(pair);
        in = receive(pair, tag, to, bytes + 9);
    }
    move(pair);
    assert_int_equal(sent(pair, out), 1);
    assert_int_equal(received(pair, in, &got), 1);
    assert_int_equal(got, bytes);
    assert_memory_equal(from, to, bytes);
    free(from);
    free(to);
}

/* --- tests --- */

static void every_size_with_every_step(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 99, 100, 101, 4095, 4096, 5000, 7000};
    static const size_t steps[] = {1, 3, 16, 17, 100, 117, PIPE};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++)
        for (int staged = 0; staged < 2; staged++) {
            struct pair *pair = pair_make(staged ? &stage : &no_stage, steps[s]);
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                for (int first = 0; first < 2; first++)
                    one_message(pair, (uint32_t)i, sizes[i], first);
            uint64_t out, in;
            exchange_counters(&pair->side[0], UINT32_MAX, &out, &in);
            assert_int_equal(in, 0);
            exchange_counters(&pair->side[1], 0, &(uint64_t){0}, &in);
            assert_int_equal(in, out);
            pair_free(pair);
        }
}

static void tags_match_in_order(void **state) {
    (void)state;
    struct pair *pair = pair_make(&stage, PIPE);
    const char text[] = "abcdef";
    struct dtr_transfer *out[6];
    for (uint32_t i = 0; i < 6; i++)
        out[i] = send(pair, i % 2, &text[i], 1);
    char odd[3], even[3];
    struct dtr_transfer *in[6];
    in[0] = receive(pair, 1, &odd[0], 1); /* posted before the rest came */
    move(pair);
    for (int i = 1; i < 3; i++)
        in[i] = receive(pair, 1, &odd[i], 1);
    for (int i = 0; i < 3; i++)
        in[3 + i] = receive(pair, 0, &even[i], 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(sent(pair, out[i]), 1);
        assert_int_equal(received(pair, in[i], NULL), 1);
    }
    assert_memory_equal(odd, "bdf", 3);
    assert_memory_equal(even, "ace", 3);
    pair_free(pair);
}

static void a_short_receive_is_corrupt(void **state) {
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct pair *pair = pair_make(&no_stage, 50);
        unsigned char *from = pattern(500, 1), to[500];
        struct dtr_transfer *in = first ? receive(pair, TAG, to, 499) : NULL;
        struct dtr_transfer *out = send(pair, TAG, from, 500);
        move(pair);
        if (!in)
            in = receive(pair, TAG, to, 499);
        size_t bytes = 12345;
        assert_int_equal(received(pair, in, &bytes), DTR_E_CORRUPT);
        assert_int_equal(bytes, 12345);
        assert_int_equal(sent(pair, out), 1);
        one_message(pair, TAG, 300, true);
        free(from);
        pair_free(pair);
    }
}

static void kept_messages_have_a_limit(void **state) {
    (void)state;
    struct pair *pair = pair_make(&stage, PIPE);
    unsigned char *from = pattern(3000, 3), to[3000], empty[1];
    struct dtr_transfer *out[4];
    for (uint32_t i = 0; i < 4; i++)
        out[i] = send(pair, i, from, i == 3 ? 0 : 3000);
    move(pair);
    assert_false(exchange_has_room(&pair->side[1].exchange, 0));
    /* The last is behind the one that has no room; the receive of that one lets both in. */
    struct dtr_transfer *last = receive(pair, 3, empty, 0);
    assert_int_equal(received(pair, last, NULL), 0);
    for (uint32_t i = 2; i < 3; i--) {
        struct dtr_transfer *in = receive(pair, i, to, 3000);
        move(pair);
        assert_int_equal(received(pair, in, NULL), 1);
        assert_memory_equal(from, to, 3000);
    }
    assert_int_equal(received(pair, last, NULL), 1);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sent(pair, out[i]), 1);
    free(from);
    pair_free(pair);
}

static void a_receive_takes_over_what_has_come(void **state) {
    (void)state;
    struct pair *pair = pair_make(&no_stage, 1000);
    unsigned char *from = pattern(3000, 5), to[3000];
    struct dtr_transfer *out = send(pair, TAG, from, 3000);
    exchange_read(&pair->side[1].exchange, 0);
    struct dtr_transfer *in = receive(pair, TAG, to, 3000);
    assert_int_equal(received(pair, in, NULL), 0);
    move(pair);
    assert_int_equal(received(pair, in, NULL), 1);
    assert_memory_equal(from, to, 3000);
    assert_int_equal(sent(pair, out), 1);
    free(from);
    pair_free(pair);
}

static void cancelled_requests_leave_the_stream_whole(void **state) {
    (void)state;
    struct pair *pair = pair_make(&no_stage, 1000);
    unsigned char *from = pattern(3000, 5), to[3000];
    struct dtr_transfer *half = send(pair, 1, from, 3000), *whole = send(pair, 2, from, 3000);
    exchange_cancel(&pair->side[0], whole);
    exchange_cancel(&pair->side[0], half);
    struct dtr_transfer *in = receive(pair, 1, to, 3000);
    memset(from, 0, 3000); /* the sender's own again */
    move(pair);
    unsigned char *expected = pattern(3000, 5);
    assert_int_equal(received(pair, in, NULL), 1);
    assert_memory_equal(to, expected, 3000);
    free(expected);

    in = receive(pair, 1, to, 3000);
    struct dtr_transfer *out = send(pair, 1, from, 3000);
    exchange_read(&pair->side[1].exchange, 0);
    exchange_cancel(&pair->side[1], in);
    memset(to, 1, sizeof to);
    move(pair);
    for (size_t i = 0; i < sizeof to; i++)
        assert_int_equal(to[i], 1);
    assert_int_equal(sent(pair, out), 1);
    in = receive(pair, 9, to, 3000);
    exchange_cancel(&pair->side[1], in);
    one_message(pair, 2, 2000, false);
    free(from);
    pair_free(pair);
}

static void whole_messages_outlive_their_sender(void **state) {
    (void)state;
    struct pair *pair = pair_make(&no_stage, 300);
    unsigned char *from = pattern(600, 5), to[600];
    for (uint32_t tag = 1; tag < 3; tag++) {
        struct dtr_transfer *out = send(pair, tag, from, 200);
        move(pair);
        assert_int_equal(sent(pair, out), 1);
    }
    struct dtr_transfer *posted = receive(pair, 4, to, 600);
    send(pair, 3, from, 600); /* of which a part arrives */
    exchange_read(&pair->side[1].exchange, 0);
    pair->there.have = 0;
    pair->side[1].broken = true;
    exchange_read(&pair->side[1].exchange, 0);
    assert_true(exchange_is_lost(&pair->side[1].exchange, 0));
    assert_int_equal(exchange_lost_peer(&pair->side[1]), 0);
    assert_int_equal(exchange_verdict(&pair->side[1].exchange), 1);
    assert_int_equal(received(pair, posted, NULL), DTR_E_PEER);
    struct dtr_transfer *in = receive(pair, 2, to, 600);
    assert_int_equal(received(pair, in, NULL), 1);
    assert_memory_equal(from, to, 200);
    assert_int_equal(exchange_irecv(&pair->side[1], 0, 3, to, 600, &in), DTR_E_PEER);
    assert_int_equal(exchange_isend(&pair->side[1], 0, 3, to, 600, &in), DTR_E_PEER);
    free(from);
    pair_free(pair);
}

static void nonsense_loses_the_peer(void **state) {
    (void)state;
    static const unsigned char magic[] = {'D', 'T', 'R', 'M', 1, 0, 0, 0};
    for (int huge = 0; huge < 2; huge++) {
        struct pair *pair = pair_make(&stage, PIPE);
        memset(pair->there.data, 0xff, EXCHANGE_HEADER);
        if (huge)
            memcpy(pair->there.data, magic, sizeof magic);
        pair->there.have = EXCHANGE_HEADER;
        char byte;
        struct dtr_transfer *in = receive(pair, 1, &byte, 1);
        exchange_read(&pair->side[1].exchange, 0);
        assert_int_equal(received(pair, in, NULL), DTR_E_PEER);
        pair_free(pair);
    }
}

static void abort_fails_all_that_is_open(void **state) {
    (void)state;
    struct pair *pair = pair_make(&stage, PIPE);
    char byte;
    struct dtr_transfer *in = receive(pair, 1, &byte, 1);
    exchange_wake(&pair->side[1].exchange);
    assert_int_equal(exchange_verdict(&pair->side[1].exchange), 1);
    assert_int_equal(exchange_verdict(&pair->side[1].exchange), 0);
    exchange_abort(&pair->side[1].exchange);
    assert_int_equal(exchange_verdict(&pair->side[1].exchange), DTR_E_ABORTED);
    assert_int_equal(received(pair, in, NULL), DTR_E_ABORTED);
    assert_int_equal(exchange_irecv(&pair->side[1], 0, 1, &byte, 1, &in), DTR_E_ABORTED);
    assert_int_equal(exchange_isend(&pair->side[1], 0, 1, &byte, 1, &in), DTR_E_ABORTED);
    exchange_end(&pair->side[1].exchange);
    assert_int_equal(exchange_begin(&pair->side[1].exchange, 2, 1), DTR_OK);
    in = receive(pair, 1, &byte, 1);
    assert_int_equal(received(pair, in, NULL), 0);
    pair_free(pair);
}

static void warm_exchanges_allocate_nothing(void **state) {
    (void)state;
    struct pair *pair = pair_make(&stage, 1000);
    static unsigned char data[2000];
    size_t warm = 0;
    for (int round = 0; round < 20; round++) {
        struct dtr_transfer *out[50], *in[50];
        if (round == 2)
            warm = allocations;
        for (uint32_t i = 0; i < 50; i++)
            out[i] = send(pair, i % 3, data, i * 10);
        move(pair);
        for (uint32_t i = 0; i < 50; i++)
            in[i] = receive(pair, i % 3, data, i * 10);
        move(pair);
        for (uint32_t i = 0; i < 50; i++) {
            assert_int_equal(sent(pair, out[i]), 1);
            assert_int_equal(received(pair, in[i], NULL), 1);
        }
    }
    assert_int_equal(allocations, warm);
    pair_free(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_with_every_step),
        cmocka_unit_test(tags_match_in_order),
        cmocka_unit_test(a_short_receive_is_corrupt),
        cmocka_unit_test(kept_messages_have_a_limit),
        cmocka_unit_test(a_receive_takes_over_what_has_come),
        cmocka_unit_test(cancelled_requests_leave_the_stream_whole),
        cmocka_unit_test(whole_messages_outlive_their_sender),
        cmocka_unit_test(nonsense_loses_the_peer),
        cmocka_unit_test(abort_fails_all_that_is_open),
        cmocka_unit_test(warm_exchanges_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

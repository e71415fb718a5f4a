/* SPDX-License-Identifier: MIT
 *
 * handshake_test.c -- who does not hold the key gets nowhere, whatever was said before; and what
 * travels on a sealed stream arrives as it was sent, all of it, once and in order, or not at all.
 */
#include "unit.h"

#include <sodium.h>
#include <string.h>

#include "run/frame.h"
#include "run/handshake.h"

static const uint8_t key[DTR_KEY_BYTES] = "the key that the cluster shares", other[DTR_KEY_BYTES];

static int set_up(void **state) {
    (void)state;
    return sodium_init() < 0;
}

/* --- handshakes ------------------------------------------------------------------------------- */

struct meeting {
    struct dtr_handshake leader, worker;
    uint8_t hello[DTR_HELLO_BYTES], answer[DTR_ANSWER_BYTES], confirm[DTR_CONFIRM_BYTES];
    struct dtr_channel_keys leaders, workers;
};

static void meet(struct meeting *meeting) {
    struct dtr_error error = {0};
    dtr_handshake_call(&meeting->leader, key, meeting->hello);
    assert_true(dtr_handshake_answer(&meeting->worker, key, meeting->hello, meeting->answer));
    assert_int_equal(dtr_handshake_confirm(&meeting->leader, meeting->answer, meeting->confirm,
                                           &meeting->leaders, &error),
                     DTR_OK);
    assert_true(dtr_handshake_finish(&meeting->worker, meeting->confirm, &meeting->workers));
}

static void both_get_the_same_keys(void **state) {
    struct meeting first, second;
    (void)state;
    meet(&first);
    assert_memory_equal(first.leaders.out, first.workers.in, 32);
    assert_memory_equal(first.leaders.in, first.workers.out, 32);
    assert_memory_not_equal(first.leaders.in, first.leaders.out, 32);
    meet(&second);
    assert_memory_not_equal(first.leaders.out, second.leaders.out, 32);
    assert_memory_not_equal(first.hello, second.hello, DTR_HELLO_BYTES);
}

static void another_key_is_no_key(void **state) {
    struct meeting meeting;
    struct dtr_error error = {0};
    (void)state;
    dtr_handshake_call(&meeting.leader, key, meeting.hello);
    assert_false(dtr_handshake_answer(&meeting.worker, other, meeting.hello, meeting.answer));
    /* One who answers without it. */
    dtr_handshake_call(&meeting.worker, other, meeting.answer);
    assert_int_equal(dtr_handshake_confirm(&meeting.leader, meeting.answer, meeting.confirm,
                                           &meeting.leaders, &error),
                     DTR_E_PEER);
}

static void every_bit_counts(void **state) {
    struct meeting meeting;
    (void)state;
    meet(&meeting);
    for (size_t bit = 0; bit < 8 * DTR_HELLO_BYTES; bit++) {
        struct dtr_handshake worker;
        uint8_t hello[DTR_HELLO_BYTES], answer[DTR_ANSWER_BYTES];
        memcpy(hello, meeting.hello, sizeof hello);
        hello[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(dtr_handshake_answer(&worker, key, hello, answer));
    }
    for (size_t bit = 0; bit < 8 * DTR_CONFIRM_BYTES; bit++) {
        struct dtr_channel_keys keys;
        uint8_t confirm[DTR_CONFIRM_BYTES];
        memcpy(confirm, meeting.confirm, sizeof confirm);
        confirm[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(dtr_handshake_finish(&meeting.worker, confirm, &keys));
    }
    for (size_t bit = 0; bit < 8 * DTR_ANSWER_BYTES; bit++) {
        struct meeting again;
        struct dtr_error error = {0};
        dtr_handshake_call(&again.leader, key, again.hello);
        assert_true(dtr_handshake_answer(&again.worker, key, again.hello, again.answer));
        again.answer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* The first bit above a point's 255 means nothing to X25519, but is sealed. */
        assert_int_equal(dtr_handshake_confirm(&again.leader, again.answer, again.confirm,
                                               &again.leaders, &error),
                         DTR_E_PEER);
    }
}

/* Whoever recorded a session can say all of it again, to no avail. */
static void what_was_said_is_no_proof(void **state) {
    struct meeting recorded, now;
    struct dtr_channel_keys keys;
    struct dtr_error error = {0};
    (void)state;
    meet(&recorded);
    assert_true(dtr_handshake_answer(&now.worker, key, recorded.hello, now.answer));
    assert_memory_not_equal(now.answer, recorded.answer, DTR_ANSWER_BYTES);
    assert_false(dtr_handshake_finish(&now.worker, recorded.confirm, &keys));
    dtr_handshake_call(&now.leader, key, now.hello);
    assert_int_equal(
        dtr_handshake_confirm(&now.leader, recorded.answer, now.confirm, &keys, &error),
        DTR_E_PEER);
    /* Nor is what the other side said itself. */
    assert_int_equal(dtr_handshake_confirm(&now.leader, now.hello, now.confirm, &keys, &error),
                     DTR_E_PEER);
}

static void points_of_small_order_are_refused(void **state) {
    struct meeting meeting;
    struct dtr_error error = {0};
    (void)state;
    dtr_handshake_call(&meeting.leader, key, meeting.hello);
    memset(meeting.answer, 0, sizeof meeting.answer);
    assert_int_equal(dtr_handshake_confirm(&meeting.leader, meeting.answer, meeting.confirm,
                                           &meeting.leaders, &error),
                     DTR_E_PEER);
}

/* --- frames ----------------------------------------------------------------------------------- */

enum { ROOM = 1 << 21, TYPES = 9 };

struct wire {
    uint8_t *bytes;
    size_t length, at;
};

static bool wire_read(void *arg, void *out, size_t length) {
    struct wire *wire = arg;
    if (length > wire->length - wire->at)
        return false;
    memcpy(out, wire->bytes + wire->at, length);
    wire->at += length;
    return true;
}

static bool wire_write(void *arg, const void *bytes, size_t length, bool more) {
    struct wire *wire = arg;
    (void)more;
    assert_true(length <= ROOM - wire->length);
    memcpy(wire->bytes + wire->length, bytes, length);
    wire->length += length;
    return true;
}

static uint8_t pattern[1 << 20];

static struct wire wire_create(void) {
    struct wire wire = {.bytes = malloc(ROOM)};
    assert_non_null(wire.bytes);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + (i >> 8));
    return wire;
}

static void put(struct wire *wire, struct dtr_seal *seal, uint32_t type, size_t length) {
    const struct dtr_frame_stream stream = {wire, NULL, wire_write};
    assert_true(dtr_frame_write(&stream, seal, type, pattern, length));
}

static bool take(struct wire *wire, struct dtr_seal *seal, uint32_t *type_p,
                 struct dtr_frame_buffer *frame) {
    const struct dtr_frame_stream stream = {wire, wire_read, NULL};
    size_t length;
    return dtr_frame_read_header(&stream, seal, TYPES, type_p, &length) &&
           dtr_frame_read_contents(&stream, seal, length, frame);
}

static void frames_arrive(void **state) {
    static const size_t lengths[] = {0, 1, 12, (1 << 15) - 1, 1 << 15, (1 << 15) + 1, 1 << 20};
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct wire wire = wire_create();
        struct dtr_seal out = {.key = "k"}, in = {.key = "k"};
        struct dtr_frame_buffer frame = {.bytes = NULL};
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            put(&wire, sealed ? &out : NULL, (uint32_t)i + 1, lengths[i]);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            uint32_t type = 0;
            assert_true(take(&wire, sealed ? &in : NULL, &type, &frame));
            assert_int_equal(type, i + 1);
            assert_int_equal(frame.length, lengths[i]);
            if (lengths[i])
                assert_memory_equal(frame.bytes, pattern, lengths[i]);
        }
        assert_int_equal(wire.at, wire.length);
        free(frame.bytes);
        free(wire.bytes);
    }
}

/* What the reader makes of a sealed stream that somebody changed: how many frames of it. */
static uint32_t count_frames(struct wire *wire) {
    struct dtr_seal in = {.key = "k"};
    struct dtr_frame_buffer frame = {.bytes = NULL};
    uint32_t type, frames = 0;
    wire->at = 0;
    while (take(wire, &in, &type, &frame)) {
        frames++;
        assert_int_equal(type, frames);
    }
    free(frame.bytes);
    return frames;
}

/* Three frames of 100 bytes: 12 + 16 and 100 + 16 bytes each. */
enum { ONE = 28 + 116 };

static struct wire three_frames(void) {
    struct wire wire = wire_create();
    struct dtr_seal out = {.key = "k"};
    for (uint32_t i = 1; i <= 3; i++)
        put(&wire, &out, i, 100);
    assert_int_equal(wire.length, 3 * ONE);
    return wire;
}

static void changed_frames_do_not(void **state) {
    struct wire wire = three_frames();
    (void)state;
    assert_int_equal(count_frames(&wire), 3);
    for (size_t i = 0; i < wire.length; i++) {
        wire.bytes[i] ^= 1;
        assert_int_equal(count_frames(&wire), i / ONE);
        wire.bytes[i] ^= 1;
    }
    for (size_t length = 0; length < 3 * ONE; length++) {
        wire.length = length;
        assert_int_equal(count_frames(&wire), length / ONE);
    }
    free(wire.bytes);
}

static void moved_frames_do_not(void **state) {
    struct wire wire = three_frames();
    uint8_t saved[ONE];
    (void)state;
    memcpy(saved, wire.bytes, ONE);
    memcpy(wire.bytes + ONE, saved, ONE); /* the first again */
    assert_int_equal(count_frames(&wire), 1);
    free(wire.bytes);
    wire = three_frames();
    memmove(wire.bytes + ONE, wire.bytes + 2 * ONE, ONE); /* without the second */
    assert_int_equal(count_frames(&wire), 1);
    free(wire.bytes);
    wire = three_frames();
    memcpy(saved, wire.bytes, ONE);
    memcpy(wire.bytes, wire.bytes + ONE, ONE); /* the second before the first */
    memcpy(wire.bytes + ONE, saved, ONE);
    assert_int_equal(count_frames(&wire), 0);
    free(wire.bytes);
}

static void foreign_frames_do_not(void **state) {
    struct wire wire = wire_create();
    struct dtr_seal out = {.key = "another"};
    (void)state;
    put(&wire, &out, 1, 100);
    assert_int_equal(count_frames(&wire), 0);
    wire.length = 0;
    put(&wire, NULL, 1, 100); /* without a seal */
    assert_int_equal(count_frames(&wire), 0);
    free(wire.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_get_the_same_keys),
        cmocka_unit_test(another_key_is_no_key),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(what_was_said_is_no_proof),
        cmocka_unit_test(points_of_small_order_are_refused),
        cmocka_unit_test(frames_arrive),
        cmocka_unit_test(changed_frames_do_not),
        cmocka_unit_test(moved_frames_do_not),
        cmocka_unit_test(foreign_frames_do_not),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

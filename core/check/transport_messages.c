/* SPDX-License-Identifier: MIT
 *
 * transport_messages.c -- conformance cases in which nothing breaks: matching, order, sizes, much
 * at once, and what the transport counts and allocates.
 */
#include "check/transport_rig.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define LARGE ((size_t)8 << 20)

/* A seed for the message `index` from one device to another. */
static uint64_t seed_of(uint32_t from, uint32_t to, uint32_t index) {
    return from * UINT64_C(1000003) + to * UINT64_C(10007) + index;
}

/* The peers of a device, each once: its successor first, so that no device is everyone's first. */
static uint32_t peer_at(const struct member *member, uint32_t i) {
    return (member->device + 1 + i) % member->devices;
}

static void joins(struct member *member) {
    dtr_member_join_all(member, 1);
    dtr_member_leave(member);
}

/* --- sizes --- */

static const size_t sizes[] = {0, 1, 7, 64, 1023, 4096, 65535, 65536, 65537, 200000, 1048576, 3};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Sizes differ by sender, so that the two directions of a pair are unequal. */
static size_t size_of(uint32_t from, uint32_t index) {
    return sizes[(index + from) % SIZES];
}

static void all_sizes(struct member *member) {
    dtr_member_join_all(member, 1);
    const size_t room = 1048576 + 5;
    unsigned char *out = dtr_member_memory(member, room), *in = dtr_member_memory(member, room);
    for (uint32_t i = 0; i + 1 < member->devices; i++) {
        const uint32_t to = peer_at(member, i);
        const uint32_t from = (member->device + member->devices - 1 - i) % member->devices;
        for (uint32_t k = 0; k < SIZES; k++) {
            const size_t sent = size_of(member->device, k), received = size_of(from, k);
            dtr_member_fill(out, sent, seed_of(member->device, to, k));
            memset(in, 0xee, received + 5);
            /* Longer than the message, which the transport must not mind. */
            struct dtr_transfer *receive = dtr_member_receive(member, from, k, in, received + 5);
            struct dtr_transfer *send = dtr_member_send(member, to, k, out, sent);
            dtr_member_received(member, receive, received);
            dtr_member_sent(member, send);
            dtr_member_verify(member, in, received, seed_of(from, member->device, k));
            for (size_t b = 0; b < 5; b++)
                dtr_member_expect(member, in[received + b] == 0xee, "wrote behind a message of %zu",
                                  received);
        }
    }
    dtr_member_leave(member);
}

static void large_both_ways(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t peers = member->devices - 1;
    unsigned char *out = dtr_member_memory(member, LARGE),
                  *in = dtr_member_memory(member, peers * LARGE);
    struct dtr_transfer *send[CREW_MAX], *receive[CREW_MAX];
    dtr_member_fill(out, LARGE, member->device);
    for (uint32_t i = 0; i < peers; i++)
        receive[i] = dtr_member_receive(member, peer_at(member, i), 5, in + i * LARGE, LARGE);
    for (uint32_t i = 0; i < peers; i++)
        send[i] = dtr_member_send(member, peer_at(member, i), 5, out, LARGE - member->device);
    for (uint32_t i = 0; i < peers; i++) {
        const uint32_t peer = peer_at(member, i);
        dtr_member_received(member, receive[i], LARGE - peer);
        dtr_member_verify(member, in + i * LARGE, LARGE - peer, peer);
    }
    for (uint32_t i = 0; i < peers; i++)
        dtr_member_sent(member, send[i]);
    dtr_member_leave(member);
}

/* --- order --- */

#define ORDERED 300u

static void in_order(struct member *member) {
    dtr_member_join_all(member, 1);
    uint32_t *out = dtr_member_memory(member, ORDERED * sizeof *out);
    for (uint32_t i = 0; i < ORDERED; i++)
        out[i] = i;
    for (uint32_t p = 0; p + 1 < member->devices; p++) {
        struct dtr_transfer *send[ORDERED];
        const uint32_t to = peer_at(member, p);
        const uint32_t from = (member->device + member->devices - 1 - p) % member->devices;
        for (uint32_t i = 0; i < ORDERED; i++)
            send[i] = dtr_member_send(member, to, 1, &out[i], sizeof out[i]);
        for (uint32_t i = 0; i < ORDERED; i++) {
            uint32_t in = UINT32_MAX;
            dtr_member_received(member, dtr_member_receive(member, from, 1, &in, sizeof in),
                                sizeof in);
            dtr_member_expect(member, in == i, "message %u came where %u was due", in, i);
        }
        for (uint32_t i = 0; i < ORDERED; i++)
            dtr_member_sent(member, send[i]);
    }
    dtr_member_leave(member);
}

#define TAGS 40u

/* Sent with tags 0, 1, 2 ..., received from the last to the first, twice over. */
static void tags_out_of_order(struct member *member) {
    static const uint32_t edge[2] = {0, UINT32_MAX - TAGS};
    dtr_member_join_all(member, 1);
    const size_t bytes = 3000;
    unsigned char *out = dtr_member_memory(member, 2 * TAGS * bytes), in[3000];
    struct dtr_transfer *send[2 * TAGS];
    const uint32_t to = peer_at(member, 0);
    const uint32_t from = (member->device + member->devices - 1) % member->devices;
    for (uint32_t i = 0; i < 2 * TAGS; i++) {
        dtr_member_fill(out + i * bytes, bytes, seed_of(member->device, to, i));
        send[i] =
            dtr_member_send(member, to, edge[i / TAGS] + i % TAGS, out + i * bytes, bytes - i);
    }
    for (uint32_t i = 2 * TAGS; i-- > 0;) {
        struct dtr_transfer *receive =
            dtr_member_receive(member, from, edge[i / TAGS] + i % TAGS, in, bytes);
        dtr_member_received(member, receive, bytes - i);
        dtr_member_verify(member, in, bytes - i, seed_of(from, member->device, i));
    }
    for (uint32_t i = 0; i < 2 * TAGS; i++)
        dtr_member_sent(member, send[i]);
    dtr_member_leave(member);
}

/* Two receives of one tag, and one of another between them, all posted before anything is sent. */
static void receives_in_the_order_posted(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t to = peer_at(member, 0);
    const uint32_t from = (member->device + member->devices - 1) % member->devices;
    char first = 0, other = 0, second = 0;
    struct dtr_transfer *a = dtr_member_receive(member, from, 1, &first, 1);
    struct dtr_transfer *b = dtr_member_receive(member, from, 2, &other, 1);
    struct dtr_transfer *c = dtr_member_receive(member, from, 1, &second, 1);
    dtr_member_meet(member, true);
    struct dtr_transfer *x = dtr_member_send(member, to, 2, "o", 1);
    struct dtr_transfer *y = dtr_member_send(member, to, 1, "f", 1);
    struct dtr_transfer *z = dtr_member_send(member, to, 1, "s", 1);
    dtr_member_received(member, c, 1);
    dtr_member_received(member, b, 1);
    dtr_member_received(member, a, 1);
    dtr_member_expect(member, first == 'f' && other == 'o' && second == 's',
                      "messages went to the wrong receives");
    dtr_member_sent(member, x);
    dtr_member_sent(member, y);
    dtr_member_sent(member, z);
    dtr_member_leave(member);
}

/* --- much at once --- */

#define FLIGHT 200u

static void many_in_flight(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t peers = member->devices - 1, count = peers * FLIGHT;
    const size_t bytes = 2048;
    unsigned char *out = dtr_member_memory(member, count * bytes);
    unsigned char *in = dtr_member_memory(member, count * bytes);
    struct dtr_transfer **request = dtr_member_memory(member, 2 * count * sizeof *request);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t peer = peer_at(member, i % peers), k = i / peers;
        dtr_member_fill(out + i * bytes, bytes, seed_of(member->device, peer, k));
        request[i] = dtr_member_receive(member, peer, k % 7, in + i * bytes, bytes);
        request[count + i] = dtr_member_send(member, peer, k % 7, out + i * bytes, bytes - k);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t peer = peer_at(member, i % peers), k = i / peers;
        dtr_member_received(member, request[i], bytes - k);
        dtr_member_verify(member, in + i * bytes, bytes - k, seed_of(peer, member->device, k));
    }
    for (uint32_t i = 0; i < count; i++)
        dtr_member_sent(member, request[count + i]);
    dtr_member_leave(member);
}

/* Everything is sent, and moved as far as it goes, before the first receive is posted. */
static void unexpected(struct member *member) {
    dtr_member_join_all(member, 1);
    enum { COUNT = 20 };
    const uint32_t peers = member->devices - 1;
    const size_t bytes = 50000;
    unsigned char *out = dtr_member_memory(member, COUNT * bytes),
                  *in = dtr_member_memory(member, bytes);
    struct dtr_transfer *send[COUNT * CREW_MAX];
    for (uint32_t k = 0; k < COUNT; k++) {
        dtr_member_fill(out + k * bytes, bytes, seed_of(member->device, 0, k));
        for (uint32_t p = 0; p < peers; p++)
            send[k * peers + p] =
                dtr_member_send(member, peer_at(member, p), k, out + k * bytes, bytes);
    }
    dtr_member_meet(member, true);
    for (uint32_t k = COUNT; k-- > 0;)
        for (uint32_t p = 0; p < peers; p++) {
            const uint32_t peer = peer_at(member, p);
            dtr_member_received(member, dtr_member_receive(member, peer, k, in, bytes), bytes);
            dtr_member_verify(member, in, bytes, seed_of(peer, 0, k));
        }
    for (uint32_t i = 0; i < COUNT * peers; i++)
        dtr_member_sent(member, send[i]);
    dtr_member_leave(member);
}

/* --- accounts --- */

static void counts_payload(struct member *member) {
    if (!DTR_HAS(member->ops, struct dtr_transport_ops, counters))
        return;
    dtr_member_join_all(member, 1);
    char data[1000] = "";
    for (uint32_t p = 0; p + 1 < member->devices; p++) {
        const uint32_t to = peer_at(member, p);
        const uint32_t from = (member->device + member->devices - 1 - p) % member->devices;
        struct dtr_transfer *receive = dtr_member_receive(member, from, 1, data, sizeof data);
        struct dtr_transfer *send = dtr_member_send(member, to, 1, data, 100 + member->device);
        dtr_member_received(member, receive, 100 + from);
        dtr_member_sent(member, send);
    }
    uint64_t sent = 0, received = 0, all_received = 0;
    for (uint32_t p = 0; p + 1 < member->devices; p++) {
        const uint32_t peer = peer_at(member, p);
        member->ops->counters(member->self, peer, &sent, &received);
        dtr_member_expect(member, sent == 100 + member->device && received == 100 + peer,
                          "counted %llu bytes out and %llu in with device %u",
                          (unsigned long long)sent, (unsigned long long)received, peer);
        all_received += received;
    }
    member->ops->counters(member->self, UINT32_MAX, &sent, &received);
    dtr_member_expect(member,
                      sent == (member->devices - 1) * (uint64_t)(100 + member->device) &&
                          received == all_received,
                      "the sum over all peers is wrong");
    dtr_member_leave(member);
    dtr_member_join_all(member, 2);
    member->ops->counters(member->self, UINT32_MAX, &sent, &received);
    dtr_member_expect(member, !sent && !received, "join() did not start to count from zero");
    dtr_member_leave(member);
}

/* One message is awaited, three before it come unexpected: the same in every round. */
static void warm_round(struct member *member, const void *out, unsigned char *in, size_t bytes) {
    const uint32_t peers = member->devices - 1;
    struct dtr_transfer *last[CREW_MAX], *send[4 * CREW_MAX];
    for (uint32_t p = 0; p < peers; p++)
        last[p] = dtr_member_receive(member, peer_at(member, p), 3, in + p * bytes, bytes);
    dtr_member_meet(member, true);
    for (uint32_t i = 0; i < 4 * peers; i++)
        send[i] = dtr_member_send(member, peer_at(member, i % peers), i / peers, out, bytes);
    for (uint32_t p = 0; p < peers; p++)
        dtr_member_received(member, last[p], bytes);
    for (uint32_t i = 0; i < 3 * peers; i++)
        dtr_member_received(
            member,
            dtr_member_receive(member, peer_at(member, i % peers), 2 - i / peers, in, bytes),
            bytes);
    for (uint32_t i = 0; i < 4 * peers; i++)
        dtr_member_sent(member, send[i]);
    dtr_member_meet(member, true);
}

static void allocates_nothing_when_warm(struct member *member) {
    enum { ROUNDS = 10, WARM = 5 };
    const size_t bytes = 20000;
    unsigned char *out = dtr_member_memory(member, bytes);
    unsigned char *in = dtr_member_memory(member, member->devices * bytes);
    uint64_t warm = 0;
    dtr_member_fill(out, bytes, 1);
    dtr_member_join_all(member, 1);
    for (int round = 0; round < ROUNDS; round++) {
        if (round == WARM)
            warm = dtr_member_allocations(member);
        warm_round(member, out, in, bytes);
    }
    const uint64_t more = dtr_member_allocations(member) - warm;
    dtr_member_expect(member, !more, "allocated %llu times after the first rounds",
                      (unsigned long long)more);
    dtr_member_leave(member);
}

/* --- waiting --- */

static void deadlines_hold(struct member *member) {
    dtr_member_join_all(member, 1);
    char byte;
    struct dtr_transfer *receive = dtr_member_receive(member, peer_at(member, 0), 1, &byte, 1);
    for (int i = 0; i < 3; i++) {
        const uint64_t end = dtr_member_now(member) + 20000000;
        int status;
        while (!(status = member->ops->wait(member->self, end)))
            dtr_member_expect(member, dtr_member_now(member) < end + CREW_NS, "wait() spins");
        dtr_member_expect(member, status == DTR_E_TIMEOUT, "wait() returned %d", status);
        dtr_member_expect(member, dtr_member_now(member) >= end,
                          "wait() gave up before its deadline");
        dtr_member_expect(member, !member->ops->test(member->self, receive, NULL),
                          "a receive was done without a message");
    }
    const int status = member->ops->wait(member->self, 0);
    dtr_member_expect(member, status == DTR_E_TIMEOUT || !status, "a poll returned %d", status);
    member->ops->cancel(member->self, receive);
    dtr_member_meet(member, true);
    dtr_member_leave(member);
}

static void *wake_soon(void *arg) {
    struct member *member = arg;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    member->ops->wake(member->self);
    return NULL;
}

static void wake_ends_wait(struct member *member) {
    dtr_member_join_all(member, 1);
    dtr_member_meet(member, true);
    while (!member->ops->wait(member->self, 0))
        continue;
    member->ops->wake(member->self);
    int status = member->ops->wait(member->self, dtr_member_now(member) + 30 * CREW_NS);
    dtr_member_expect(member, !status, "wait() after wake() returned %d", status);
    pthread_t thread;
    dtr_member_expect(member, !pthread_create(&thread, NULL, wake_soon, member), "no thread");
    status = member->ops->wait(member->self, dtr_member_now(member) + 30 * CREW_NS);
    pthread_join(thread, NULL);
    dtr_member_expect(member, !status, "wait() during wake() returned %d", status);
    dtr_member_meet(member, true);
    dtr_member_leave(member);
}

/* --- cancelling --- */

static void cancelled_receives_get_nothing(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t to = peer_at(member, 0);
    const uint32_t from = (member->device + member->devices - 1) % member->devices;
    char never = 'n', once = 0;
    struct dtr_transfer *gone = dtr_member_receive(member, from, 1, &never, 1);
    member->ops->cancel(member->self, gone);
    dtr_member_meet(member, true);
    struct dtr_transfer *send = dtr_member_send(member, to, 1, "m", 1);
    dtr_member_received(member, dtr_member_receive(member, from, 1, &once, 1), 1);
    dtr_member_sent(member, send);
    dtr_member_expect(member, never == 'n' && once == 'm', "a cancelled receive took the message");
    dtr_member_leave(member);
}

/* A send that is cancelled may or may not arrive; what follows it does. */
static void cancelled_sends_disturb_nobody(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t to = peer_at(member, 0);
    const uint32_t from = (member->device + member->devices - 1) % member->devices;
    unsigned char *out = dtr_member_memory(member, LARGE), *in = dtr_member_memory(member, LARGE);
    memset(out, 1, LARGE);
    struct dtr_transfer *gone = dtr_member_send(member, to, 1, out, LARGE);
    member->ops->wait(member->self, 0);
    member->ops->cancel(member->self, gone);
    memset(out, 2, LARGE);
    struct dtr_transfer *maybe = dtr_member_receive(member, from, 1, in, LARGE);
    struct dtr_transfer *send = dtr_member_send(member, to, 2, out, 70000);
    unsigned char *second = dtr_member_memory(member, 70000);
    dtr_member_received(member, dtr_member_receive(member, from, 2, second, 70000), 70000);
    dtr_member_sent(member, send);
    for (size_t i = 0; i < 70000; i++)
        dtr_member_expect(member, second[i] == 2, "byte %zu of the message that follows is wrong",
                          i);
    if (member->ops->test(member->self, maybe, NULL) == 0)
        member->ops->cancel(member->self, maybe);
    else
        dtr_member_expect(member, in[0] == 1 && in[LARGE - 1] == 1,
                          "a cancelled send was still read after cancel()");
    dtr_member_meet(member, true);
    dtr_member_leave(member);
}

const struct transport_case dtr_transport_message_cases[] = {
    {"devices join and leave", joins, 1, 9, 0, 0, NULL},
    {"messages of every size arrive whole", all_sizes, 2, 9, 0, 0, NULL},
    {"large messages go both ways at once", large_both_ways, 2, 4, 0, 0, NULL},
    {"messages of one tag keep their order", in_order, 2, 5, 0, 0, NULL},
    {"tags are received in any order", tags_out_of_order, 2, 5, 0, 0, NULL},
    {"receives are served in the order posted", receives_in_the_order_posted, 2, 3, 0, 0, NULL},
    {"many messages are under way at once", many_in_flight, 2, 5, 0, 0, NULL},
    {"messages that come before their receive are kept", unexpected, 2, 5, 0, 0, NULL},
    {"payload is counted", counts_payload, 2, 3, 0, 0, NULL},
    {"nothing is allocated after the first rounds", allocates_nothing_when_warm, 2, 3, 0,
     DTR_CAP_WRAPS, "a wrapper keeps what it must"},
    {"wait() ends at its deadline", deadlines_hold, 2, 3, 0, 0, NULL},
    {"wake() ends wait()", wake_ends_wait, 2, 2, 0, 0, NULL},
    {"a cancelled receive gets nothing", cancelled_receives_get_nothing, 2, 3, 0, 0, NULL},
    {"a cancelled send disturbs nobody", cancelled_sends_disturb_nobody, 2, 3, 0, DTR_CAP_LAUNCH,
     "its library keeps the buffer"},
    {.name = NULL},
};

/* SPDX-License-Identifier: MIT
 *
 * transport_failures.c -- conformance cases in which something goes wrong: wrong arguments, missing
 * and dying peers, aborts, old epochs.  What must hold: the right error, at once, and no hang.
 */
#include "check/transport_rig.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static uint32_t next_of(const struct member *member) {
    return (member->device + 1) % member->devices;
}

static uint32_t previous_of(const struct member *member) {
    return (member->device + member->devices - 1) % member->devices;
}

/* A message around the circle of the group, which must be whole by now. */
static void circle(struct member *member, uint32_t tag) {
    char byte = 0;
    if (member->devices == 1)
        return;
    struct dtr_transfer *send = dtr_member_send(member, next_of(member), tag, "x", 1);
    dtr_member_received(member, dtr_member_receive(member, previous_of(member), tag, &byte, 1), 1);
    dtr_member_sent(member, send);
    dtr_member_expect(member, byte == 'x', "a message is wrong");
}

static void no_such_peer(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t wrong[] = {member->device, member->devices, UINT32_MAX};
    char byte = 0;
    for (size_t i = 0; i < 3; i++) {
        struct dtr_transfer *request = NULL;
        dtr_member_expect(member,
                          member->ops->isend(member->self, wrong[i], 1, &byte, 1, &request) < 0 &&
                              member->ops->irecv(member->self, wrong[i], 1, &byte, 1, &request) < 0,
                          "a message with device %u was accepted", wrong[i]);
        dtr_member_expect(member, !request, "a refused message left a request");
    }
    dtr_member_meet(member, true);
    dtr_member_leave(member);
}

static void receive_too_short(struct member *member) {
    dtr_member_join_all(member, 1);
    const size_t bytes = 100000;
    unsigned char *out = dtr_member_memory(member, bytes), *in = dtr_member_memory(member, bytes);
    dtr_member_fill(out, bytes, 9);
    for (int before = 0; before < 2; before++) {
        struct dtr_transfer *receive =
            before ? dtr_member_receive(member, previous_of(member), 1, in, bytes - 1) : NULL;
        dtr_member_meet(member, true);
        struct dtr_transfer *send = dtr_member_send(member, next_of(member), 1, out, bytes);
        struct dtr_transfer *after = dtr_member_send(member, next_of(member), 2, out, bytes);
        if (!receive)
            receive = dtr_member_receive(member, previous_of(member), 1, in, bytes - 1);
        size_t got = 77;
        const int status = dtr_member_finish(member, receive, &got);
        dtr_member_expect(member, status == DTR_E_CORRUPT, "a receive too short returned %d",
                          status);
        dtr_member_expect(member, got == 77, "a failed receive said a length");
        dtr_member_received(member, dtr_member_receive(member, previous_of(member), 2, in, bytes),
                            bytes);
        dtr_member_verify(member, in, bytes, 9);
        dtr_member_sent(member, send);
        dtr_member_sent(member, after);
    }
    dtr_member_leave(member);
}

/* --- abort --- */

static void *abort_soon(void *arg) {
    struct member *member = arg;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    member->ops->abort(member->self);
    return NULL;
}

static void abort_ends_everything(struct member *member) {
    dtr_member_join_all(member, 1);
    char byte;
    struct dtr_transfer *receive = dtr_member_receive(member, next_of(member), 1, &byte, 1);
    struct dtr_transfer *refused = NULL;
    pthread_t thread;
    dtr_member_expect(member, !pthread_create(&thread, NULL, abort_soon, member), "no thread");
    int status;
    while (!(status = member->ops->wait(member->self, dtr_member_now(member) + 30 * CREW_NS)))
        continue;
    pthread_join(thread, NULL);
    dtr_member_expect(member, status == DTR_E_ABORTED, "wait() during abort() returned %d", status);
    status = member->ops->test(member->self, receive, NULL);
    dtr_member_expect(member, status == DTR_E_ABORTED, "test() after abort() returned %d", status);
    status = member->ops->wait(member->self, dtr_member_now(member) + 30 * CREW_NS);
    dtr_member_expect(member, status == DTR_E_ABORTED, "a later wait() returned %d", status);
    if (!member->ops->isend(member->self, next_of(member), 1, &byte, 1, &refused))
        dtr_member_expect(member, dtr_member_finish(member, refused, NULL) == DTR_E_ABORTED,
                          "a later isend() was not aborted");
    if (!member->ops->irecv(member->self, next_of(member), 1, &byte, 1, &refused))
        dtr_member_expect(member, dtr_member_finish(member, refused, NULL) == DTR_E_ABORTED,
                          "a later irecv() was not aborted");
    dtr_member_meet(member, false);
    dtr_member_leave(member);
    dtr_member_join_all(member, 2);
    circle(member, 1);
    dtr_member_leave(member);
}

/* --- epochs --- */

/* What was sent in one epoch and never received is not there in the next. */
static void old_epochs_are_dropped(struct member *member) {
    for (uint64_t epoch = 1; epoch < 5; epoch++) {
        dtr_member_join_all(member, epoch);
        char old[3000];
        memset(old, (int)epoch, sizeof old);
        struct dtr_transfer *left = dtr_member_send(member, next_of(member), 1, old, sizeof old);
        struct dtr_transfer *send =
            dtr_member_send(member, next_of(member), 2, &epoch, sizeof epoch);
        uint64_t in = 0;
        dtr_member_received(
            member, dtr_member_receive(member, previous_of(member), 2, &in, sizeof in), sizeof in);
        dtr_member_expect(member, in == epoch, "a message of epoch %d came in epoch %d", (int)in,
                          (int)epoch);
        dtr_member_sent(member, send);
        if (epoch % 2) {
            dtr_member_received(member,
                                dtr_member_receive(member, previous_of(member), 1, old, sizeof old),
                                sizeof old);
            dtr_member_expect(member, old[0] == (char)epoch && old[2999] == (char)epoch,
                              "an old epoch's message was delivered");
        }
        dtr_member_sent(member, left);
        dtr_member_meet(member, true);
        dtr_member_leave(member);
    }
}

static void smaller_groups_form(struct member *member) {
    dtr_member_join_all(member, 1);
    dtr_member_meet(member, true);
    dtr_member_leave(member);
    /* The last device stays away, the others have new numbers from behind. */
    const uint32_t last = member->devices - 1, all = member->devices, own = member->device;
    if (own != last) {
        const char *addresses[CREW_MAX];
        memcpy(addresses, member->addresses, sizeof addresses);
        for (uint32_t i = 0; i < last; i++)
            member->addresses[i] = addresses[last - 1 - i];
        member->devices = last;
        member->device = last - 1 - own;
        dtr_member_join_all(member, 2);
        circle(member, 1);
        dtr_member_leave(member);
        memcpy(member->addresses, addresses, sizeof addresses);
    }
    member->devices = all;
    member->device = own;
    dtr_member_meet(member, false);
    dtr_member_join_all(member, 3);
    dtr_member_meet(member, true);
    dtr_member_leave(member);
}

/* --- missing and strange peers --- */

static void a_missing_peer_ends_join(struct member *member) {
    struct dtr_error error = {.status = DTR_OK};
    if (member->device) {
        const uint64_t before = dtr_member_now(member);
        const int status = dtr_member_join(member, 1, 0.3, &error);
        dtr_member_expect(member, status == DTR_E_TIMEOUT, "join() without device 0 returned %d",
                          status);
        dtr_member_expect(member, error.status == DTR_E_TIMEOUT && *error.text,
                          "join() failed without saying why");
        dtr_member_expect(member, dtr_member_now(member) - before >= 3 * CREW_NS / 10,
                          "join() gave up before its deadline");
    }
    dtr_member_meet(member, false);
    dtr_member_join_all(member, 2);
    circle(member, 1);
    dtr_member_leave(member);
}

static void other_epochs_do_not_meet(struct member *member) {
    struct dtr_error error = {.status = DTR_OK};
    const int status = dtr_member_join(member, member->device ? 6 : 7, 0.3, &error);
    dtr_member_expect(member, status == DTR_E_TIMEOUT,
                      "join() with a device of another epoch returned %d", status);
    dtr_member_meet(member, false);
    dtr_member_join_all(member, 8);
    dtr_member_leave(member);
}

static void strangers_are_refused(struct member *member) {
    static const uint8_t wrong[32] = "not the key of this group";
    struct dtr_error error = {.status = DTR_OK};
    if (member->device == 0)
        member->key = wrong;
    const int status = dtr_member_join(member, 1, 1.0, &error);
    member->key = NULL;
    dtr_member_expect(member, status < 0, "a device with another key was let in");
    dtr_member_meet(member, false);
    dtr_member_join_all(member, 2);
    dtr_member_leave(member);
}

/* --- a dying peer --- */

/* The last device is killed while all the others wait for it; they find out, go on with each
 * other, and form a group without it. */
static void a_killed_peer_is_found(struct member *member) {
    dtr_member_join_all(member, 1);
    const uint32_t victim = member->devices - 1;
    if (member->device == victim) {
        for (uint32_t i = 0; i < victim; i++)
            dtr_member_sent(member, dtr_member_send(member, i, 1, "l", 1));
        dtr_member_meet(member, false);
        dtr_member_die(member);
    }
    const size_t bytes = (size_t)8 << 20;
    unsigned char *large = dtr_member_memory(member, bytes);
    memset(large, 0, bytes);
    char byte = 0, last = 0;
    struct dtr_transfer *in = dtr_member_receive(member, victim, 2, &byte, 1);
    struct dtr_transfer *out = dtr_member_send(member, victim, 3, large, bytes);
    dtr_member_meet(member, true);
    int status = dtr_member_finish(member, in, NULL);
    dtr_member_expect(member, status == DTR_E_PEER, "a receive from the dead returned %d", status);
    status = dtr_member_finish(member, out, NULL);
    dtr_member_expect(member, status == DTR_E_PEER || status == 1, "a send to the dead returned %d",
                      status);
    status = member->ops->lost_peer(member->self);
    dtr_member_expect(member, status == (int)victim, "lost_peer() is %d", status);
    /* What it said before is still there. */
    dtr_member_received(member, dtr_member_receive(member, victim, 1, &last, 1), 1);
    dtr_member_expect(member, last == 'l', "the last words of the dead are wrong");
    struct dtr_transfer *request;
    if (!member->ops->isend(member->self, victim, 1, &byte, 1, &request))
        dtr_member_expect(member, dtr_member_finish(member, request, NULL) == DTR_E_PEER,
                          "a later send to the dead did not fail");
    member->devices--;
    circle(member, 4);
    member->devices++;
    dtr_member_meet(member, true);
    dtr_member_leave(member);
    member->devices--;
    dtr_member_join_all(member, 2);
    circle(member, 5);
    dtr_member_leave(member);
}

static void a_peer_that_left_is_lost(struct member *member) {
    dtr_member_join_all(member, 1);
    char byte = 0;
    if (member->device == 0) {
        for (uint32_t i = 1; i < member->devices; i++)
            dtr_member_sent(member, dtr_member_send(member, i, 1, "b", 1));
        dtr_member_leave(member);
    } else {
        struct dtr_transfer *never = dtr_member_receive(member, 0, 2, &byte, 1);
        const int status = dtr_member_finish(member, never, NULL);
        dtr_member_expect(member, status == DTR_E_PEER, "a receive from who left returned %d",
                          status);
        dtr_member_received(member, dtr_member_receive(member, 0, 1, &byte, 1), 1);
        dtr_member_expect(member, byte == 'b', "the last words of who left are wrong");
        dtr_member_leave(member);
    }
    dtr_member_meet(member, false);
    dtr_member_join_all(member, 2);
    dtr_member_leave(member);
}

const struct transport_case dtr_transport_failure_cases[] = {
    {"there are no messages with oneself or nobody", no_such_peer, 1, 3, 0, 0, NULL},
    {"a receive that is too short is corrupt", receive_too_short, 2, 3, 0, 0, NULL},
    {"abort() ends every wait and request", abort_ends_everything, 2, 3, 0, 0, NULL},
    {"messages of old epochs are dropped", old_epochs_are_dropped, 2, 4, 0, 0, NULL},
    {"smaller groups form from the same devices", smaller_groups_form, 2, 4, 0, 0, NULL},
    {"join() ends when a peer is missing", a_missing_peer_ends_join, 2, 4, 0, 0, NULL},
    {"devices of different epochs do not meet", other_epochs_do_not_meet, 2, 3, 0, 0, NULL},
    {"who has not the key is refused", strangers_are_refused, 2, 3, 0, DTR_CAP_LAUNCH,
     "its launcher knows who is who"},
    {"a killed peer is found", a_killed_peer_is_found, 2, 5, DTR_CAP_SURVIVES_PEER_LOSS, 0, NULL},
    {"a peer that left is lost", a_peer_that_left_is_lost, 2, 3, DTR_CAP_SURVIVES_PEER_LOSS, 0,
     NULL},
    {.name = NULL},
};

/* SPDX-License-Identifier: MIT
 *
 * failure.c -- who is to blame when a group fails.
 */
#include "run/group.h"

#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "run/launch.h"

enum { END_S = 3, BLAME_S = 1 };

/* A failure that only says that somebody else failed. */
static bool is_echo(int status) {
    return status == DTR_E_PEER || status == DTR_E_ABORTED || status == DTR_E_CANCELLED;
}

/* Reads what a worker has said so far; true when it is to blame. */
static bool to_blame(struct dtr_peer *peer) {
    struct dtr_frame frame;
    while (!peer->failure.status && !dtr_channel_receive(peer->channel, 0, &frame)) {
        struct dtr_reader reader = {.bytes = frame.bytes, .length = frame.length};
        if (frame.type == DTR_FRAME_FAILED)
            dtr_read_failed(&reader, &peer->failure);
    }
    if (peer->failure.status)
        return !is_echo(peer->failure.status);
    return dtr_channel_closed(peer->channel);
}

static struct dtr_peer *find_culprit(struct dtr_session *session) {
    const uint64_t deadline = dtr_now_ns() + BLAME_S * DTR_SECOND_NS;
    const struct timespec moment = {.tv_nsec = 5000000};
    for (;;) {
        for (uint32_t i = 1; i < session->devices; i++)
            if (session->peers[i].channel && to_blame(&session->peers[i]))
                return &session->peers[i];
        if (dtr_now_ns() >= deadline)
            return NULL;
        nanosleep(&moment, NULL);
    }
}

static void tell_survivors(struct dtr_session *session, const struct dtr_peer *culprit,
                           const char *sentence) {
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (peer == culprit || !peer->channel)
            continue;
        struct dtr_error ignored = {0};
        dtr_writer_clear(&session->writer);
        dtr_write_text(&session->writer, sentence);
        dtr_peer_send(peer, DTR_FRAME_ABORT, &ignored);
    }
}

int dtr_group_blame(struct dtr_session *session, int status, struct dtr_error *error) {
    const bool by_worker = is_echo(status) || atomic_load(&session->interrupted);
    struct dtr_peer *culprit = by_worker ? find_culprit(session) : NULL;
    if (!culprit)
        return status;
    struct dtr_error cause = {0};
    if (culprit->failure.status) {
        dtr_fail(&cause, culprit->failure.status, "device %u: %s", culprit->device,
                 culprit->failure.text);
    } else {
        char how[64] = "";
        if (culprit->pid > 0)
            dtr_launch_reap(culprit->pid, dtr_now_ns() + END_S * DTR_SECOND_NS, how, sizeof how);
        culprit->pid = 0;
        dtr_fail(&cause, DTR_E_PEER, "device %u was lost%s%s", culprit->device,
                 how[0] ? ": its process " : "", how);
    }
    tell_survivors(session, culprit, cause.text);
    *error = cause;
    return cause.status;
}

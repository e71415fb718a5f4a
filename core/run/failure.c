/* SPDX-License-Identifier: MIT
 *
 * failure.c -- what becomes of a group whose devices come and go.
 */
#include "run/group.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "run/launch.h"

/* Groups of the same devices that break without anybody being lost: the next one is without the
 * device that the others blame. */
enum { SAME_AGAIN = 1, MOST_TRIES = 8 };
/* How long a process that hung up may take to end. */
#define END_NS UINT64_C(200000000)

bool dtr_group_unsettled(struct dtr_session *session) {
    return atomic_load(&session->broken_epoch) >= atomic_load(&session->epoch) ||
           atomic_load(&session->returned);
}

/* --- events ----------------------------------------------------------------------------------- */

static double time_of_day_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void note(struct dtr_session *session, const struct dtr_peer *peer, const char *cause) {
    if (session->events_count == session->events_capacity) {
        const size_t capacity = session->events_capacity ? 2 * session->events_capacity : 16;
        struct dtr_event *larger = realloc(session->events, capacity * sizeof *larger);
        if (!larger)
            return;
        session->events = larger;
        session->events_capacity = capacity;
    }
    struct dtr_event *event = &session->events[session->events_count++];
    const uint64_t lost_ns = atomic_load(&peer->lost_ns);
    *event = (struct dtr_event){
        .device = peer->device,
        .lost = cause != NULL,
        .time_s = time_of_day_s(),
        .request = session->number,
    };
    if (!cause)
        return;
    event->time_s -= (double)(dtr_now_ns() - lost_ns) * 1e-9;
    event->silent_ms = (double)atomic_load(&peer->silent_ns) * 1e-6;
    event->answered_ms = -(double)lost_ns * 1e-6; /* until the answer */
    snprintf(event->cause, sizeof event->cause, "%s", cause);
}

void dtr_group_answered(struct dtr_session *session) {
    const double now_ms = (double)dtr_now_ns() * 1e-6;
    session->tries = 0;
    for (; session->events_seen < session->events_count; session->events_seen++)
        if (session->events[session->events_seen].lost)
            session->events[session->events_seen].answered_ms += now_ms;
}

/* --- who was lost ----------------------------------------------------------------------------- */

static bool anybody_lost(struct dtr_session *session) {
    bool any = false;
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (atomic_load(&peer->state) != DTR_PEER_MEMBER)
            continue;
        dtr_peer_hear(peer);
        any |= atomic_load(&peer->lost);
    }
    return any;
}

/* Where a connection between two devices broke, both are there, and each blames the other or has at
 * least not got through. */
static struct dtr_peer *most_blamed(struct dtr_session *session) {
    struct dtr_peer *found = NULL;
    uint32_t most = 0;
    const int own = dtr_device_suspect(session->device);
    for (uint32_t i = 1; i < session->devices; i++) {
        uint32_t votes = own == (int)i ? 2 : 0;
        votes += atomic_load(&session->peers[i].complained) ? 1 : 0;
        for (uint32_t j = 1; j < session->devices; j++)
            if (atomic_load(&session->peers[j].state) == DTR_PEER_MEMBER)
                votes += session->peers[j].suspect == (int)i ? 2 : 0;
        if (!votes || votes < most || atomic_load(&session->peers[i].state) != DTR_PEER_MEMBER)
            continue;
        most = votes;
        found = &session->peers[i];
    }
    return found;
}

/* Waits for as long as a loss may take to be noticed.  Without one the group is to be formed again
 * as it is, then without a device that is blamed; after many tries the error stays. */
static int find_lost(struct dtr_session *session, int status) {
    const struct timespec moment = {.tv_nsec = 2000000};
    const uint64_t deadline_ns = dtr_now_ns() + session->experiment->lost_after_ns * 5 / 4 + END_NS;
    while (!anybody_lost(session) && dtr_now_ns() < deadline_ns)
        nanosleep(&moment, NULL);
    if (anybody_lost(session))
        return DTR_OK;
    if (++session->tries > MOST_TRIES)
        return status;
    if (session->tries <= SAME_AGAIN)
        return DTR_OK;
    struct dtr_peer *peer = most_blamed(session);
    struct dtr_error why = {0};
    if (!peer)
        return DTR_OK;
    dtr_fail(&why, DTR_E_PEER, "its connections to other devices break");
    dtr_peer_give_up(peer, &why);
    return DTR_OK;
}

/* --- doing without ---------------------------------------------------------------------------- */

/* Ends what is left of it and says what happened. */
static void bury(struct dtr_peer *peer, struct dtr_error *cause) {
    const uint64_t silent_ns = atomic_load(&peer->silent_ns);
    const bool is_told = peer->failure.status != DTR_OK;
    char how[64];
    dtr_peer_stop(peer, silent_ns || is_told ? 0 : END_NS, how, sizeof how);
    if (is_told)
        dtr_fail(cause, DTR_E_PEER, "device %u: %s", peer->device, peer->failure.text);
    else if (silent_ns)
        dtr_fail(cause, DTR_E_PEER, "device %u was lost: it was silent for %.0f ms", peer->device,
                 (double)silent_ns * 1e-6);
    else
        dtr_fail(cause, DTR_E_PEER, "device %u was lost: its %s%s", peer->device,
                 how[0] ? "process " : "connection ended", how);
}

static void tell_survivors(struct dtr_session *session, const char *sentence) {
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        struct dtr_error ignored = {0};
        if (atomic_load(&peer->state) != DTR_PEER_MEMBER || atomic_load(&peer->lost))
            continue;
        dtr_writer_clear(&peer->writer);
        dtr_write_text(&peer->writer, sentence);
        dtr_peer_send(peer, DTR_FRAME_ABORT, &ignored);
        peer->suspect = -1;
        atomic_store(&peer->complained, false);
    }
}

/* Drops the lost; `cause` is what is said of the last.  True when one of them was a member, or was
 * to be one from the start. */
static bool drop_lost(struct dtr_session *session, struct dtr_error *cause) {
    bool any = false;
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        const enum dtr_peer_state state = atomic_load(&peer->state);
        struct dtr_error sentence = {0};
        if (!atomic_load(&peer->lost) || state == DTR_PEER_DOWN || state == DTR_PEER_GONE)
            continue;
        bury(peer, &sentence);
        if (state == DTR_PEER_MEMBER || !atomic_load(&session->started)) {
            any = true;
            dtr_log(session->log, DTR_LOG_WARN, "%s", sentence.text);
            note(session, peer, sentence.text);
            *cause = sentence;
            session->reports[i] = (struct dtr_device_report){0};
        }
        dtr_comeback_add(peer);
    }
    return any;
}

/* Whether the session can do without those that were lost; the status is final. */
static int check_survival(const struct dtr_session *session, const struct dtr_error *cause,
                          struct dtr_error *error) {
    const struct dtr_plugin *transport =
        dtr_chain_lacking(session->device->transport, DTR_CAP_SURVIVES_PEER_LOSS);
    if (session->device->options.only_profile)
        return dtr_fail(error, DTR_E_UNSUPPORTED, "%s; a profile needs every device", cause->text);
    if (transport)
        return dtr_fail(error, DTR_E_UNSUPPORTED,
                        "%s; the transport '%s' does not survive the loss of a device", cause->text,
                        transport->name);
    return DTR_OK;
}

/* --- a new group ------------------------------------------------------------------------------ */

/* Who is there.  True when these are others than before. */
static bool gather(struct dtr_session *session) {
    bool changed = false;
    uint32_t members = 1;
    atomic_store(&session->returned, false);
    for (uint32_t i = 1; i < session->devices; i++) {
        const struct dtr_peer *peer = &session->peers[i];
        const enum dtr_peer_state state = atomic_load(&peer->state);
        if (state != DTR_PEER_READY && state != DTR_PEER_MEMBER)
            continue;
        if (state == DTR_PEER_READY && atomic_load(&session->started))
            note(session, peer, NULL);
        changed |= members >= session->members || session->member[members] != i;
        session->member[members++] = i;
    }
    changed |= members != session->members;
    session->members = members;
    return changed;
}

static int make_group(struct dtr_session *session, bool changed, struct dtr_error *error) {
    int status = DTR_OK;
    changed |= !session->plan;
    dtr_device_leave(session->device);
    session->program = NULL;
    if (changed && !session->measures)
        status = dtr_group_plan(session, error);
    if (!status)
        status = dtr_group_form(session, error);
    if (!status && session->measures)
        status = dtr_group_measure(session, error);
    if (status || session->device->options.only_profile)
        return status;
    if (changed && session->measures)
        status = dtr_group_plan(session, error);
    if (!status)
        status = dtr_group_place(session, error);
    session->replans += !status && atomic_load(&session->started);
    return status;
}

/* One try.  `cause`: what was said of those who were lost before. */
static int settle(struct dtr_session *session, struct dtr_error *cause, struct dtr_error *error) {
    int status = drop_lost(session, cause) ? check_survival(session, cause, error) : DTR_OK;
    if (status)
        return status;
    tell_survivors(session, cause->text);
    status = make_group(session, gather(session), error);
    if (status != DTR_E_CONFIG || session->members == session->devices)
        return status;
    /* The experiment was right for all of them. */
    const struct dtr_error why = *error;
    *error = (struct dtr_error){0};
    return dtr_fail(error, DTR_E_UNSUPPORTED, "%s; those that are left cannot go on: %s",
                    cause->text, why.text);
}

/* True when it is the session that fails, and no device that it could do without. */
static bool is_final(struct dtr_session *session, int status) {
    return status == DTR_E_UNSUPPORTED ||
           (!dtr_is_echo(status) &&
            atomic_load(&session->broken_epoch) < atomic_load(&session->epoch));
}

/* What is said where nobody was lost. */
static const struct dtr_error nobody = {.text = "the group is formed anew"};

int dtr_group_recover(struct dtr_session *session, int status, struct dtr_error *error) {
    struct dtr_error cause = nobody;
    if (session->devices < 2)
        return status;
    while (status && !is_final(session, status)) {
        dtr_device_abort(session->device, atomic_load(&session->epoch));
        status = find_lost(session, status);
        if (status)
            return status;
        *error = (struct dtr_error){0};
        status = settle(session, &cause, error);
    }
    return status;
}

int dtr_group_settle(struct dtr_session *session, struct dtr_error *error) {
    struct dtr_error cause = nobody;
    if (atomic_load(&session->broken_epoch) >= atomic_load(&session->epoch))
        return dtr_group_recover(session, DTR_E_PEER, error);
    const int status = settle(session, &cause, error);
    return status ? dtr_group_recover(session, status, error) : DTR_OK;
}

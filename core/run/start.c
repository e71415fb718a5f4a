/* SPDX-License-Identifier: MIT
 *
 * start.c -- from processes to a group whose weights are in place.
 */
#include "run/group.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "run/pinning.h"

/* Time for all to join. */
enum { JOIN_S = 20 };

void dtr_group_stage(const struct dtr_session *session, const char *what, uint32_t done) {
    const struct dtr_session_progress *progress = session->progress;
    if (progress && progress->stage)
        progress->stage(progress->arg, what, done, session->devices);
}

/* --- starting workers ------------------------------------------------------------------------- */

/* A worker that ends or falls silent while it starts is lost like any other; what one says of
 * itself, or what is wrong with it, ends the session. */
static int take_in(struct dtr_peer *peer, int status, struct dtr_error *error) {
    if (!status) {
        atomic_store(&peer->state, DTR_PEER_READY);
        return DTR_OK;
    }
    if (!atomic_load(&peer->lost) || peer->failure.status)
        return status;
    /* As if it had been a member, which is what it was to be. */
    atomic_store(&peer->state, DTR_PEER_MEMBER);
    *error = (struct dtr_error){0};
    return DTR_OK;
}

int dtr_group_start(struct dtr_session *session, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = dtr_peer_launch(&session->peers[i], error);
    if (!status)
        status = dtr_comeback_start(session, error);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        dtr_group_stage(session, "starting devices", i);
        status = take_in(&session->peers[i], dtr_peer_set_up(&session->peers[i], error), error);
    }
    return status ? status : dtr_pinning_begin(session->device, error);
}

/* --- the group -------------------------------------------------------------------------------- */

static int invite(struct dtr_session *session, const struct dtr_group *group,
                  struct dtr_error *error) {
    struct dtr_group theirs = *group;
    for (uint32_t i = 1; i < session->members; i++) {
        struct dtr_peer *peer = dtr_member(session, i);
        theirs.device = i;
        dtr_write_group(&peer->writer, &theirs, session->member);
        const int status = dtr_peer_send(peer, DTR_FRAME_GROUP, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int join(struct dtr_session *session, const struct dtr_group *group,
                struct dtr_error *error) {
    const uint64_t deadline = dtr_now_ns() + JOIN_S * DTR_SECOND_NS;
    int status = invite(session, group, error);
    if (!status)
        status = dtr_device_join(session->device, group, session->member, deadline, error);
    for (uint32_t i = 1; i < session->members && !status; i++) {
        struct dtr_reader reader;
        status =
            dtr_peer_expect(dtr_member(session, i), DTR_FRAME_JOINED, deadline, &reader, error);
    }
    return status;
}

/* The new epoch comes first: whoever is lost from now on breaks it.  Whoever was lost before has
 * broken the old one only: nobody else would tell the device that it cannot join. */
static uint64_t begin_epoch(struct dtr_session *session) {
    const uint64_t epoch = atomic_load(&session->epoch) + 1;
    atomic_store(&session->epoch, epoch);
    for (uint32_t i = 1; i < session->members; i++) {
        struct dtr_peer *peer = dtr_member(session, i);
        if (atomic_load(&peer->state) == DTR_PEER_READY)
            peer->member_ns = dtr_now_ns();
        atomic_store(&peer->state, DTR_PEER_MEMBER);
        if (!atomic_load(&peer->lost))
            continue;
        atomic_store(&session->broken_epoch, epoch);
        dtr_device_abort(session->device, epoch);
    }
    return epoch;
}

int dtr_group_form(struct dtr_session *session, struct dtr_error *error) {
    const char **addresses = calloc(session->members, sizeof *addresses);
    char own[DTR_ADDRESS_MAX];
    const char *hint = session->here[0] ? session->here : NULL;
    int status =
        addresses ? dtr_device_address(session->device, hint, own, error) : dtr_fail_memory(error);
    randombytes_buf(session->key, sizeof session->key);
    for (uint32_t i = 0; i < session->members && !status; i++)
        addresses[i] = i ? dtr_member(session, i)->address : own;
    const struct dtr_group group = {
        .size = sizeof group,
        .devices = session->members,
        .addresses = addresses,
        .epoch = begin_epoch(session),
        .key = session->key,
    };
    if (!status)
        status = join(session, &group, error);
    free(addresses);
    return status;
}

/* --- plan and weights ------------------------------------------------------------------------- */

int dtr_group_plan(struct dtr_session *session, struct dtr_error *error) {
    const struct dtr_members members = {session->member, session->members};
    struct dtr_planning *planning;
    struct dtr_plan *plan;
    int status = dtr_planning_create(session->experiment, session->device->plugins,
                                     &session->device->options, session->device->model,
                                     session->profile, &members, session->log, &planning, error);
    if (status)
        return status;
    status = dtr_planning_plan(planning, &plan, error);
    if (status) {
        dtr_planning_free(planning);
        return status;
    }
    dtr_planning_free(session->planning);
    dtr_plan_free(session->plan);
    session->planning = planning;
    session->plan = plan;
    return DTR_OK;
}

static int hear_ready(struct dtr_session *session, struct dtr_peer *peer, uint64_t deadline_ns,
                      struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_ready ready;
    int status = dtr_peer_expect(peer, DTR_FRAME_READY, deadline_ns, &reader, error);
    if (status)
        return status;
    if (dtr_read_ready(&reader, &ready, error))
        return dtr_peer_give_up(peer, error);
    session->reports[peer->device].weight_bytes = ready.weight_bytes;
    snprintf(peer->kernel, sizeof peer->kernel, "%s", ready.kernel);
    free(peer->cores);
    peer->cores = ready.cores[0] ? strdup(ready.cores) : NULL;
    return ready.cores[0] && !peer->cores ? dtr_fail_memory(error) : DTR_OK;
}

/* In turns: those that are sent their weights share the leader. */
static int hear_all_ready(struct dtr_session *session, struct dtr_error *error) {
    const uint64_t turn_ns = 20000000;
    uint32_t left = session->members - 1;
    bool *ready = calloc(session->members, sizeof *ready);
    int status = ready ? DTR_OK : dtr_fail_memory(error);
    while (left && !status)
        for (uint32_t i = 1; i < session->members && !status; i++) {
            struct dtr_error cause = {0};
            if (ready[i])
                continue;
            status = hear_ready(session, dtr_member(session, i), dtr_now_ns() + turn_ns, &cause);
            ready[i] = !status;
            left -= ready[i];
            dtr_group_stage(session, "placing weights", session->devices - left);
            if (status == DTR_E_TIMEOUT)
                status = DTR_OK;
            else if (status)
                *error = cause;
        }
    free(ready);
    return status;
}

int dtr_group_place(struct dtr_session *session, struct dtr_error *error) {
    uint8_t *bytes = NULL;
    size_t length = 0;
    int status = dtr_plan_encode(session->plan, &bytes, &length, error);
    for (uint32_t i = 1; i < session->members && !status; i++) {
        struct dtr_peer *peer = dtr_member(session, i);
        dtr_write_bytes(&peer->writer, bytes, length);
        status = dtr_peer_send(peer, DTR_FRAME_PLAN, error);
    }
    free(bytes);
    dtr_group_stage(session, "placing weights", 0);
    if (!status)
        status = dtr_device_load(session->device, session->plan, error);
    if (!status)
        session->reports[0].weight_bytes = dtr_kernels_bytes(session->device->kernels);
    if (!status)
        status = hear_all_ready(session, error);
    return status;
}

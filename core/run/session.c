/* SPDX-License-Identifier: MIT */
#include "run/session.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "run/group.h"

enum { END_S = 3 };

/* --- opening and closing ---------------------------------------------------------------------- */

static int allocate(struct dtr_session *session) {
    const uint32_t devices = session->devices;
    session->peers = calloc(devices, sizeof *session->peers);
    session->member = calloc(devices, sizeof *session->member);
    session->reports = calloc(devices, sizeof *session->reports);
    session->effective = dtr_experiment_print(session->experiment);
    if (!session->peers || !session->member || !session->reports || !session->effective)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < devices; i++) {
        session->peers[i].device = i;
        session->peers[i].session = session;
        session->peers[i].suspect = -1;
        atomic_store(&session->peers[i].state, DTR_PEER_GONE);
        session->member[i] = i;
    }
    session->members = devices;
    return DTR_OK;
}

static int allocate_for_model(struct dtr_session *session, struct dtr_error *error) {
    const struct dtr_model_shape *shape = &session->device->model->shape;
    session->strategy_before = calloc(shape->groups, sizeof *session->strategy_before);
    if (session->device->options.keep_layers)
        session->layers = calloc(shape->layers, sizeof *session->layers);
    return session->strategy_before && (session->layers || !session->device->options.keep_layers)
               ? DTR_OK
               : dtr_fail_memory(error);
}

/* A planner that wants measurements comes after the group, any other before anything starts. */
static int start(struct dtr_session *session, struct dtr_plugins *plugins,
                 const struct dtr_session_options *options, struct dtr_error *error) {
    const struct dtr_experiment *experiment = session->experiment;
    const struct dtr_model_source source = dtr_experiment_model(experiment);
    int status = dtr_launch_check(session->launch, experiment, error);
    if (!status)
        status = dtr_device_open(experiment, &source, plugins, 0, options, session->log,
                                 &session->device, error);
    if (!status)
        status = dtr_map_text(experiment->model_config, &session->config, error);
    if (!status)
        status =
            dtr_supply_describe(session->device->model, &session->supply, &session->types, error);
    if (!status)
        status = allocate_for_model(session, error);
    if (!status && options->only_group) {
        status = dtr_group_start(session, error);
        return status ? status : dtr_group_form(session, error);
    }
    session->measures = options->only_profile || dtr_planning_needs_profile(experiment);
    if (!status && !session->measures)
        status =
            dtr_planning_read_profile(experiment, session->device->model, &session->profile, error);
    if (!status && !session->measures)
        status = dtr_group_plan(session, error);
    if (!status)
        status = dtr_group_start(session, error);
    if (!status)
        status = dtr_group_settle(session, error);
    atomic_store(&session->started, !status);
    return status;
}

int dtr_session_open(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                     const struct dtr_launch *launch, const struct dtr_session_options *options,
                     const struct dtr_log *log, const struct dtr_session_progress *progress,
                     struct dtr_session **session_p, struct dtr_error *error) {
    struct dtr_session *session = calloc(1, sizeof *session);
    if (!session)
        return dtr_fail_memory(error);
    session->experiment = experiment;
    session->log = log;
    session->launch = launch;
    session->progress = progress;
    session->devices = experiment->devices;
    pthread_mutex_init(&session->lock, NULL);
    atomic_store(&session->epoch, 1);
    int status = allocate(session) ? dtr_fail_memory(error) : DTR_OK;
    if (!status && sodium_init() < 0)
        status = dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be used here");
    if (!status)
        status = start(session, plugins, options, error);
    if (status) {
        dtr_session_close(session);
        return status;
    }
    *session_p = session;
    return DTR_OK;
}

/* Those that are being brought back are let go by the thread that does it. */
static void end_workers(struct dtr_session *session) {
    char how[64];
    atomic_store(&session->closing, true);
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (atomic_load(&peer->state) != DTR_PEER_DOWN) {
            if (peer->channel)
                dtr_channel_send(peer->channel, DTR_FRAME_END, NULL, 0);
            continue;
        }
        pthread_mutex_lock(&session->lock);
        if (peer->channel)
            dtr_channel_hang_up(peer->channel);
        pthread_mutex_unlock(&session->lock);
    }
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (atomic_load(&peer->state) == DTR_PEER_DOWN)
            continue;
        const bool was_lost = atomic_load(&peer->lost);
        dtr_peer_stop(peer, was_lost ? 0 : END_S * DTR_SECOND_NS, how, sizeof how);
        if (how[0] && !was_lost)
            dtr_log(session->log, DTR_LOG_WARN, "device %u: its process %s", i, how);
    }
    dtr_comeback_stop(session);
    for (uint32_t i = 1; i < session->devices; i++)
        dtr_peer_stop(&session->peers[i], 0, how, sizeof how);
}

void dtr_session_close(struct dtr_session *session) {
    if (!session)
        return;
    if (session->peers)
        end_workers(session);
    dtr_planning_free(session->planning);
    dtr_profile_free(session->profile);
    dtr_device_close(session->device);
    dtr_plan_free(session->plan);
    for (uint32_t i = 0; session->peers && i < session->devices; i++) {
        dtr_writer_free(&session->peers[i].writer);
        free(session->peers[i].cores);
    }
    pthread_mutex_destroy(&session->lock);
    free(session->peers);
    free(session->member);
    free(session->effective);
    free(session->config);
    free(session->types);
    free(session->events);
    free(session->reports);
    free(session->strategy_before);
    free(session->layers);
    free(session);
}

/* As often as it takes: the devices that are left answer it. */
int dtr_session_run(struct dtr_session *session, const struct dtr_request *request,
                    struct dtr_response *response, struct dtr_error *error) {
    const uint64_t begin_ns = dtr_now_ns();
    int status = DTR_OK;
    session->number++;
    if (session->devices > 1 && dtr_group_unsettled(session))
        status = dtr_group_settle(session, error);
    while (!status) {
        status = dtr_group_run(session, request, begin_ns, response, error);
        if (!status)
            break;
        status = dtr_group_recover(session, status, error);
    }
    if (!status)
        dtr_group_answered(session);
    return status;
}

int dtr_session_try(struct dtr_session *session, const struct dtr_trial *trial,
                    struct dtr_trial_times *times, struct dtr_error *error) {
    return dtr_group_try(session, trial, times, error);
}

/* --- asking ----------------------------------------------------------------------------------- */

struct dtr_profile *dtr_session_take_profile(struct dtr_session *session) {
    struct dtr_profile *profile = session->profile;
    session->profile = NULL;
    return profile;
}

const struct dtr_model *dtr_session_model(const struct dtr_session *session) {
    return session->device->model;
}

const struct dtr_plan *dtr_session_current_plan(const struct dtr_session *session) {
    return session->plan;
}

const char *dtr_session_kernel(const struct dtr_session *session, uint32_t device) {
    return device ? session->peers[device].kernel : dtr_kernels_name(session->device->kernels);
}

const char *dtr_session_cores(const struct dtr_session *session, uint32_t device) {
    return device ? session->peers[device].cores : session->device->cores;
}

const struct dtr_event *dtr_session_events(const struct dtr_session *session, size_t *count_p) {
    *count_p = session->events_count;
    return session->events;
}

const uint32_t *dtr_session_members(const struct dtr_session *session, uint32_t *count_p) {
    *count_p = session->members;
    return session->member;
}

uint32_t dtr_rank_of(const struct dtr_session *session, uint32_t device) {
    uint32_t rank = 0;
    while (rank < session->members && session->member[rank] != device)
        rank++;
    return rank;
}

struct dtr_weight_sum dtr_session_weights(const struct dtr_session *session, uint32_t dtype) {
    return dtr_kernels_sum(session->device->kernels, dtype);
}

bool dtr_session_trace(const struct dtr_session *session, uint32_t device,
                       struct dtr_device_trace *trace) {
    const struct dtr_program *program = session->program;
    const uint32_t rank = dtr_rank_of(session, device);
    if (!program || !session->device->options.trace || rank == session->members)
        return false;
    if (device == 0) {
        *trace = (struct dtr_device_trace){
            .device = 0,
            .schedule = program->schedule,
            .begin_ns = program->begin_ns,
            .end_ns = program->end_ns,
            .flights = program->schedule->collectives_count ? dtr_flights_times(program->flights, 0)
                                                            : NULL,
        };
        return true;
    }
    const struct dtr_companions *companions = program->companions;
    const struct dtr_schedule *schedule = companions->schedules[rank - 1];
    *trace = (struct dtr_device_trace){
        .device = device,
        .schedule = schedule,
        .begin_ns = companions->step_times[rank],
        .end_ns = companions->step_times[rank] + schedule->steps_count,
        .flights = companions->flight_times[rank],
    };
    return true;
}

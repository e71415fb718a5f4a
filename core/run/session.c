/* SPDX-License-Identifier: MIT */
#include "run/session.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "run/group.h"
#include "run/launch.h"

enum { END_S = 3 };

/* --- opening and closing ---------------------------------------------------------------------- */

static int allocate(struct dtr_session *session) {
    const uint32_t devices = session->devices;
    session->peers = calloc(devices, sizeof *session->peers);
    session->reports = calloc(devices, sizeof *session->reports);
    if (!session->peers || !session->reports)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < devices; i++) {
        session->peers[i].device = i;
        session->peers[i].session = session;
    }
    return DTR_OK;
}

static int make_plan(struct dtr_session *session, struct dtr_error *error) {
    const int status =
        dtr_planning_create(session->experiment, &session->device->options, session->device->model,
                            session->profile, session->log, &session->planning, error);
    if (status)
        return status;
    session->strategy_before =
        calloc(session->device->model->shape.groups, sizeof *session->strategy_before);
    return session->strategy_before ? dtr_planning_plan(session->planning, &session->plan, error)
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
    if (status)
        return status;
    atomic_store(&session->running, session->device);
    const bool measures = options->only_profile || dtr_planning_needs_profile(experiment);
    if (!measures)
        status =
            dtr_planning_read_profile(experiment, session->device->model, &session->profile, error);
    if (!status && !measures)
        status = make_plan(session, error);
    if (!status)
        status = dtr_group_start(session, error);
    if (!status && measures)
        status = dtr_group_measure(session, error);
    if (status || options->only_profile)
        return status;
    if (measures)
        status = make_plan(session, error);
    if (status)
        return status;
    if (options->keep_layers) {
        session->layers = calloc(session->device->model->shape.layers, sizeof *session->layers);
        if (!session->layers)
            return dtr_fail_memory(error);
    }
    return dtr_group_place(session, error);
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
    int status = allocate(session) ? dtr_fail_memory(error) : DTR_OK;
    if (!status && sodium_init() < 0)
        status = dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be used here");
    if (!status)
        status = start(session, plugins, options, error);
    if (status && status != DTR_E_CONFIG)
        status = dtr_group_blame(session, status, error);
    if (status) {
        dtr_session_close(session);
        return status;
    }
    *session_p = session;
    return DTR_OK;
}

void dtr_session_close(struct dtr_session *session) {
    if (!session)
        return;
    atomic_store(&session->running, NULL);
    for (uint32_t i = 1; session->peers && i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (peer->channel)
            dtr_channel_send(peer->channel, DTR_FRAME_END, NULL, 0);
        dtr_channel_free(peer->channel);
    }
    const uint64_t deadline = dtr_now_ns() + END_S * DTR_SECOND_NS;
    for (uint32_t i = 1; session->peers && i < session->devices; i++) {
        char how[64] = "";
        if (session->peers[i].pid > 0)
            dtr_launch_reap(session->peers[i].pid, deadline, how, sizeof how);
        if (how[0] && !atomic_load(&session->interrupted))
            dtr_log(session->log, DTR_LOG_WARN, "device %u: its process %s", i, how);
    }
    dtr_planning_free(session->planning);
    dtr_profile_free(session->profile);
    dtr_device_close(session->device);
    dtr_plan_free(session->plan);
    dtr_writer_free(&session->writer);
    free(session->peers);
    free(session->reports);
    free(session->strategy_before);
    free(session->layers);
    free(session);
}

int dtr_session_run(struct dtr_session *session, const struct dtr_request *request,
                    struct dtr_response *response, struct dtr_error *error) {
    const int status = dtr_group_run(session, request, response, error);
    return status ? dtr_group_blame(session, status, error) : DTR_OK;
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

bool dtr_session_trace(const struct dtr_session *session, uint32_t device,
                       struct dtr_device_trace *trace) {
    const struct dtr_program *program = session->program;
    if (!program || !session->device->options.trace)
        return false;
    if (device == 0) {
        *trace = (struct dtr_device_trace){
            .schedule = program->schedule,
            .begin_ns = program->begin_ns,
            .end_ns = program->end_ns,
            .flights = program->schedule->collectives_count ? dtr_flights_times(program->flights, 0)
                                                            : NULL,
        };
        return true;
    }
    const struct dtr_companions *companions = program->companions;
    const struct dtr_schedule *schedule = companions->schedules[device - 1];
    *trace = (struct dtr_device_trace){
        .schedule = schedule,
        .begin_ns = companions->step_times[device],
        .end_ns = companions->step_times[device] + schedule->steps_count,
        .flights = companions->flight_times[device],
    };
    return true;
}

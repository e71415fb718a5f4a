/* SPDX-License-Identifier: MIT
 *
 * request.c -- one request through the group.
 */
#include "run/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plan/account.h"

static void companions_free(void *memory) {
    struct dtr_companions *companions = memory;
    if (!companions)
        return;
    for (uint32_t i = 0; companions->schedules && companions->schedules[i]; i++) {
        dtr_schedule_free(companions->schedules[i]);
        free(companions->flight_times[i + 1]);
        free(companions->step_times[i + 1]);
    }
    free(companions->schedules);
    free(companions->digests);
    free(companions->flight_times);
    free(companions->step_times);
    free(companions);
}

/* Room for what a worker will say of its requests. */
static bool reserve_times(struct dtr_companions *companions, uint32_t device, bool trace) {
    const struct dtr_schedule *schedule = companions->schedules[device - 1];
    companions->flight_times[device] =
        calloc((size_t)schedule->collectives_count + 1, sizeof *companions->flight_times[device]);
    companions->step_times[device] = calloc(trace ? 2 * (size_t)schedule->steps_count + 1 : 1,
                                            sizeof *companions->step_times[device]);
    return companions->flight_times[device] && companions->step_times[device];
}

static void count_bytes(const struct dtr_session *session, const struct dtr_schedule *schedule,
                        struct dtr_companions *companions) {
    struct dtr_account account;
    dtr_account_schedule(schedule, &session->device->model->shape, NULL, &account);
    companions->bytes_sent[schedule->device] = account.bytes_sent;
    companions->bytes_received[schedule->device] = account.bytes_received;
}

static struct dtr_companions *companions_create(uint32_t devices) {
    struct dtr_companions *companions = calloc(1, sizeof *companions);
    if (!companions)
        return NULL;
    companions->predicted_s = -1;
    companions->flight_times = calloc(devices, sizeof *companions->flight_times);
    companions->step_times = calloc(devices, sizeof *companions->step_times);
    companions->digests = calloc(3 * (size_t)devices, sizeof *companions->digests);
    if (companions->flight_times && companions->step_times && companions->digests)
        companions->schedules = calloc((size_t)devices + 1, sizeof *companions->schedules);
    if (!companions->schedules) {
        companions_free(companions);
        return NULL;
    }
    companions->bytes_sent = companions->digests + devices;
    companions->bytes_received = companions->bytes_sent + devices;
    return companions;
}

/* The schedules of the workers, whose digests travel with the request. */
static int make_companions(const struct dtr_session *session, const struct dtr_request *request,
                           struct dtr_program *program, struct dtr_error *error) {
    struct dtr_companions *companions = companions_create(session->members);
    int status = companions ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        count_bytes(session, program->schedule, companions);
    for (uint32_t i = 1; i < session->members && !status; i++) {
        struct dtr_schedule **schedule = &companions->schedules[i - 1];
        status = dtr_device_schedule_of(session->device, i, request, schedule, error);
        if (status)
            break;
        companions->digests[i] = dtr_schedule_digest(*schedule);
        count_bytes(session, *schedule, companions);
        if (!reserve_times(companions, i, session->device->options.trace))
            status = dtr_fail_memory(error);
    }
    if (status) {
        companions_free(companions);
        return status;
    }
    program->companions = companions;
    program->free_companions = companions_free;
    return DTR_OK;
}

static int send_request(struct dtr_session *session, const struct dtr_request *request,
                        struct dtr_error *error) {
    const struct dtr_companions *companions = session->program->companions;
    struct dtr_request_frame frame = {
        .number = session->number,
        .request = *request,
        .strategy = session->plan->strategy,
        .tiles = session->plan->tiles,
    };
    for (uint32_t i = 1; i < session->members; i++) {
        struct dtr_peer *peer = dtr_member(session, i);
        frame.digest = companions->digests[i];
        dtr_write_request(&peer->writer, &frame, dtr_session_model(session), session->plan->groups);
        peer->asked_ns = dtr_now_ns();
        const int status = dtr_peer_send(peer, DTR_FRAME_REQUEST, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* How far the worker's clock is behind.  Its answer came in no later than what came in last. */
static int64_t gap_of(struct dtr_peer *peer, const struct dtr_done *done) {
    const struct dtr_round round = {
        .sent_ns = peer->asked_ns,
        .taken_ns = done->taken_ns,
        .answered_ns = done->answered_ns,
        .received_ns = dtr_channel_heard_ns(peer->channel),
    };
    dtr_gap_learn(&peer->gap, &round);
    return dtr_gap_ns(&peer->gap);
}

static void bridge_times(const struct dtr_companions *companions, uint32_t rank,
                         const struct dtr_done *done, int64_t gap_ns) {
    uint64_t *steps = companions->step_times[rank];
    struct dtr_flight_times *flights = companions->flight_times[rank];
    for (size_t i = 0; i < 2 * (size_t)done->steps; i++)
        steps[i] = dtr_gap_bridge(steps[i], gap_ns);
    for (uint32_t i = 0; i < done->collectives; i++) {
        flights[i].begin_ns = dtr_gap_bridge(flights[i].begin_ns, gap_ns);
        flights[i].end_ns = dtr_gap_bridge(flights[i].end_ns, gap_ns);
    }
}

/* Keeps the times of the collectives, and of all steps of a traced request. */
static int keep_times(struct dtr_session *session, uint32_t rank, const struct dtr_done *done,
                      struct dtr_error *error) {
    const struct dtr_companions *companions = session->program->companions;
    const struct dtr_schedule *schedule = companions->schedules[rank - 1];
    const uint32_t steps = session->device->options.trace ? schedule->steps_count : 0;
    if (done->steps != steps || done->collectives != schedule->collectives_count)
        return dtr_fail(error, DTR_E_CORRUPT, "it sent the times of another schedule");
    memcpy(companions->step_times[rank], done->step_times, 2 * sizeof(uint64_t) * (size_t)steps);
    memcpy(companions->flight_times[rank], done->flight_times,
           sizeof(struct dtr_flight_times) * (size_t)done->collectives);
    bridge_times(companions, rank, done, gap_of(dtr_member(session, rank), done));
    return DTR_OK;
}

static int hear_done(struct dtr_session *session, uint32_t rank, struct dtr_error *error) {
    struct dtr_peer *peer = dtr_member(session, rank);
    struct dtr_reader reader;
    struct dtr_done done;
    int status = dtr_peer_expect(peer, DTR_FRAME_DONE, UINT64_MAX / 2, &reader, error);
    if (status)
        return status;
    status = dtr_read_done(&reader, &done, error);
    if (!status && done.number != session->number)
        status = dtr_fail(error, DTR_E_CORRUPT, "it answered another request");
    if (!status)
        status = keep_times(session, rank, &done, error);
    if (status)
        return dtr_peer_give_up(peer, error);
    struct dtr_device_report *report = &session->reports[peer->device];
    report->times = done.times;
    report->buffer_bytes = done.buffer_bytes;
    report->peak_rss_bytes = done.peak_rss_bytes;
    report->late_ns = done.late_ns;
    report->due_ns = done.due_ns;
    return DTR_OK;
}

static void report_own(struct dtr_session *session) {
    const struct dtr_companions *companions = session->program->companions;
    struct dtr_device_report *own = &session->reports[0];
    own->times = dtr_program_times(session->program);
    own->buffer_bytes = dtr_executor_bytes(session->device->executor);
    own->peak_rss_bytes = dtr_peak_rss_bytes();
    dtr_kernels_lateness(session->device->kernels, &own->late_ns, &own->due_ns);
    for (uint32_t i = 0; i < session->members; i++) {
        struct dtr_device_report *report = &session->reports[session->member[i]];
        report->bytes_sent = companions->bytes_sent[i];
        report->bytes_received = companions->bytes_received[i];
    }
}

static const float *result(const struct dtr_session *session, const struct dtr_view *view) {
    return view->buffer < 0 ? NULL
                            : dtr_executor_data(session->device->executor, session->program, view);
}

static void respond(struct dtr_session *session, uint64_t latency_ns,
                    struct dtr_response *response) {
    const struct dtr_schedule *schedule = session->program->schedule;
    *response = (struct dtr_response){
        .latency_ns = latency_ns,
        .predicted_s = ((struct dtr_companions *)session->program->companions)->predicted_s,
        .replans = session->replans,
        .sequences = schedule->sequences,
        .rows = schedule->selected,
        .hidden = result(session, &schedule->hidden),
        .pooled = result(session, &schedule->pooled),
        .logits = result(session, &schedule->logits),
        .logits_rows = dtr_range_count(schedule->logits.rows),
        .logits_columns = dtr_range_count(schedule->logits.columns),
        .layers = session->layers,
        .devices = session->reports,
    };
    for (uint32_t i = 0; session->layers && i < schedule->layers; i++)
        session->layers[i] = result(session, &schedule->layer_output[i]);
}

static void give_hidden(struct dtr_session *session, const struct dtr_request *request) {
    const struct dtr_view *input = &session->program->schedule->input;
    if (input->buffer < 0)
        return;
    const size_t values = (size_t)dtr_range_count(input->rows) * dtr_range_count(input->columns);
    memcpy(dtr_executor_data(session->device->executor, session->program, input), request->hidden,
           values * sizeof *request->hidden);
}

/* An adaptive planner may change its mind; counted when it does. */
static int choose(struct dtr_session *session, const struct dtr_request *request,
                  struct dtr_error *error) {
    const struct dtr_plan *plan = session->plan;
    const size_t bytes = plan->groups * sizeof *plan->strategy;
    memcpy(session->strategy_before, plan->strategy, bytes);
    const int status = dtr_planning_replan(session->planning, request, session->plan, error);
    if (!status && session->number > 1 &&
        memcmp(session->strategy_before, plan->strategy, bytes) != 0)
        session->replans++;
    return status;
}

static int run_request(struct dtr_session *session, const struct dtr_request *request,
                       uint64_t *answered_ns_p, struct dtr_error *error) {
    const struct dtr_tokens_input tokens = {request->ids, request->types};
    struct dtr_device *device = session->device;
    int status = choose(session, request, error);
    if (!status)
        status = dtr_device_program(device, request, session->plan->strategy, session->plan->tiles,
                                    &session->program, error);
    if (!status && !session->program->companions)
        status = make_companions(session, request, session->program, error);
    if (!status)
        status = send_request(session, request, error);
    if (status)
        return status;
    give_hidden(session, request);
    status = dtr_executor_run(device->executor, session->program, &tokens, error);
    *answered_ns_p = dtr_now_ns();
    for (uint32_t i = 1; i < session->members && !status; i++)
        status = hear_done(session, i, error);
    return status;
}

/* What the simulator makes of it, once for each shape of request. */
static int compare_prediction(struct dtr_session *session, const struct dtr_request *request,
                              struct dtr_error *error) {
    struct dtr_companions *companions = session->program->companions;
    return companions->predicted_s >= 0
               ? DTR_OK
               : dtr_planning_predict(session->planning, request, session->plan,
                                      &companions->predicted_s, error);
}

int dtr_group_run(struct dtr_session *session, const struct dtr_request *request, uint64_t begin_ns,
                  struct dtr_response *response, struct dtr_error *error) {
    uint64_t answered_ns = 0;
    int status = run_request(session, request, &answered_ns, error);
    if (status)
        return status;
    const uint64_t latency_ns = answered_ns - begin_ns;
    dtr_planning_observe(session->planning, session->number, (double)latency_ns * 1e-9,
                         dtr_group_link_factor(session));
    status = compare_prediction(session, request, error);
    if (status)
        return status;
    report_own(session);
    respond(session, latency_ns, response);
    return DTR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "run/group.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "plan/account.h"
#include "run/launch.h"

/* Time for a worker to start, to load its plugins and to join; weights may take longer. */
enum { START_S = 60, END_S = 3, BLAME_S = 1 };
/* Between two looks at the other workers while one is waited for. */
#define LOOK_NS UINT64_C(100000000)

/* --- talking to workers ----------------------------------------------------------------------- */

static void interrupted(void *arg, const struct dtr_frame *frame) {
    struct dtr_peer *peer = arg;
    struct dtr_device *device = atomic_load(&peer->session->running);
    (void)frame;
    atomic_store(&peer->session->interrupted, true);
    if (device)
        dtr_device_abort(device);
}

int dtr_peer_send(struct dtr_peer *peer, enum dtr_frame_type type, struct dtr_error *error) {
    struct dtr_writer *writer = &peer->session->writer;
    if (writer->failed)
        return dtr_fail_memory(error);
    const int status = dtr_channel_send(peer->channel, type, writer->bytes, writer->length);
    dtr_writer_clear(writer);
    return status ? dtr_fail(error, status, "device %u is gone", peer->device) : DTR_OK;
}

static int receive(struct dtr_peer *peer, uint64_t deadline_ns, struct dtr_frame *frame) {
    for (;;) {
        const bool interrupted = atomic_load(&peer->session->interrupted);
        const uint64_t now = dtr_now_ns(), soon = interrupted ? now : now + LOOK_NS;
        const int status =
            dtr_channel_receive(peer->channel, soon < deadline_ns ? soon : deadline_ns, frame);
        if (status != DTR_E_TIMEOUT)
            return status;
        if (interrupted)
            return DTR_E_PEER;
        if (soon >= deadline_ns)
            return status;
    }
}

int dtr_peer_expect(struct dtr_peer *peer, enum dtr_frame_type type, uint64_t deadline_ns,
                    struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_frame frame;
    const int status = receive(peer, deadline_ns, &frame);
    if (status == DTR_E_TIMEOUT)
        return dtr_fail(error, status, "device %u did not answer in time", peer->device);
    if (status)
        return dtr_fail(error, status, "device %u is gone", peer->device);
    *reader = (struct dtr_reader){.bytes = frame.bytes, .length = frame.length};
    if (frame.type == type)
        return DTR_OK;
    if (frame.type != DTR_FRAME_FAILED)
        return dtr_fail(error, DTR_E_CORRUPT, "device %u sent frame %d where %d was due",
                        peer->device, frame.type, type);
    dtr_read_failed(reader, &peer->failure);
    return dtr_fail(error, peer->failure.status, "device %u: %s", peer->device, peer->failure.text);
}

/* --- blame ------------------------------------------------------------------------------------ */

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

/* Puts the cause into the error, in place of what the leader noticed of it, and tells the
 * others. */
static int blame(struct dtr_session *session, int status, struct dtr_error *error) {
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

/* --- starting --------------------------------------------------------------------------------- */

static void stage(const struct dtr_session_progress *progress, const char *what, uint32_t done,
                  uint32_t total) {
    if (progress && progress->stage)
        progress->stage(progress->arg, what, done, total);
}

static int launch_worker(struct dtr_session *session, struct dtr_peer *peer,
                         const char *plugin_path, struct dtr_error *error) {
    struct dtr_worker_process process;
    int status = dtr_launch_local(plugin_path, &process, error);
    if (status)
        return status;
    const struct dtr_channel_events events = {.arg = peer, .interrupted = interrupted};
    peer->pid = process.pid;
    peer->session = session;
    return dtr_channel_create(process.fd, &events, &peer->channel, error);
}

static int set_up_worker(struct dtr_session *session, struct dtr_peer *peer, const char *experiment,
                         struct dtr_error *error) {
    struct dtr_reader reader;
    int status = dtr_peer_expect(peer, DTR_FRAME_HELLO, dtr_now_ns() + START_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_hello(&reader, error);
    if (status)
        return status;
    const struct dtr_setup setup = {
        .device = peer->device,
        .options = session->device->options,
        .log_level = session->log ? session->log->level : DTR_LOG_ERROR,
        .experiment = experiment,
    };
    dtr_write_setup(&session->writer, &setup);
    return dtr_peer_send(peer, DTR_FRAME_SETUP, error);
}

static int hear_address(struct dtr_session *session, struct dtr_peer *peer,
                        struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_address address;
    int status = dtr_peer_expect(peer, DTR_FRAME_ADDRESS, dtr_now_ns() + START_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_address(&reader, &address, error);
    if (status)
        return status;
    if (memcmp(address.digest, session->device->model->digest, 32) != 0)
        return dtr_fail(error, DTR_E_CONFIG, "device %u has another model", peer->device);
    memcpy(peer->address, address.text, strlen(address.text) + 1);
    return DTR_OK;
}

static int start_workers(struct dtr_session *session, const char *plugin_path,
                         const struct dtr_session_progress *progress, struct dtr_error *error) {
    char *experiment = dtr_experiment_print(session->experiment);
    int status = experiment ? DTR_OK : dtr_fail_memory(error);
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = launch_worker(session, &session->peers[i], plugin_path, error);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        stage(progress, "starting devices", i, session->devices);
        status = set_up_worker(session, &session->peers[i], experiment, error);
    }
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = hear_address(session, &session->peers[i], error);
    free(experiment);
    return status;
}

static int form_group(struct dtr_session *session, struct dtr_error *error) {
    const uint32_t devices = session->devices;
    const uint64_t deadline = dtr_now_ns() + START_S * DTR_SECOND_NS;
    const char **addresses = calloc(devices, sizeof *addresses);
    char own[DTR_ADDRESS_MAX];
    int status =
        addresses ? dtr_device_address(session->device, own, error) : dtr_fail_memory(error);
    randombytes_buf(session->key, sizeof session->key);
    const struct dtr_group group = {
        .size = sizeof group,
        .devices = devices,
        .addresses = addresses,
        .epoch = 1,
        .key = session->key,
    };
    for (uint32_t i = 0; i < devices && !status; i++)
        addresses[i] = i ? session->peers[i].address : own;
    for (uint32_t i = 1; i < devices && !status; i++) {
        dtr_write_group(&session->writer, &group);
        status = dtr_peer_send(&session->peers[i], DTR_FRAME_GROUP, error);
    }
    if (!status)
        status = dtr_device_join(session->device, &group, deadline, error);
    for (uint32_t i = 1; i < devices && !status; i++) {
        struct dtr_reader reader;
        status = dtr_peer_expect(&session->peers[i], DTR_FRAME_JOINED, deadline, &reader, error);
    }
    free(addresses);
    return status;
}

static int hear_ready(struct dtr_session *session, struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_ready ready;
    int status = dtr_peer_expect(peer, DTR_FRAME_READY, UINT64_MAX / 2, &reader, error);
    if (!status)
        status = dtr_read_ready(&reader, &ready, error);
    if (status)
        return status;
    session->reports[peer->device].weight_bytes = ready.weight_bytes;
    strncat(peer->kernel, ready.kernel, sizeof peer->kernel - 1);
    return DTR_OK;
}

static int place_weights(struct dtr_session *session, const struct dtr_session_progress *progress,
                         struct dtr_error *error) {
    uint8_t *bytes = NULL;
    size_t length = 0;
    int status = dtr_plan_encode(session->plan, &bytes, &length, error);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        dtr_write_bytes(&session->writer, bytes, length);
        status = dtr_peer_send(&session->peers[i], DTR_FRAME_PLAN, error);
    }
    free(bytes);
    stage(progress, "placing weights", 0, session->devices);
    if (!status)
        status = dtr_device_load(session->device, session->plan, error);
    if (!status)
        session->reports[0].weight_bytes = dtr_kernels_bytes(session->device->kernels);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        stage(progress, "placing weights", i, session->devices);
        status = hear_ready(session, &session->peers[i], error);
    }
    return status;
}

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

static int start_group(struct dtr_session *session, const char *plugin_path,
                       const struct dtr_session_progress *progress, struct dtr_error *error) {
    if (session->devices < 2)
        return DTR_OK;
    const int status = start_workers(session, plugin_path, progress, error);
    return status ? status : form_group(session, error);
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
static int start(struct dtr_session *session, struct dtr_plugins *plugins, const char *plugin_path,
                 const struct dtr_session_options *options,
                 const struct dtr_session_progress *progress, struct dtr_error *error) {
    const struct dtr_experiment *experiment = session->experiment;
    int status = dtr_experiment_check_launch(experiment, error);
    if (!status)
        status = dtr_device_open(experiment, plugins, 0, options, session->log, &session->device,
                                 error);
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
        status = start_group(session, plugin_path, progress, error);
    if (!status && measures)
        status = dtr_group_measure(session, progress, error);
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
    return place_weights(session, progress, error);
}

int dtr_session_open(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                     const char *plugin_path, const struct dtr_session_options *options,
                     const struct dtr_log *log, const struct dtr_session_progress *progress,
                     struct dtr_session **session_p, struct dtr_error *error) {
    struct dtr_session *session = calloc(1, sizeof *session);
    if (!session)
        return dtr_fail_memory(error);
    session->experiment = experiment;
    session->log = log;
    session->devices = experiment->devices;
    int status = allocate(session) ? dtr_fail_memory(error) : DTR_OK;
    if (!status && sodium_init() < 0)
        status = dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be used here");
    if (!status)
        status = start(session, plugins, plugin_path, options, progress, error);
    if (status && status != DTR_E_CONFIG)
        status = blame(session, status, error);
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

/* --- requests --------------------------------------------------------------------------------- */

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
    dtr_account_schedule(schedule, &session->device->model->shape, &account);
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
    struct dtr_companions *companions = companions_create(session->devices);
    int status = companions ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        count_bytes(session, program->schedule, companions);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
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
    for (uint32_t i = 1; i < session->devices; i++) {
        frame.digest = companions->digests[i];
        dtr_write_request(&session->writer, &frame, session->plan->groups);
        const int status = dtr_peer_send(&session->peers[i], DTR_FRAME_REQUEST, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* Keeps the times of the collectives, and of all steps of a traced request. */
static int keep_times(struct dtr_session *session, uint32_t device, const struct dtr_done *done,
                      struct dtr_error *error) {
    const struct dtr_companions *companions = session->program->companions;
    const struct dtr_schedule *schedule = companions->schedules[device - 1];
    const uint32_t steps = session->device->options.trace ? schedule->steps_count : 0;
    if (done->steps != steps || done->collectives != schedule->collectives_count)
        return dtr_fail(error, DTR_E_CORRUPT, "device %u sent the times of another schedule",
                        device);
    memcpy(companions->step_times[device], done->step_times, 2 * sizeof(uint64_t) * (size_t)steps);
    memcpy(companions->flight_times[device], done->flight_times,
           sizeof(struct dtr_flight_times) * (size_t)done->collectives);
    return DTR_OK;
}

static int hear_done(struct dtr_session *session, struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_done done;
    int status = dtr_peer_expect(peer, DTR_FRAME_DONE, UINT64_MAX / 2, &reader, error);
    if (!status)
        status = dtr_read_done(&reader, &done, error);
    if (status)
        return status;
    if (done.number != session->number)
        return dtr_fail(error, DTR_E_CORRUPT, "device %u answered another request", peer->device);
    struct dtr_device_report *report = &session->reports[peer->device];
    report->times = done.times;
    report->peak_rss_bytes = done.peak_rss_bytes;
    report->late_ns = done.late_ns;
    report->due_ns = done.due_ns;
    return keep_times(session, peer->device, &done, error);
}

static void report_own(struct dtr_session *session) {
    const struct dtr_companions *companions = session->program->companions;
    struct dtr_device_report *own = &session->reports[0];
    own->times = dtr_program_times(session->program);
    own->peak_rss_bytes = dtr_peak_rss_bytes();
    dtr_kernels_lateness(session->device->kernels, &own->late_ns, &own->due_ns);
    for (uint32_t i = 0; i < session->devices; i++) {
        session->reports[i].bytes_sent = companions->bytes_sent[i];
        session->reports[i].bytes_received = companions->bytes_received[i];
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
                       uint64_t *latency_p, struct dtr_error *error) {
    const struct dtr_tokens_input tokens = {request->ids, request->types};
    struct dtr_device *device = session->device;
    const uint64_t begin = dtr_now_ns();
    session->number++;
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
    *latency_p = dtr_now_ns() - begin;
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = hear_done(session, &session->peers[i], error);
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

int dtr_session_run(struct dtr_session *session, const struct dtr_request *request,
                    struct dtr_response *response, struct dtr_error *error) {
    uint64_t latency_ns = 0;
    int status = run_request(session, request, &latency_ns, error);
    if (status)
        return blame(session, status, error);
    dtr_planning_observe(session->planning, session->number, (double)latency_ns * 1e-9,
                         dtr_group_link_factor(session));
    status = compare_prediction(session, request, error);
    if (status)
        return status;
    report_own(session);
    respond(session, latency_ns, response);
    return DTR_OK;
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

/* SPDX-License-Identifier: MIT */
#include "run/worker.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "plan/strategy.h"
#include "run/channel.h"
#include "run/copies.h"
#include "run/pinning.h"
#include "run/probe.h"
#include "run/protocol.h"
#include "run/shard.h"
#include "run/stream.h"
#include "run/ticker.h"

/* A worker whose leader is gone gives up what it does; what is stuck in a kernel is ended. */
enum { GRACE_S = 2, JOIN_S = 10 };
/* The longest between two signs of life, until the leader's experiment says otherwise; and how many
 * there are in the time after which a silent device is lost. */
#define BEAT_NS UINT64_C(100000000)
#define BEATS UINT64_C(4)

struct worker {
    struct dtr_plugins *plugins;
    struct dtr_log unnamed, named; /* before and after it is known which device this is */
    char who[24];
    _Atomic(const struct dtr_log *) log; /* the one in use */
    struct dtr_channel *channel;
    const struct dtr_worker_options *options;
    char here[DTR_STREAM_ADDRESS_MAX]; /* by which it reaches this one; "" where it is the same */
    struct dtr_experiment *experiment;
    char *own_weights; /* a file of this machine, or NULL */
    struct dtr_supply supply;
    struct dtr_shard shard;
    _Atomic(struct dtr_device *) device; /* the channel's thread aborts it */
    struct dtr_ticker *heart;
    atomic_uint_least64_t beat_ns; /* the longest between two signs of life */
    uint64_t epoch;                /* of the group it is in */
    struct dtr_writer writer;
    struct dtr_words memory;
};

/* Any frame is a sign of life.  A device that computes at one step for ever does not count as
 * alive. */
static uint64_t beat(void *arg) {
    struct worker *worker = arg;
    const uint64_t beat_ns = atomic_load(&worker->beat_ns);
    const uint64_t silent_ns = dtr_now_ns() - dtr_channel_sent_ns(worker->channel);
    if (silent_ns < beat_ns)
        return beat_ns - silent_ns;
    const struct dtr_device *device = atomic_load(&worker->device);
    const uint64_t most_ns = device ? device->experiment->hung_after_ns : 0;
    const uint64_t since_ns = device ? dtr_executor_computing_ns(device->executor) : 0;
    if (!most_ns || !since_ns || dtr_now_ns() - since_ns < most_ns)
        dtr_channel_send(worker->channel, DTR_FRAME_BEAT, NULL, 0);
    return beat_ns;
}

static void interrupted(void *arg, const struct dtr_frame *frame) {
    struct worker *worker = arg;
    struct dtr_device *device = atomic_load(&worker->device);
    uint64_t epoch = UINT64_MAX;
    if (frame && frame->type == DTR_FRAME_ABORT) {
        struct dtr_reader reader = {.bytes = frame->bytes, .length = frame->length};
        epoch = dtr_read_epoch(&reader);
        dtr_log(atomic_load(&worker->log), DTR_LOG_INFO, "%s", dtr_read_text(&reader));
    }
    if (device)
        dtr_device_abort(device, epoch);
    if (!frame)
        alarm(GRACE_S);
}

static int receive(struct worker *worker, struct dtr_frame *frame, struct dtr_reader *reader,
                   struct dtr_error *error) {
    const int status = dtr_channel_receive(worker->channel, UINT64_MAX / 2, frame);
    if (status)
        return dtr_fail(error, status, "the leader is gone");
    *reader = (struct dtr_reader){.bytes = frame->bytes, .length = frame->length};
    return DTR_OK;
}

static int send_written(struct worker *worker, enum dtr_frame_type type, struct dtr_error *error) {
    dtr_write_u64(&worker->writer, worker->epoch);
    if (worker->writer.failed)
        return dtr_fail_memory(error);
    const int status =
        dtr_channel_send(worker->channel, type, worker->writer.bytes, worker->writer.length);
    dtr_writer_clear(&worker->writer);
    return status ? dtr_fail(error, status, "the leader is gone") : DTR_OK;
}

/* In a file here, or else piece by piece from the leader. */
static int find_weights(struct worker *worker, const struct dtr_setup *setup,
                        struct dtr_model_source *source, struct dtr_error *error) {
    const struct dtr_worker_options *options = worker->options;
    if (options->models)
        worker->own_weights = dtr_copies_find(options->models, source, setup->supply.digest,
                                              atomic_load(&worker->log));
    source->weights = worker->own_weights;
    if (worker->own_weights) {
        dtr_log(atomic_load(&worker->log), DTR_LOG_INFO, "the weights are in %s",
                worker->own_weights);
        return DTR_OK;
    }
    worker->shard.channel = worker->channel;
    worker->shard.epoch = &worker->epoch;
    worker->supply = setup->supply;
    worker->supply.fetch = dtr_shard_fetch;
    worker->supply.arg = &worker->shard;
    source->supply = &worker->supply;
    return options->cache
               ? dtr_cache_open(options->cache, options->cache_bytes, setup->supply.digest,
                                atomic_load(&worker->log), &worker->shard.cache, error)
               : DTR_OK;
}

/* Of the leader's files only what it sent of them can be used on another machine. */
static int take_source(struct worker *worker, const struct dtr_setup *setup,
                       struct dtr_model_source *source, struct dtr_error *error) {
    const bool random = !worker->experiment->model_weights;
    *source = dtr_experiment_model(worker->experiment);
    if (!worker->options->keys)
        return DTR_OK;
    source->config = "the leader's config.json";
    source->config_text = setup->config;
    source->weights = NULL;
    const int status = dtr_experiment_refuse_paths(worker->experiment, setup->device, error);
    return status || random ? status : find_weights(worker, setup, source, error);
}

/* What this process is to be, unless the leader ends the session, or all sessions, before. */
static int await_setup(struct worker *worker, struct dtr_setup *setup, bool *ended_p,
                       struct dtr_error *error) {
    struct dtr_frame frame;
    struct dtr_reader reader;
    const int status = receive(worker, &frame, &reader, error);
    if (status)
        return status;
    if (frame.type == DTR_FRAME_LEAVE)
        return dtr_fail(error, DTR_E_CANCELLED, "the leader needs no device");
    *ended_p = frame.type == DTR_FRAME_END;
    if (*ended_p)
        return DTR_OK;
    if (frame.type != DTR_FRAME_SETUP)
        return dtr_fail(error, DTR_E_CORRUPT, "frame %d arrived where the setup was due",
                        frame.type);
    dtr_read_epoch(&reader);
    return dtr_read_setup(&reader, setup, error);
}

static int set_up(struct worker *worker, bool *ended_p, struct dtr_error *error) {
    struct dtr_setup setup;
    dtr_write_hello(&worker->writer);
    int status = send_written(worker, DTR_FRAME_HELLO, error);
    if (!status)
        status = await_setup(worker, &setup, ended_p, error);
    if (status || *ended_p)
        return status;
    snprintf(worker->who, sizeof worker->who, "device %u", setup.device);
    /* On another machine those who started the worker say how much is told. */
    if (setup.log_level <= DTR_LOG_TRACE && !worker->options->keys)
        worker->named.level = (enum dtr_log_level)setup.log_level;
    atomic_store(&worker->log, &worker->named);
    status =
        dtr_experiment_parse("the leader's experiment", setup.experiment, strlen(setup.experiment),
                             worker->plugins, &worker->named, &worker->experiment, error);
    if (status)
        return status;
    if (!setup.device || setup.device >= worker->experiment->devices)
        return dtr_fail(error, DTR_E_CORRUPT, "this is to be device %u of %u", setup.device,
                        worker->experiment->devices);
    atomic_store(&worker->beat_ns, worker->experiment->lost_after_ns / BEATS);
    struct dtr_device *device;
    struct dtr_model_source source;
    status = dtr_experiment_pin(worker->experiment, setup.device, error);
    if (!status)
        status = take_source(worker, &setup, &source, error);
    if (!status)
        status = dtr_device_open(worker->experiment, &source, worker->plugins, setup.device,
                                 &setup.options, &worker->named, &device, error);
    if (status)
        return status;
    atomic_store(&worker->device, device);
    return dtr_pinning_begin(device, error);
}

static int tell_address(struct worker *worker, struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    char text[DTR_ADDRESS_MAX], transport[256];
    const int status =
        dtr_device_address(device, worker->here[0] ? worker->here : NULL, text, error);
    if (status)
        return status;
    dtr_device_transport(device, transport, sizeof transport);
    dtr_write_address(&worker->writer, &(struct dtr_address){.text = text,
                                                             .transport = transport,
                                                             .digest = device->model->digest});
    return send_written(worker, DTR_FRAME_ADDRESS, error);
}

/* --- what the leader asks for ----------------------------------------------------------------- */

static int join(struct worker *worker, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    const uint32_t most = worker->experiment->devices;
    const char **addresses = calloc(most, sizeof *addresses);
    uint32_t *numbers = calloc(most, sizeof *numbers);
    struct dtr_group group = {.size = sizeof group};
    int status = addresses && numbers ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        status = dtr_read_group(reader, most, &group, addresses, numbers, error);
    if (!status) {
        worker->epoch = group.epoch;
        status =
            dtr_device_join(device, &group, numbers, dtr_now_ns() + JOIN_S * DTR_SECOND_NS, error);
    }
    free(addresses);
    free(numbers);
    return status ? status : send_written(worker, DTR_FRAME_JOINED, error);
}

static int measure_kernels(struct worker *worker, struct dtr_reader *reader,
                           struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    struct dtr_probe *probes;
    uint32_t count;
    int status = dtr_read_probes(reader, &probes, &count, error);
    if (status)
        return status;
    double *seconds = calloc((size_t)count + 1, sizeof *seconds);
    status =
        seconds ? dtr_probe_kernels(device, probes, count, seconds, error) : dtr_fail_memory(error);
    free(probes);
    if (!status)
        dtr_write_probed(&worker->writer, dtr_kernels_name(device->kernels), seconds, count);
    free(seconds);
    return status ? status : send_written(worker, DTR_FRAME_PROBED, error);
}

static int measure_link(struct worker *worker, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    struct dtr_link_frame frame;
    int status = dtr_read_link(reader, &frame, error);
    if (status)
        return status;
    if (!device->joined || frame.peer >= device->numbered || frame.peer == device->rank)
        return dtr_fail(error, DTR_E_CORRUPT, "there is no link to rank %u", frame.peer);
    status = frame.echoes ? dtr_probe_echo(device, frame.peer, error)
                          : dtr_probe_link(device, frame.peer, &frame.link, error);
    if (status)
        return status;
    dtr_write_link(&worker->writer, &frame);
    return send_written(worker, DTR_FRAME_LINKED, error);
}

static int take_trial(struct worker *worker, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_trial trial;
    struct dtr_trial_times times;
    struct dtr_device *device = atomic_load(&worker->device);
    int status = dtr_read_trial(reader, device->numbered, &trial, error);
    if (!status && !device->joined)
        status = dtr_fail(error, DTR_E_CORRUPT, "a trial arrived where a group was due");
    if (!status)
        status = dtr_trial_run(device, &trial, &times, error);
    if (status)
        return status;
    dtr_write_tried(&worker->writer, &times);
    return send_written(worker, DTR_FRAME_TRIED, error);
}

static int take_plan(struct worker *worker, const struct dtr_reader *reader,
                     struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    struct dtr_plan *plan;
    int status = dtr_plan_decode(reader->bytes, reader->length, &device->model->shape,
                                 device->numbered, dtr_strategy_count(), &plan, error);
    if (status)
        return status;
    status = dtr_device_load(device, plan, error);
    dtr_plan_free(plan);
    if (status)
        return status;
    if (worker->supply.fetch)
        dtr_log(atomic_load(&worker->log), DTR_LOG_INFO,
                "%llu bytes of weights came from the leader, %llu from the cache",
                (unsigned long long)worker->shard.sent_bytes,
                (unsigned long long)worker->shard.cached_bytes);
    dtr_write_ready(&worker->writer,
                    &(struct dtr_ready){.weight_bytes = dtr_kernels_bytes(device->kernels),
                                        .kernel = dtr_kernels_name(device->kernels),
                                        .cores = device->cores ? device->cores : ""});
    return send_written(worker, DTR_FRAME_READY, error);
}

static int run_request(struct worker *worker, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_device *device = atomic_load(&worker->device);
    const uint64_t taken_ns = dtr_now_ns();
    struct dtr_request_frame frame;
    struct dtr_program *program;
    if (!device->plan)
        return dtr_fail(error, DTR_E_CORRUPT, "a request arrived where a plan was due");
    int status = dtr_read_request(reader, device, &worker->memory, &frame, error);
    if (!status)
        status = dtr_device_program(device, &frame.request, frame.strategy, frame.tiles, &program,
                                    error);
    if (status)
        return status;
    if (program->digest != frame.digest)
        return dtr_fail(error, DTR_E_CORRUPT, "the leader has another schedule in mind");
    const struct dtr_tokens_input tokens = {frame.request.ids, frame.request.types};
    status = dtr_executor_run(device->executor, program, &tokens, error);
    if (status)
        return status;
    struct dtr_done done = {
        .number = frame.number,
        .times = dtr_program_times(program),
        .buffer_bytes = dtr_executor_bytes(device->executor),
        .peak_rss_bytes = dtr_peak_rss_bytes(),
        .taken_ns = taken_ns,
        .answered_ns = dtr_now_ns(),
    };
    dtr_kernels_lateness(device->kernels, &done.late_ns, &done.due_ns);
    dtr_write_done(&worker->writer, &done, program, device->options.trace);
    return send_written(worker, DTR_FRAME_DONE, error);
}

/* One frame of the leader's.  What belongs to a group that was left since is dropped. */
static int obey(struct worker *worker, const struct dtr_frame *frame, struct dtr_error *error) {
    struct dtr_reader reader = {.bytes = frame->bytes, .length = frame->length};
    const uint64_t epoch = dtr_read_epoch(&reader);
    if (frame->type == DTR_FRAME_GROUP)
        return join(worker, &reader, error);
    if (epoch != worker->epoch)
        return DTR_OK;
    if (frame->type == DTR_FRAME_PROBE)
        return measure_kernels(worker, &reader, error);
    if (frame->type == DTR_FRAME_LINK)
        return measure_link(worker, &reader, error);
    if (frame->type == DTR_FRAME_TRIAL)
        return take_trial(worker, &reader, error);
    if (frame->type == DTR_FRAME_PLAN)
        return take_plan(worker, &reader, error);
    if (frame->type == DTR_FRAME_REQUEST)
        return run_request(worker, &reader, error);
    return dtr_fail(error, DTR_E_CORRUPT, "frame %d arrived where a task was due", frame->type);
}

static void tell_failure(struct worker *worker, const struct dtr_error *failure) {
    const struct dtr_device *device = atomic_load(&worker->device);
    dtr_writer_clear(&worker->writer);
    dtr_write_failed(&worker->writer, failure, device ? dtr_device_suspect(device) : -1);
    struct dtr_error ignored = {0};
    send_written(worker, DTR_FRAME_FAILED, &ignored);
}

/* Until the leader ends it or is gone.  After a failure, be it its own or another's, the device is
 * in no group, and the leader says how things go on. */
static int serve(struct worker *worker, struct dtr_error *error) {
    for (;;) {
        struct dtr_frame frame;
        struct dtr_reader reader;
        struct dtr_error failure = {0};
        const int status = receive(worker, &frame, &reader, error);
        if (status || frame.type == DTR_FRAME_END)
            return status;
        if (!obey(worker, &frame, &failure))
            continue;
        tell_failure(worker, &failure);
        dtr_device_leave(atomic_load(&worker->device));
    }
}

/* The leader hangs up on a worker that cannot be set up. */
static void hear_out(struct worker *worker) {
    struct dtr_frame frame;
    while (!dtr_channel_receive(worker->channel, UINT64_MAX / 2, &frame))
        if (frame.type == DTR_FRAME_END)
            return;
}

int dtr_worker_serve(int fd, const struct dtr_worker_options *options, struct dtr_plugins *plugins,
                     const struct dtr_log *log, struct dtr_error *error) {
    static const struct dtr_worker_options none;
    struct worker worker = {
        .plugins = plugins, .unnamed = *log, .named = *log, .options = options ? options : &none};
    dtr_stream_here_host(fd, worker.here);
    worker.unnamed.who = "worker";
    worker.named.who = worker.who;
    atomic_store(&worker.log, &worker.unnamed);
    const struct dtr_channel_events events = {.arg = &worker, .interrupted = interrupted};
    int status = dtr_channel_create(fd, worker.options->keys, &events, &worker.channel, error);
    if (status)
        return status;
    bool ended = false;
    atomic_store(&worker.beat_ns, BEAT_NS);
    status = dtr_ticker_start(beat, &worker, &worker.heart, error);
    if (!status)
        status = set_up(&worker, &ended, error);
    const bool sent_away = status == DTR_E_CANCELLED;
    if (!status && !ended)
        status = tell_address(&worker, error);
    if (!status && !ended) {
        status = serve(&worker, error);
    } else if (status && !sent_away && !dtr_channel_closed(worker.channel)) {
        tell_failure(&worker, error);
        hear_out(&worker);
    }
    dtr_ticker_stop(worker.heart);
    dtr_channel_free(worker.channel);
    dtr_device_close(atomic_load(&worker.device));
    dtr_cache_close(worker.shard.cache);
    dtr_writer_free(&worker.shard.writer);
    free(worker.own_weights);
    dtr_experiment_free(worker.experiment);
    dtr_writer_free(&worker.writer);
    free(worker.memory.words);
    /* Nothing is stuck any more; this process may have another leader after this one. */
    alarm(0);
    return status;
}

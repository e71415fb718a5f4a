/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "run/protocol.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Reads differently on a host of another byte order. */
static const uint32_t order_mark = 0x01020304;

/* Nothing that is measured takes so many seconds. */
static const double most_s = 1e6;

static bool is_time(double seconds) {
    return seconds >= 0 && seconds < most_s;
}

static int malformed(struct dtr_error *error, const char *what) {
    return dtr_fail(error, DTR_E_CORRUPT, "a malformed %s arrived on the control channel", what);
}

void dtr_write_hello(struct dtr_writer *writer) {
    dtr_write_u32(writer, order_mark);
    dtr_write_u32(writer, DTR_PROTOCOL_VERSION);
    dtr_write_u32(writer, DTR_ABI_MAJOR);
    dtr_write_u32(writer, DTR_ABI_MINOR);
    dtr_write_text(writer, PACKAGE_VERSION);
}

int dtr_read_hello(struct dtr_reader *reader, struct dtr_error *error) {
    const uint32_t mark = dtr_read_u32(reader), version = dtr_read_u32(reader);
    const uint32_t major = dtr_read_u32(reader), minor = dtr_read_u32(reader);
    const char *package = dtr_read_text(reader);
    if (!dtr_reader_done(reader))
        return malformed(error, "greeting");
    if (mark != order_mark)
        return dtr_fail(error, DTR_E_CONFIG, "the worker has another byte order");
    if (version != DTR_PROTOCOL_VERSION || major != DTR_ABI_MAJOR || minor != DTR_ABI_MINOR)
        return dtr_fail(error, DTR_E_CONFIG,
                        "the worker is version %s (protocol %u, plugin ABI %u.%u), the leader "
                        "version %s (protocol %u, plugin ABI %u.%u)",
                        package, version, major, minor, PACKAGE_VERSION, DTR_PROTOCOL_VERSION,
                        DTR_ABI_MAJOR, DTR_ABI_MINOR);
    return DTR_OK;
}

void dtr_write_setup(struct dtr_writer *writer, const struct dtr_setup *setup) {
    dtr_write_u32(writer, setup->device);
    dtr_write_u32(writer, setup->options.all_rows);
    dtr_write_u32(writer, setup->options.keep_layers);
    dtr_write_u32(writer, setup->options.trace);
    dtr_write_u32(writer, setup->options.sequences_max);
    dtr_write_u32(writer, setup->options.length_max);
    dtr_write_u32(writer, setup->log_level);
    dtr_write_text(writer, setup->experiment);
    dtr_write_text(writer, setup->config);
    dtr_write_bytes(writer, setup->supply.digest, sizeof setup->supply.digest);
    dtr_write_u32(writer, setup->supply.labels);
    dtr_write_u32(writer, setup->supply.sub_intermediate);
    dtr_write_u32(writer, (uint32_t)setup->supply.attention);
    dtr_write_u32(writer, setup->supply.count);
    dtr_write_bytes(writer, setup->supply.types, setup->supply.count);
}

static void read_supply(struct dtr_reader *reader, struct dtr_supply *supply) {
    const void *digest = dtr_read_bytes(reader, sizeof supply->digest);
    *supply = (struct dtr_supply){.labels = dtr_read_u32(reader)};
    if (digest)
        memcpy(supply->digest, digest, sizeof supply->digest);
    supply->sub_intermediate = dtr_read_u32(reader);
    supply->attention = (int32_t)dtr_read_u32(reader);
    supply->count = dtr_read_u32(reader);
    supply->types = dtr_read_bytes(reader, supply->count);
}

int dtr_read_setup(struct dtr_reader *reader, struct dtr_setup *setup, struct dtr_error *error) {
    setup->device = dtr_read_u32(reader);
    setup->options.all_rows = dtr_read_u32(reader);
    setup->options.keep_layers = dtr_read_u32(reader);
    setup->options.trace = dtr_read_u32(reader);
    setup->options.sequences_max = dtr_read_u32(reader);
    setup->options.length_max = dtr_read_u32(reader);
    setup->log_level = dtr_read_u32(reader);
    setup->experiment = dtr_read_text(reader);
    setup->config = dtr_read_text(reader);
    read_supply(reader, &setup->supply);
    const uint64_t tokens = (uint64_t)setup->options.sequences_max * setup->options.length_max;
    return dtr_reader_done(reader) && tokens && tokens <= UINT32_MAX / 2
               ? DTR_OK
               : malformed(error, "experiment");
}

void dtr_write_address(struct dtr_writer *writer, const struct dtr_address *address) {
    dtr_write_text(writer, address->text);
    dtr_write_text(writer, address->transport);
    dtr_write_bytes(writer, address->digest, 32);
}

int dtr_read_address(struct dtr_reader *reader, struct dtr_address *address,
                     struct dtr_error *error) {
    address->text = dtr_read_text(reader);
    address->transport = dtr_read_text(reader);
    address->digest = dtr_read_bytes(reader, 32);
    if (!dtr_reader_done(reader) || strlen(address->text) >= DTR_ADDRESS_MAX)
        return malformed(error, "address");
    return DTR_OK;
}

void dtr_write_group(struct dtr_writer *writer, const struct dtr_group *group,
                     const uint32_t *numbers) {
    dtr_write_u32(writer, group->devices);
    dtr_write_u32(writer, group->device);
    dtr_write_u64(writer, group->epoch);
    dtr_write_u32(writer, group->key != NULL);
    if (group->key)
        dtr_write_bytes(writer, group->key, 32);
    dtr_write_bytes(writer, numbers, group->devices * sizeof *numbers);
    for (uint32_t i = 0; i < group->devices; i++)
        dtr_write_text(writer, group->addresses[i]);
}

int dtr_read_group(struct dtr_reader *reader, uint32_t most, struct dtr_group *group,
                   const char **addresses, uint32_t *numbers, struct dtr_error *error) {
    group->devices = dtr_read_u32(reader);
    group->device = dtr_read_u32(reader);
    group->epoch = dtr_read_u64(reader);
    group->key = dtr_read_u32(reader) ? dtr_read_bytes(reader, 32) : NULL;
    if (reader->broken || group->devices < 2 || group->devices > most || !group->device ||
        group->device >= group->devices)
        return malformed(error, "group");
    dtr_read_words(reader, numbers, group->devices);
    for (uint32_t i = 0; i < group->devices; i++)
        addresses[i] = dtr_read_text(reader);
    group->addresses = addresses;
    return dtr_reader_done(reader) ? DTR_OK : malformed(error, "group");
}

void dtr_write_probes(struct dtr_writer *writer, const struct dtr_probe *probes, uint32_t count) {
    dtr_write_u32(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        dtr_write_u32(writer, probes[i].kind);
        dtr_write_u32(writer, probes[i].rows);
        dtr_write_u32(writer, probes[i].out);
        dtr_write_u32(writer, probes[i].in);
    }
}

/* A shape that would take more memory than any model's. */
static bool probe_sane(const struct dtr_probe *probe) {
    const uint64_t most = UINT64_C(1) << 28;
    return probe->kind < DTR_PROBE_KINDS && probe->rows && probe->out &&
           (probe->kind == DTR_PROBE_NORM || probe->in) &&
           (uint64_t)probe->rows * probe->out <= most &&
           (uint64_t)probe->rows * probe->in <= most && (uint64_t)probe->out * probe->in <= most;
}

int dtr_read_probes(struct dtr_reader *reader, struct dtr_probe **probes_p, uint32_t *count_p,
                    struct dtr_error *error) {
    const uint32_t count = dtr_read_u32(reader);
    if (count > reader->length / (4 * sizeof(uint32_t)))
        return malformed(error, "list of shapes");
    struct dtr_probe *probes = calloc((size_t)count + 1, sizeof *probes);
    if (!probes)
        return dtr_fail_memory(error);
    bool sane = true;
    for (uint32_t i = 0; i < count; i++) {
        probes[i].kind = dtr_read_u32(reader);
        probes[i].rows = dtr_read_u32(reader);
        probes[i].out = dtr_read_u32(reader);
        probes[i].in = dtr_read_u32(reader);
        sane &= probe_sane(&probes[i]);
    }
    if (!dtr_reader_done(reader) || !sane) {
        free(probes);
        return malformed(error, "list of shapes");
    }
    *probes_p = probes;
    *count_p = count;
    return DTR_OK;
}

void dtr_write_probed(struct dtr_writer *writer, const char *kernel, const double *seconds,
                      uint32_t count) {
    dtr_write_text(writer, kernel);
    dtr_write_bytes(writer, seconds, count * sizeof *seconds);
}

int dtr_read_probed(struct dtr_reader *reader, uint32_t count, const char **kernel_p,
                    double *seconds, struct dtr_error *error) {
    *kernel_p = dtr_read_text(reader);
    const void *bytes = dtr_read_bytes(reader, count * sizeof *seconds);
    if (!dtr_reader_done(reader))
        return malformed(error, "list of measurements");
    memcpy(seconds, bytes, count * sizeof *seconds);
    for (uint32_t i = 0; i < count; i++)
        if (!(seconds[i] > 0) || !(seconds[i] < most_s))
            return malformed(error, "measurement");
    return DTR_OK;
}

void dtr_write_link(struct dtr_writer *writer, const struct dtr_link_frame *frame) {
    dtr_write_u32(writer, frame->peer);
    dtr_write_u32(writer, frame->echoes);
    dtr_write_bytes(writer, &frame->link, sizeof frame->link);
}

int dtr_read_link(struct dtr_reader *reader, struct dtr_link_frame *frame,
                  struct dtr_error *error) {
    frame->peer = dtr_read_u32(reader);
    frame->echoes = dtr_read_u32(reader);
    const void *link = dtr_read_bytes(reader, sizeof frame->link);
    if (!dtr_reader_done(reader))
        return malformed(error, "word on a link");
    memcpy(&frame->link, link, sizeof frame->link);
    return is_time(frame->link.latency_s) && frame->link.bytes_per_s >= 0 &&
                   isfinite(frame->link.bytes_per_s)
               ? DTR_OK
               : malformed(error, "word on a link");
}

void dtr_write_trial(struct dtr_writer *writer, const struct dtr_trial *trial) {
    const uint32_t words[] = {trial->what, trial->kind,    trial->algorithm, trial->wire,
                              trial->rows, trial->columns, trial->warmup,    trial->repeats};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        dtr_write_u32(writer, words[i]);
}

int dtr_read_trial(struct dtr_reader *reader, uint32_t devices, struct dtr_trial *trial,
                   struct dtr_error *error) {
    uint32_t words[8];
    dtr_read_words(reader, words, 8);
    *trial = (struct dtr_trial){.what = words[0],
                                .kind = words[1],
                                .algorithm = words[2],
                                .wire = words[3],
                                .rows = words[4],
                                .columns = words[5],
                                .warmup = words[6],
                                .repeats = words[7]};
    return dtr_reader_done(reader) && dtr_trial_sane(trial, devices) ? DTR_OK
                                                                     : malformed(error, "trial");
}

void dtr_write_tried(struct dtr_writer *writer, const struct dtr_trial_times *times) {
    dtr_write_bytes(writer, times, sizeof *times);
}

int dtr_read_tried(struct dtr_reader *reader, struct dtr_trial_times *times,
                   struct dtr_error *error) {
    const void *bytes = dtr_read_bytes(reader, sizeof *times);
    if (!dtr_reader_done(reader))
        return malformed(error, "result of a trial");
    memcpy(times, bytes, sizeof *times);
    return is_time(times->mean_s) && is_time(times->median_s) && is_time(times->least_s)
               ? DTR_OK
               : malformed(error, "result of a trial");
}

void dtr_write_ready(struct dtr_writer *writer, const struct dtr_ready *ready) {
    dtr_write_u64(writer, ready->weight_bytes);
    dtr_write_text(writer, ready->kernel);
    dtr_write_text(writer, ready->cores);
}

int dtr_read_ready(struct dtr_reader *reader, struct dtr_ready *ready, struct dtr_error *error) {
    ready->weight_bytes = dtr_read_u64(reader);
    ready->kernel = dtr_read_text(reader);
    ready->cores = dtr_read_text(reader);
    return dtr_reader_done(reader) ? DTR_OK : malformed(error, "report");
}

/* Of numbers that may be anything. */
static const uint32_t any = UINT32_MAX;

static uint32_t tokens_of(const struct dtr_request *request) {
    uint32_t tokens = 0;
    for (uint32_t i = 0; i < request->sequences; i++)
        tokens += request->lengths[i];
    return tokens;
}

void dtr_write_request(struct dtr_writer *writer, const struct dtr_request_frame *frame,
                       const struct dtr_model *model, uint32_t groups) {
    const struct dtr_request *request = &frame->request;
    const uint32_t tokens = request->ids ? tokens_of(request) : 0;
    dtr_write_u64(writer, frame->number);
    dtr_write_u64(writer, frame->digest);
    dtr_write_u32(writer, frame->tiles);
    dtr_write_numbers(writer, frame->strategy, groups, any);
    dtr_write_u32(writer, request->sequences);
    dtr_write_numbers(writer, request->lengths, request->sequences, any);
    dtr_write_u32(writer, request->select ? request->selected : 0);
    if (request->select)
        dtr_write_numbers(writer, request->select, request->selected, any);
    dtr_write_u32(writer, tokens);
    if (tokens) {
        dtr_write_numbers(writer, request->ids, tokens, model->vocabulary);
        dtr_write_numbers(writer, request->types, tokens, model->types);
    }
}

/* Everything that the schedule and the embedding will index with; `sent` tokens came along. */
static bool request_sane(const struct dtr_request_frame *frame, const struct dtr_device *device,
                         uint32_t sent) {
    const struct dtr_request *request = &frame->request;
    const struct dtr_plan *plan = device->plan;
    uint64_t tokens = 0;
    if (!request->sequences || !frame->tiles || frame->tiles > DTR_TILES_MAX)
        return false;
    for (uint32_t i = 0; i < request->sequences; i++) {
        if (!request->lengths[i] || request->lengths[i] > device->tokens_max ||
            (request->ids && request->lengths[i] > device->model->positions))
            return false;
        tokens += request->lengths[i];
    }
    if (tokens > device->tokens_max || (request->ids && tokens != sent))
        return false;
    for (uint32_t i = 0; request->select && i < request->selected; i++)
        if (request->select[i] >= tokens || (i && request->select[i] <= request->select[i - 1]))
            return false;
    for (uint32_t i = 0; request->ids && i < tokens; i++)
        if (request->ids[i] >= device->model->vocabulary ||
            request->types[i] >= device->model->types)
            return false;
    for (uint32_t g = 0; g < plan->groups; g++)
        if (frame->strategy[g] >= plan->strategies || !plan->open[frame->strategy[g]])
            return false;
    return true;
}

static uint32_t *take_numbers(struct dtr_reader *reader, struct dtr_words *memory, size_t *used,
                              size_t count, uint32_t bound) {
    uint32_t *numbers = memory->words + *used;
    dtr_read_numbers(reader, numbers, count, bound);
    *used += reader->broken ? 0 : count;
    return numbers;
}

int dtr_read_request(struct dtr_reader *reader, const struct dtr_device *device,
                     struct dtr_words *memory, struct dtr_request_frame *frame,
                     struct dtr_error *error) {
    /* All words of the frame, and what it has of each token. */
    const size_t needed = reader->length / sizeof(uint32_t) + 1 + 2 * (size_t)device->tokens_max;
    size_t used = 0;
    if (needed > memory->capacity) {
        uint32_t *larger = realloc(memory->words, needed * sizeof *larger);
        if (!larger)
            return dtr_fail_memory(error);
        memory->words = larger;
        memory->capacity = needed;
    }
    struct dtr_request *request = &frame->request;
    *frame = (struct dtr_request_frame){.number = dtr_read_u64(reader)};
    frame->digest = dtr_read_u64(reader);
    frame->tiles = dtr_read_u32(reader);
    frame->strategy = take_numbers(reader, memory, &used, device->plan->groups, any);
    request->sequences = dtr_read_u32(reader);
    request->lengths = take_numbers(reader, memory, &used, request->sequences, any);
    request->selected = dtr_read_u32(reader);
    const uint32_t *select = take_numbers(reader, memory, &used, request->selected, any);
    request->select = request->selected ? select : NULL;
    const uint32_t tokens = dtr_read_u32(reader);
    if (tokens > device->tokens_max)
        return malformed(error, "request");
    const uint32_t *ids = take_numbers(reader, memory, &used, tokens, device->model->vocabulary);
    const uint32_t *types = take_numbers(reader, memory, &used, tokens, device->model->types);
    request->ids = tokens ? ids : NULL;
    request->types = tokens ? types : NULL;
    if (!dtr_reader_done(reader) || !request_sane(frame, device, tokens) ||
        (tokens != 0) != (device->experiment->input != DTR_INPUT_HIDDEN))
        return malformed(error, "request");
    return DTR_OK;
}

void dtr_write_done(struct dtr_writer *writer, const struct dtr_done *done,
                    const struct dtr_program *program, bool trace) {
    const struct dtr_schedule *schedule = program->schedule;
    const uint32_t steps = trace ? schedule->steps_count : 0;
    const uint32_t collectives = schedule->collectives_count;
    dtr_write_u64(writer, done->number);
    dtr_write_u64(writer, done->times.compute_ns);
    dtr_write_u64(writer, done->times.communicate_ns);
    dtr_write_u64(writer, done->times.under_way_ns);
    dtr_write_u64(writer, done->times.hidden_ns);
    dtr_write_u64(writer, done->buffer_bytes);
    dtr_write_u64(writer, done->peak_rss_bytes);
    dtr_write_u64(writer, done->late_ns);
    dtr_write_u64(writer, done->due_ns);
    dtr_write_u64(writer, done->taken_ns);
    dtr_write_u64(writer, done->answered_ns);
    dtr_write_u32(writer, steps);
    dtr_write_u32(writer, collectives);
    dtr_write_bytes(writer, program->begin_ns, steps * sizeof(uint64_t));
    dtr_write_bytes(writer, program->end_ns, steps * sizeof(uint64_t));
    for (uint32_t i = 0; i < collectives; i++)
        dtr_write_bytes(writer, dtr_flights_times(program->flights, i),
                        sizeof(struct dtr_flight_times));
}

int dtr_read_done(struct dtr_reader *reader, struct dtr_done *done, struct dtr_error *error) {
    *done = (struct dtr_done){.number = dtr_read_u64(reader)};
    done->times.compute_ns = dtr_read_u64(reader);
    done->times.communicate_ns = dtr_read_u64(reader);
    done->times.under_way_ns = dtr_read_u64(reader);
    done->times.hidden_ns = dtr_read_u64(reader);
    done->buffer_bytes = dtr_read_u64(reader);
    done->peak_rss_bytes = dtr_read_u64(reader);
    done->late_ns = dtr_read_u64(reader);
    done->due_ns = dtr_read_u64(reader);
    done->taken_ns = dtr_read_u64(reader);
    done->answered_ns = dtr_read_u64(reader);
    done->steps = dtr_read_u32(reader);
    done->collectives = dtr_read_u32(reader);
    done->step_times = dtr_read_bytes(reader, 2 * sizeof(uint64_t) * (size_t)done->steps);
    done->flight_times =
        dtr_read_bytes(reader, sizeof(struct dtr_flight_times) * (size_t)done->collectives);
    return dtr_reader_done(reader) ? DTR_OK : malformed(error, "result");
}

void dtr_write_failed(struct dtr_writer *writer, const struct dtr_error *failure, int suspect) {
    dtr_write_u32(writer, (uint32_t)suspect);
    dtr_write_u32(writer, (uint32_t)-failure->status);
    dtr_write_text(writer, failure->text);
}

void dtr_read_failed(struct dtr_reader *reader, struct dtr_error *failure, int *suspect_p) {
    *suspect_p = (int)dtr_read_u32(reader);
    const uint32_t status = dtr_read_u32(reader);
    const char *text = dtr_read_text(reader);
    if (!dtr_reader_done(reader) || !status || status > (uint32_t)-DTR_E_PLUGIN)
        malformed(failure, "failure");
    else
        dtr_fail(failure, -(int)status, "%s", text);
}

uint64_t dtr_read_epoch(struct dtr_reader *reader) {
    uint64_t epoch = 0;
    if (reader->length < sizeof epoch)
        return 0;
    reader->length -= sizeof epoch;
    memcpy(&epoch, reader->bytes + reader->length, sizeof epoch);
    return epoch;
}

uint64_t dtr_peak_rss_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (uint64_t)usage.ru_maxrss * 1024;
}

/* SPDX-License-Identifier: MIT
 *
 * control_fuzz.c -- the contents of control frames, as the leader and a worker read them once it is
 * known who is at the other end; plans and requests that are accepted become schedules.  Input: a
 * byte, the type of the frame, then its contents.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/lower.h"
#include "plan/strategy.h"
#include "run/channel.h"
#include "run/protocol.h"
#include "run/shard.h"

enum { DEVICES = 3 };

struct stage {
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment; /* of one device */
    struct dtr_device *device;
    struct dtr_words words;
};

static const struct dtr_log quiet = {.level = DTR_LOG_ERROR, .fd = -1};

static char *describe(void) {
    char *text;
    const int length = asprintf(&text,
                                "[model]\nconfig = %s\nweights = %s\ntask = classify\n"
                                "[input]\nrandom = yes\nsequence_length = 24\nbatch = 2\n"
                                "[kernel]\nplugin = reference\n[transport]\nplugin = shm\n"
                                "[planner]\nplugin = fixed\n[planner.fixed]\nstrategy = bp+sp\n",
                                fuzz_fixture("full-4/config.json"),
                                fuzz_fixture("full-4/model.safetensors"));
    fuzz_need(length > 0, "no memory");
    return text;
}

/* A plan for so many devices with every strategy open. */
static struct dtr_plan *make_plan(const struct dtr_model_shape *shape, uint32_t devices) {
    const struct dtr_device_info info[DEVICES] = {{.share = 1}, {.share = 1}, {.share = 1}};
    struct dtr_plan *plan = dtr_plan_create(shape, devices, dtr_strategy_count(), NULL);
    fuzz_need(plan && !dtr_plan_place(plan, info, sizeof info[0], NULL), "no plan");
    memset(plan->open, 1, plan->strategies);
    return plan;
}

static void open_stage(struct stage *stage) {
    const struct dtr_session_options options = {.sequences_max = 2, .length_max = 24};
    struct dtr_error error = {0};
    char *text = describe();
    int status = dtr_plugins_create(NULL, &quiet, &stage->plugins, &error);
    if (!status)
        status = dtr_experiment_parse("one", text, strlen(text), stage->plugins, &quiet,
                                      &stage->experiment, &error);
    fuzz_need(!status, error.text);
    const struct dtr_model_source source = dtr_experiment_model(stage->experiment);
    fuzz_need(!dtr_device_open(stage->experiment, &source, stage->plugins, 0, &options, &quiet,
                               &stage->device, &error),
              error.text);
    struct dtr_plan *plan = make_plan(&stage->device->model->shape, 1);
    fuzz_need(!dtr_device_load(stage->device, plan, &error), error.text);
    dtr_plan_free(plan);
    free(text);
}

/* --- frames that have more to them ------------------------------------------------------------ */

static int read_setup(const struct stage *stage, struct dtr_reader *reader,
                      struct dtr_error *error) {
    struct dtr_setup setup;
    struct dtr_experiment *experiment;
    int status = dtr_read_setup(reader, &setup, error);
    if (!status)
        status = dtr_experiment_parse("sent", setup.experiment, strlen(setup.experiment),
                                      stage->plugins, &quiet, &experiment, error);
    if (!status)
        dtr_experiment_free(experiment);
    return status;
}

static int read_plan(const struct stage *stage, struct dtr_reader *reader,
                     struct dtr_error *error) {
    static const uint32_t lengths[] = {5, 9};
    const struct dtr_model_shape *shape = &stage->device->model->shape;
    struct dtr_plan *plan;
    int status = dtr_plan_decode(reader->bytes, reader->length, shape, DEVICES,
                                 dtr_strategy_count(), &plan, error);
    for (uint32_t device = 0; device < DEVICES && !status; device++) {
        const struct dtr_lowering lowering = {
            .model = shape, .plan = plan, .device = device, .sequences = 2, .lengths = lengths};
        struct dtr_schedule *schedule;
        uint32_t step;
        if (dtr_lower(&lowering, &schedule, error))
            break;
        fuzz_need(!dtr_schedule_check(schedule, &step), "a schedule breaks its promises");
        dtr_schedule_free(schedule);
    }
    if (!status)
        dtr_plan_free(plan);
    return status;
}

static int read_request(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_request_frame frame;
    struct dtr_program *program;
    int status = dtr_read_request(reader, stage->device, &stage->words, &frame, error);
    if (!status)
        status = dtr_device_program(stage->device, &frame.request, frame.strategy, frame.tiles,
                                    &program, error);
    return status;
}

static int read_group(struct dtr_reader *reader, struct dtr_error *error) {
    const char *addresses[DEVICES];
    uint32_t numbers[DEVICES];
    struct dtr_group group = {.size = sizeof group};
    return dtr_read_group(reader, DEVICES, &group, addresses, numbers, error);
}

static int read_probes(struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_probe *probes;
    uint32_t count;
    const int status = dtr_read_probes(reader, &probes, &count, error);
    if (!status)
        free(probes);
    return status;
}

/* What a worker asks for, and what it is sent, begin alike. */
static int read_piece(const struct stage *stage, struct dtr_reader *reader) {
    static uint8_t bytes[DTR_PIECE_BYTES_MAX];
    struct dtr_piece piece;
    size_t length;
    dtr_read_piece(reader, &piece);
    if (dtr_supply_copy(stage->device->model, &piece, bytes, &length))
        fuzz_need(length && length <= sizeof bytes, "a piece is too long");
    return DTR_OK;
}

/* --- all -------------------------------------------------------------------------------------- */

static int read_frame(struct stage *stage, uint32_t type, struct dtr_reader *reader,
                      struct dtr_error *error) {
    struct dtr_address address;
    struct dtr_link_frame link;
    struct dtr_trial trial;
    struct dtr_trial_times times;
    struct dtr_ready ready;
    struct dtr_done done;
    const char *kernel;
    double seconds[2];
    int suspect;
    if (type > DTR_FRAME_ADDRESS)
        dtr_read_epoch(reader);
    switch (type) {
    case DTR_FRAME_HELLO:
        return dtr_read_hello(reader, error);
    case DTR_FRAME_SETUP:
        return read_setup(stage, reader, error);
    case DTR_FRAME_ADDRESS:
        return dtr_read_address(reader, &address, error);
    case DTR_FRAME_GROUP:
        return read_group(reader, error);
    case DTR_FRAME_PROBE:
        return read_probes(reader, error);
    case DTR_FRAME_PROBED:
        return dtr_read_probed(reader, 2, &kernel, seconds, error);
    case DTR_FRAME_LINK:
    case DTR_FRAME_LINKED:
        return dtr_read_link(reader, &link, error);
    case DTR_FRAME_TRIAL:
        return dtr_read_trial(reader, DEVICES, &trial, error);
    case DTR_FRAME_TRIED:
        return dtr_read_tried(reader, &times, error);
    case DTR_FRAME_FETCH:
    case DTR_FRAME_PIECE:
        return read_piece(stage, reader);
    case DTR_FRAME_PLAN:
        return read_plan(stage, reader, error);
    case DTR_FRAME_READY:
        return dtr_read_ready(reader, &ready, error);
    case DTR_FRAME_REQUEST:
        return read_request(stage, reader, error);
    case DTR_FRAME_DONE:
        return dtr_read_done(reader, &done, error);
    case DTR_FRAME_FAILED:
        dtr_read_failed(reader, error, &suspect);
        fuzz_need(error->status < 0, "a failure without a status");
        return DTR_OK;
    default:
        dtr_read_text(reader);
        return DTR_OK;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct stage stage;
    struct fuzz_bytes bytes = {data, size};
    const uint8_t type = fuzz_byte(&bytes);
    struct dtr_reader reader = {.bytes = bytes.data, .length = bytes.size};
    struct dtr_error error = {0};
    if (!stage.device)
        open_stage(&stage);
    fuzz_sentence(read_frame(&stage, type % DTR_FRAME_TYPES, &reader, &error), &error);
    return 0;
}

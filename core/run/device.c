/* SPDX-License-Identifier: MIT */
#include "run/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/strategy.h"

/* Programs that are kept; a request of a new shape takes the place of the one used longest ago. */
enum { CACHE = 32 };

bool dtr_task_selects(enum dtr_task task) {
    return task == DTR_TASK_CLASSIFY || task == DTR_TASK_FILL_MASK;
}

struct dtr_model_source dtr_experiment_model(const struct dtr_experiment *experiment) {
    return (struct dtr_model_source){
        .config = experiment->model_config,
        .weights = experiment->model_weights,
        .seed = experiment->seed,
        .task = experiment->task,
        .needs_embeddings = experiment->input != DTR_INPUT_HIDDEN,
        .division = experiment->overrides.division,
        .num_blocks = experiment->overrides.num_blocks,
        .intermediate_size = experiment->overrides.intermediate_size,
        .attention = experiment->overrides.attention,
    };
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int open_transport(struct dtr_device *device, struct dtr_error *error) {
    const struct dtr_experiment *experiment = device->experiment;
    struct dtr_chain chain;
    if (experiment->devices < 2)
        return DTR_OK;
    const int status =
        dtr_experiment_chain(experiment, DTR_TRANSPORT, device->device, &chain, error);
    if (status)
        return status;
    return dtr_chain_open(&chain, device->log, experiment->device[device->device].threads,
                          device->device, experiment->devices, &device->transport, error);
}

int dtr_device_open(const struct dtr_experiment *experiment, const struct dtr_model_source *source,
                    struct dtr_plugins *plugins, uint32_t index,
                    const struct dtr_session_options *options, const struct dtr_log *log,
                    struct dtr_device **device_p, struct dtr_error *error) {
    struct dtr_device *device = calloc(1, sizeof *device);
    if (!device)
        return dtr_fail_memory(error);
    *device = (struct dtr_device){
        .experiment = experiment,
        .plugins = plugins,
        .log = log,
        .device = index,
        .options = *options,
        .tokens_max = options->sequences_max * options->length_max,
        .cache = calloc(CACHE, sizeof *device->cache),
    };
    int status =
        device->cache ? dtr_model_open(source, &device->model, error) : dtr_fail_memory(error);
    if (!status)
        status = dtr_kernels_open(experiment, plugins, index, log, &device->kernels, error);
    if (!status)
        status = open_transport(device, error);
    if (!status)
        status =
            dtr_executor_create(device->model, device->kernels, NULL, &device->executor, error);
    if (status) {
        dtr_device_close(device);
        return status;
    }
    *device_p = device;
    return DTR_OK;
}

static const struct dtr_transport_ops *transport_ops(const struct dtr_device *device) {
    return dtr_chain_top(device->transport)->plugin->ops;
}

static void *transport_self(const struct dtr_device *device) {
    return dtr_chain_top(device->transport)->self;
}

void dtr_device_close(struct dtr_device *device) {
    if (!device)
        return;
    for (uint32_t i = 0; i < device->cached; i++)
        dtr_program_free(device->cache[i]);
    free(device->cache);
    dtr_executor_free(device->executor);
    dtr_engine_free(device->engine);
    if (device->joined)
        transport_ops(device)->leave(transport_self(device));
    dtr_chain_close(device->transport);
    dtr_kernels_close(device->kernels);
    dtr_model_close(device->model);
    dtr_plan_free(device->plan);
    free(device);
}

/* --- the group -------------------------------------------------------------------------------- */

int dtr_device_address(struct dtr_device *device, const char *hint, char *text,
                       struct dtr_error *error) {
    text[0] = '\0';
    if (!device->transport)
        return DTR_OK;
    return transport_ops(device)->address(transport_self(device), hint, text, DTR_ADDRESS_MAX,
                                          error);
}

void dtr_device_transport(const struct dtr_device *device, char *text, size_t bytes) {
    struct dtr_chain chain = {.count = 0};
    size_t used = 0;
    text[0] = '\0';
    if (!device->transport ||
        dtr_experiment_chain(device->experiment, DTR_TRANSPORT, device->device, &chain, NULL))
        return;
    for (uint32_t i = 0; i < chain.count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s %s", i ? " over " : "",
                                 chain.plugin[i]->name, chain.plugin[i]->version);
}

int dtr_device_join(struct dtr_device *device, const struct dtr_group *group, uint64_t deadline_ns,
                    struct dtr_error *error) {
    if (!device->transport)
        return DTR_OK;
    atomic_store(&device->linked, true);
    /* What came before the line above did not reach the transport. */
    if (atomic_load(&device->aborted))
        return dtr_fail(error, DTR_E_ABORTED, "joining the group was aborted");
    const int status =
        transport_ops(device)->join(transport_self(device), group, deadline_ns, error);
    if (!status)
        device->joined = true;
    return status;
}

/* Until then the transport is free for measurements. */
static int start_engine(struct dtr_device *device, struct dtr_error *error) {
    if (!device->transport || device->engine)
        return DTR_OK;
    const int status =
        dtr_engine_create(dtr_chain_top(device->transport), device->log, &device->engine, error);
    dtr_executor_set_engine(device->executor, device->engine);
    return status;
}

void dtr_device_abort(struct dtr_device *device) {
    atomic_store(&device->aborted, true);
    if (atomic_load(&device->linked))
        transport_ops(device)->abort(transport_self(device));
}

/* --- weights and programs --------------------------------------------------------------------- */

static const enum dtr_head head_of_task[] = {
    [DTR_TASK_ENCODE] = DTR_HEAD_NONE,
    [DTR_TASK_CLASSIFY] = DTR_HEAD_CLASSIFY,
    [DTR_TASK_FILL_MASK] = DTR_HEAD_FILL_MASK,
    [DTR_TASK_ANSWER] = DTR_HEAD_ANSWER,
};

struct dtr_lowering dtr_experiment_lowering(const struct dtr_experiment *experiment,
                                            const struct dtr_model *model,
                                            const struct dtr_session_options *options) {
    return (struct dtr_lowering){
        .model = &model->shape,
        .hidden_input = experiment->input == DTR_INPUT_HIDDEN,
        .keep_layers = options->keep_layers,
        .pooled = model->has_pooler,
        .query_apart = dtr_task_selects(experiment->task) && !options->all_rows,
        .head = head_of_task[experiment->task],
        .labels = model->labels,
        .vocabulary = model->vocabulary,
        .wire = (uint8_t)experiment->wire,
    };
}

void dtr_lowering_take(struct dtr_lowering *lowering, const struct dtr_experiment *experiment,
                       const struct dtr_model *model, const struct dtr_request *request) {
    lowering->sequences = request->sequences;
    lowering->lengths = request->lengths;
    lowering->select = request->select;
    lowering->selected = request->selected;
    /* The first tokens are among the selected rows only where a classifier selected them. */
    lowering->pooled =
        model->has_pooler && (!request->select || experiment->task == DTR_TASK_CLASSIFY);
}

static struct dtr_lowering lowering_of(const struct dtr_device *device, uint32_t index,
                                       const struct dtr_request *request,
                                       const struct dtr_plan *plan) {
    struct dtr_lowering lowering =
        dtr_experiment_lowering(device->experiment, device->model, &device->options);
    dtr_lowering_take(&lowering, device->experiment, device->model, request);
    lowering.plan = plan;
    lowering.device = index;
    return lowering;
}

int dtr_device_schedule_of(const struct dtr_device *device, uint32_t other,
                           const struct dtr_request *request, struct dtr_schedule **schedule_p,
                           struct dtr_error *error) {
    const struct dtr_lowering lowering = lowering_of(device, other, request, device->plan);
    return dtr_lower(&lowering, schedule_p, error);
}

/* The weights of one open strategy, found by lowering the largest request under it. */
static int load_strategy(struct dtr_device *device, const struct dtr_plan *plan,
                         const struct dtr_request *largest, struct dtr_error *error) {
    const struct dtr_lowering lowering = lowering_of(device, device->device, largest, plan);
    struct dtr_schedule *schedule;
    struct dtr_program *program;
    int status = dtr_lower(&lowering, &schedule, error);
    if (status)
        return status;
    status = dtr_executor_load(device->executor, schedule, device->tokens_max, &program, error);
    if (status) {
        dtr_schedule_free(schedule);
        return status;
    }
    status = dtr_executor_reserve(device->executor, program, error);
    dtr_program_free(program);
    return status;
}

static int load_strategies(struct dtr_device *device, struct dtr_plan *plan,
                           const struct dtr_request *largest, struct dtr_error *error) {
    for (uint32_t i = 0; i < plan->strategies; i++) {
        if (!plan->open[i])
            continue;
        for (uint32_t g = 0; g < plan->groups; g++)
            plan->strategy[g] = i;
        const int status = load_strategy(device, plan, largest, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

int dtr_device_load(struct dtr_device *device, const struct dtr_plan *plan,
                    struct dtr_error *error) {
    const struct dtr_session_options *options = &device->options;
    int status = start_engine(device, error);
    if (status)
        return status;
    status = DTR_E_MEMORY;
    struct dtr_plan *copy = dtr_plan_copy(plan, error);
    struct dtr_plan *kept = dtr_plan_copy(plan, error);
    uint32_t *lengths = malloc(options->sequences_max * sizeof *lengths);
    if (!copy || !kept || !lengths) {
        dtr_fail_memory(error);
        goto out_free;
    }
    for (uint32_t i = 0; i < options->sequences_max; i++)
        lengths[i] = options->length_max;
    const struct dtr_request largest = {.sequences = options->sequences_max, .lengths = lengths};
    status = load_strategies(device, copy, &largest, error);
    if (status)
        goto out_free;
    dtr_plan_free(device->plan);
    device->plan = kept;
    kept = NULL;
out_free:
    free(lengths);
    dtr_plan_free(copy);
    dtr_plan_free(kept);
    return status;
}

static bool same_words(const uint32_t *a, const uint32_t *b, uint32_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

static bool fits(const struct dtr_device *device, const struct dtr_program *program,
                 const struct dtr_request *request, const uint32_t *strategy, uint32_t tiles) {
    const struct dtr_schedule *schedule = program->schedule;
    if (program->tiles != tiles || schedule->sequences != request->sequences ||
        !same_words(schedule->lengths, request->lengths, request->sequences) ||
        !same_words(program->strategy, strategy, device->plan->groups) ||
        (program->select != NULL) != (request->select != NULL))
        return false;
    return !request->select || (schedule->selected == request->selected &&
                                same_words(program->select, request->select, request->selected));
}

static struct dtr_program *find_program(struct dtr_device *device,
                                        const struct dtr_request *request, const uint32_t *strategy,
                                        uint32_t tiles) {
    for (uint32_t i = 0; i < device->cached; i++) {
        struct dtr_program *program = device->cache[i];
        if (!fits(device, program, request, strategy, tiles))
            continue;
        memmove(device->cache + 1, device->cache, i * sizeof *device->cache);
        device->cache[0] = program;
        return program;
    }
    return NULL;
}

static void keep_program(struct dtr_device *device, struct dtr_program *program) {
    if (device->cached == CACHE)
        dtr_program_free(device->cache[--device->cached]);
    memmove(device->cache + 1, device->cache, device->cached * sizeof *device->cache);
    device->cache[0] = program;
    device->cached++;
}

static int make_program(struct dtr_device *device, const struct dtr_request *request,
                        const uint32_t *strategy, uint32_t tiles, struct dtr_program **program_p,
                        struct dtr_error *error) {
    struct dtr_schedule *schedule = NULL;
    const uint32_t groups = device->plan->groups;
    memcpy(device->plan->strategy, strategy, groups * sizeof *strategy);
    device->plan->tiles = tiles;
    int status = dtr_device_schedule_of(device, device->device, request, &schedule, error);
    if (!status)
        status =
            dtr_executor_load(device->executor, schedule, device->tokens_max, program_p, error);
    if (status) {
        dtr_schedule_free(schedule);
        return status;
    }
    struct dtr_program *program = *program_p;
    program->tiles = tiles;
    program->strategy = malloc((groups + request->selected) * sizeof *program->strategy);
    if (!program->strategy) {
        dtr_program_free(program);
        return dtr_fail_memory(error);
    }
    memcpy(program->strategy, strategy, groups * sizeof *strategy);
    if (request->select) {
        program->select = program->strategy + groups;
        memcpy(program->select, request->select, request->selected * sizeof *request->select);
    }
    return DTR_OK;
}

int dtr_device_program(struct dtr_device *device, const struct dtr_request *request,
                       const uint32_t *strategy, uint32_t tiles, struct dtr_program **program_p,
                       struct dtr_error *error) {
    struct dtr_program *program = find_program(device, request, strategy, tiles);
    if (!program) {
        const int status = make_program(device, request, strategy, tiles, &program, error);
        if (status)
            return status;
        keep_program(device, program);
    }
    memcpy(device->plan->strategy, strategy, device->plan->groups * sizeof *strategy);
    device->plan->tiles = tiles;
    const int status = dtr_executor_reserve(device->executor, program, error);
    if (!status)
        *program_p = program;
    return status;
}

struct dtr_device_times dtr_program_times(const struct dtr_program *program) {
    struct dtr_device_times times = {0, 0};
    for (uint32_t i = 0; i < program->schedule->steps_count; i++) {
        const uint8_t kind = program->schedule->steps[i].kind;
        const uint64_t ns = program->end_ns[i] - program->begin_ns[i];
        *(kind == DTR_STEP_START || kind == DTR_STEP_WAIT ? &times.communicate_ns
                                                          : &times.compute_ns) += ns;
    }
    return times;
}

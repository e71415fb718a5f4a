/* SPDX-License-Identifier: MIT */
#include "run/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/strategy.h"
#include "run/pinning.h"

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
        .rank = index,
        .epoch = 1,
        .options = *options,
        .tokens_max = options->sequences_max * options->length_max,
        .cache = calloc(CACHE, sizeof *device->cache),
    };
    pthread_mutex_init(&device->lock, NULL);
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
    dtr_device_leave(device);
    dtr_pinning_place(device, DTR_PINNING_FREE);
    free(device->cores);
    free(device->cache);
    dtr_executor_free(device->executor);
    dtr_chain_close(device->transport);
    dtr_kernels_close(device->kernels);
    dtr_model_close(device->model);
    pthread_mutex_destroy(&device->lock);
    free(device->numbers);
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

static int take_numbers(struct dtr_device *device, const struct dtr_group *group,
                        const uint32_t *numbers, struct dtr_error *error) {
    uint32_t *copy = realloc(device->numbers, group->devices * sizeof *copy);
    if (!copy)
        return dtr_fail_memory(error);
    memcpy(copy, numbers, group->devices * sizeof *copy);
    device->numbers = copy;
    device->numbered = group->devices;
    device->rank = group->device;
    return DTR_OK;
}

/* From here on dtr_device_abort() reaches the transport; false when it came before. */
static bool begin_epoch(struct dtr_device *device, uint64_t epoch, bool linked) {
    pthread_mutex_lock(&device->lock);
    device->epoch = epoch;
    device->linked = linked;
    const bool aborted = device->aborted_epoch >= epoch;
    pthread_mutex_unlock(&device->lock);
    return !aborted;
}

static void unlink_transport(struct dtr_device *device) {
    pthread_mutex_lock(&device->lock);
    device->linked = false;
    pthread_mutex_unlock(&device->lock);
}

int dtr_device_join(struct dtr_device *device, const struct dtr_group *group,
                    const uint32_t *numbers, uint64_t deadline_ns, struct dtr_error *error) {
    const bool travels = device->transport && group->devices > 1;
    dtr_device_leave(device);
    int status = take_numbers(device, group, numbers, error);
    if (status)
        return status;
    if (!begin_epoch(device, group->epoch, travels))
        return dtr_fail(error, DTR_E_ABORTED, "joining the group was aborted");
    if (!travels)
        return DTR_OK;
    /* What a transport starts is not bound to a compute thread's core, and the cores that it finds
     * are the machine's. */
    dtr_pinning_place(device, DTR_PINNING_FREE);
    status = transport_ops(device)->join(transport_self(device), group, deadline_ns, error);
    dtr_pinning_place(device, DTR_PINNING_THREAD);
    device->joined = !status;
    /* An abort of a group that was not joined would be left over for the next. */
    if (status)
        unlink_transport(device);
    return status;
}

static void forget_programs(struct dtr_device *device) {
    for (uint32_t i = 0; i < device->cached; i++)
        dtr_program_free(device->cache[i]);
    device->cached = 0;
    dtr_plan_free(device->plan);
    device->plan = NULL;
}

void dtr_device_leave(struct dtr_device *device) {
    unlink_transport(device);
    forget_programs(device);
    if (device->executor)
        dtr_executor_set_engine(device->executor, NULL, NULL);
    dtr_engine_free(device->engine);
    device->engine = NULL;
    if (device->joined)
        transport_ops(device)->leave(transport_self(device));
    device->joined = false;
}

/* Until then the transport is free for measurements. */
static int start_engine(struct dtr_device *device, struct dtr_error *error) {
    if (!device->joined || device->engine)
        return DTR_OK;
    dtr_pinning_place(device, DTR_PINNING_DEVICE);
    const int status =
        dtr_engine_create(dtr_chain_top(device->transport), device->log, &device->engine, error);
    dtr_pinning_place(device, DTR_PINNING_THREAD);
    dtr_executor_set_engine(device->executor, device->engine, device->numbers);
    return status;
}

void dtr_device_abort(struct dtr_device *device, uint64_t epoch) {
    pthread_mutex_lock(&device->lock);
    if (device->aborted_epoch < epoch)
        device->aborted_epoch = epoch;
    if (device->linked && device->epoch <= epoch)
        transport_ops(device)->abort(transport_self(device));
    pthread_mutex_unlock(&device->lock);
}

bool dtr_device_aborted(struct dtr_device *device) {
    pthread_mutex_lock(&device->lock);
    const bool aborted = device->aborted_epoch >= device->epoch;
    pthread_mutex_unlock(&device->lock);
    return aborted;
}

int dtr_device_suspect(const struct dtr_device *device) {
    const int rank = device->engine ? dtr_engine_lost_peer(device->engine) : -1;
    return rank >= 0 && (uint32_t)rank < device->numbered ? (int)device->numbers[rank] : -1;
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

/* The schedules of the largest request under every open strategy, [strategies], NULL where one is
 * not open: what they need is what is loaded. */
static int lower_open(const struct dtr_device *device, struct dtr_plan *plan,
                      struct dtr_schedule **schedules, struct dtr_error *error) {
    const struct dtr_session_options *options = &device->options;
    uint32_t *lengths = malloc(options->sequences_max * sizeof *lengths);
    int status = lengths ? DTR_OK : dtr_fail_memory(error);
    for (uint32_t i = 0; i < options->sequences_max && !status; i++)
        lengths[i] = options->length_max;
    const struct dtr_request largest = {.sequences = options->sequences_max, .lengths = lengths};
    for (uint32_t i = 0; i < plan->strategies && !status; i++) {
        if (!plan->open[i])
            continue;
        for (uint32_t g = 0; g < plan->groups; g++)
            plan->strategy[g] = i;
        const struct dtr_lowering lowering = lowering_of(device, device->rank, &largest, plan);
        status = dtr_lower(&lowering, &schedules[i], error);
    }
    free(lengths);
    return status;
}

/* Lets go of prepared weights that none of the schedules needs. */
static void let_go(struct dtr_device *device, struct dtr_schedule *const *schedules,
                   uint32_t count) {
    dtr_kernels_unmark(device->kernels);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; schedules[i] && j < schedules[i]->weights_count; j++)
            dtr_kernels_mark(device->kernels, &schedules[i]->weights[j]);
    dtr_kernels_sweep(device->kernels);
}

/* The weights of a schedule, which is taken over, one by one: a device that is loading can be told
 * to stop. */
static int load_schedule(struct dtr_device *device, struct dtr_schedule **schedule_p,
                         struct dtr_error *error) {
    const struct dtr_schedule *schedule = *schedule_p;
    struct dtr_program *program;
    for (uint32_t i = 0; i < schedule->weights_count; i++) {
        if (dtr_device_aborted(device))
            return dtr_fail(error, DTR_E_ABORTED, "loading weights was aborted");
        const int status = dtr_kernels_prepare(device->kernels, device->model,
                                               &schedule->weights[i], device->tokens_max, error);
        if (status)
            return status;
    }
    int status =
        dtr_executor_load(device->executor, *schedule_p, device->tokens_max, &program, error);
    if (status)
        return status;
    *schedule_p = NULL;
    status = dtr_executor_reserve(device->executor, program, error);
    dtr_program_free(program);
    return status;
}

static int load_open(struct dtr_device *device, struct dtr_plan *plan,
                     struct dtr_schedule **schedules, struct dtr_error *error) {
    int status = lower_open(device, plan, schedules, error);
    if (!status)
        let_go(device, schedules, plan->strategies);
    for (uint32_t i = 0; i < plan->strategies && !status; i++)
        if (schedules[i])
            status = load_schedule(device, &schedules[i], error);
    return status;
}

int dtr_device_load(struct dtr_device *device, const struct dtr_plan *plan,
                    struct dtr_error *error) {
    int status = start_engine(device, error);
    if (status)
        return status;
    forget_programs(device);
    struct dtr_plan *copy = dtr_plan_copy(plan, error);
    struct dtr_plan *kept = dtr_plan_copy(plan, error);
    struct dtr_schedule **schedules = calloc(plan->strategies, sizeof *schedules);
    if (copy && kept && schedules)
        status = load_open(device, copy, schedules, error);
    else
        status = dtr_fail_memory(error);
    if (!status) {
        device->plan = kept;
        kept = NULL;
    }
    for (uint32_t i = 0; schedules && i < plan->strategies; i++)
        dtr_schedule_free(schedules[i]);
    free(schedules);
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
    int status = dtr_device_schedule_of(device, device->rank, request, &schedule, error);
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

static bool computes(const struct dtr_program *program, uint32_t step) {
    const uint8_t kind = program->schedule->steps[step].kind;
    return kind != DTR_STEP_START && kind != DTR_STEP_WAIT;
}

/* The part of [begin, end) in which steps computed.  Calls come in the order of time; *step_p is
 * the first step that may still matter. */
static uint64_t computed_ns(const struct dtr_program *program, uint64_t begin_ns, uint64_t end_ns,
                            uint32_t *step_p) {
    uint64_t sum_ns = 0;
    while (*step_p < program->schedule->steps_count && program->end_ns[*step_p] <= begin_ns)
        ++*step_p;
    for (uint32_t i = *step_p; i < program->schedule->steps_count; i++) {
        const uint64_t from = program->begin_ns[i] > begin_ns ? program->begin_ns[i] : begin_ns;
        const uint64_t to = program->end_ns[i] < end_ns ? program->end_ns[i] : end_ns;
        if (program->begin_ns[i] >= end_ns)
            break;
        if (computes(program, i) && to > from)
            sum_ns += to - from;
    }
    return sum_ns;
}

/* Collectives are listed in the order in which they begin; those that overlap count once. */
static void sum_flights(const struct dtr_program *program, struct dtr_device_times *times) {
    uint64_t until_ns = 0;
    uint32_t step = 0;
    for (uint32_t i = 0; i < program->schedule->collectives_count; i++) {
        const struct dtr_flight_times *flight = dtr_flights_times(program->flights, i);
        const uint64_t begin_ns = flight->begin_ns > until_ns ? flight->begin_ns : until_ns;
        if (!flight->begin_ns || flight->end_ns <= begin_ns)
            continue;
        times->under_way_ns += flight->end_ns - begin_ns;
        times->hidden_ns += computed_ns(program, begin_ns, flight->end_ns, &step);
        until_ns = flight->end_ns;
    }
}

struct dtr_device_times dtr_program_times(const struct dtr_program *program) {
    struct dtr_device_times times = {0};
    sum_flights(program, &times);
    for (uint32_t i = 0; i < program->schedule->steps_count; i++) {
        const uint64_t ns = program->end_ns[i] - program->begin_ns[i];
        *(computes(program, i) ? &times.compute_ns : &times.communicate_ns) += ns;
    }
    return times;
}

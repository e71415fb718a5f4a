/* SPDX-License-Identifier: MIT */
#include "run/executor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/supply.h"

/* While a device computes it looks this often for what others send it ahead of time. */
static const uint64_t look_ns = UINT64_C(2000000);

struct dtr_executor {
    const struct dtr_model *model;
    struct dtr_kernels *kernels;
    struct dtr_engine *engine;
    const uint32_t *numbers; /* what the devices of its group are called */
    float *arena;
    uint64_t arena_floats;
    float *embedding_gamma, *embedding_beta; /* [hidden] */
    float *type_rows;                        /* [types, hidden] */
    float *position_row;                     /* [hidden], scratch */
    atomic_uint_least64_t computing_ns;
};

/* --- creation --------------------------------------------------------------------------------- */

static const struct dtr_tensor_id word_rows = {DTR_TENSOR_WORD_EMBEDDINGS, 0, -1};
static const struct dtr_tensor_id position_rows = {DTR_TENSOR_POSITION_EMBEDDINGS, 0, -1};
static const struct dtr_tensor_id type_rows = {DTR_TENSOR_TYPE_EMBEDDINGS, 0, -1};

static bool embeds(const struct dtr_schedule *schedule) {
    for (uint32_t i = 0; i < schedule->steps_count; i++)
        if (schedule->steps[i].kind == DTR_STEP_EMBED)
            return true;
    return false;
}

/* What every token needs is read once; rows of words and positions as they come. */
static int prepare_embeddings(struct dtr_executor *executor, struct dtr_error *error) {
    const struct dtr_model *model = executor->model;
    const uint32_t hidden = model->shape.hidden;
    int status = dtr_model_keep(model, word_rows, error);
    if (!status)
        status = dtr_model_keep(model, position_rows, error);
    if (status)
        return status;
    executor->embedding_gamma = malloc(((size_t)model->types + 3) * hidden * sizeof(float));
    if (!executor->embedding_gamma)
        return dtr_fail_memory(error);
    executor->embedding_beta = executor->embedding_gamma + hidden;
    executor->position_row = executor->embedding_beta + hidden;
    executor->type_rows = executor->position_row + hidden;
    dtr_model_read(model, (struct dtr_tensor_id){DTR_TENSOR_EMBEDDINGS_NORM_WEIGHT, 0, -1}, 0, 1, 0,
                   hidden, executor->embedding_gamma, hidden);
    dtr_model_read(model, (struct dtr_tensor_id){DTR_TENSOR_EMBEDDINGS_NORM_BIAS, 0, -1}, 0, 1, 0,
                   hidden, executor->embedding_beta, hidden);
    dtr_model_read(model, type_rows, 0, model->types, 0, hidden, executor->type_rows, hidden);
    return DTR_OK;
}

int dtr_executor_create(const struct dtr_model *model, struct dtr_kernels *kernels,
                        struct dtr_engine *engine, struct dtr_executor **executor_p,
                        struct dtr_error *error) {
    struct dtr_executor *executor = calloc(1, sizeof *executor);
    if (!executor)
        return dtr_fail_memory(error);
    executor->model = model;
    executor->kernels = kernels;
    executor->engine = engine;
    *executor_p = executor;
    return DTR_OK;
}

void dtr_executor_free(struct dtr_executor *executor) {
    if (!executor)
        return;
    free(executor->arena);
    free(executor->embedding_gamma);
    free(executor);
}

void dtr_executor_set_engine(struct dtr_executor *executor, struct dtr_engine *engine,
                             const uint32_t *numbers) {
    executor->engine = engine;
    executor->numbers = numbers;
}

uint64_t dtr_executor_computing_ns(const struct dtr_executor *executor) {
    return atomic_load_explicit(&executor->computing_ns, memory_order_relaxed);
}

uint64_t dtr_executor_bytes(const struct dtr_executor *executor) {
    return executor->arena_floats * sizeof(float);
}

int dtr_executor_load(struct dtr_executor *executor, struct dtr_schedule *schedule,
                      uint32_t rows_max, struct dtr_program **program_p, struct dtr_error *error) {
    struct dtr_program *program = calloc(1, sizeof *program);
    if (!program)
        return dtr_fail_memory(error);
    const size_t steps = (size_t)schedule->steps_count + 1;
    program->weights = calloc((size_t)schedule->weights_count + 1, sizeof *program->weights);
    program->begin_ns = calloc(2 * steps, sizeof *program->begin_ns);
    int status = DTR_E_MEMORY;
    if (!program->weights || !program->begin_ns) {
        dtr_fail_memory(error);
        goto out_free;
    }
    program->end_ns = program->begin_ns + steps;
    if (embeds(schedule) && !executor->embedding_gamma) {
        status = prepare_embeddings(executor, error);
        if (status)
            goto out_free;
    }
    for (uint32_t i = 0; i < schedule->weights_count; i++) {
        const struct dtr_weight_key *key = &schedule->weights[i];
        status = dtr_kernels_prepare(executor->kernels, executor->model, key, rows_max, error);
        if (status)
            goto out_free;
        program->weights[i] = dtr_kernels_weight(executor->kernels, key);
    }
    status = dtr_model_supplied(executor->model, error);
    if (!status)
        status = dtr_flights_create(schedule, &program->flights, error);
    if (status)
        goto out_free;
    program->digest = dtr_schedule_digest(schedule);
    program->schedule = schedule;
    *program_p = program;
    return DTR_OK;
out_free:
    dtr_program_free(program);
    return status;
}

void dtr_program_free(struct dtr_program *program) {
    if (!program)
        return;
    dtr_schedule_free(program->schedule);
    dtr_flights_free(program->flights);
    free(program->weights);
    free(program->begin_ns);
    free(program->strategy);
    if (program->companions)
        program->free_companions(program->companions);
    free(program);
}

int dtr_executor_reserve(struct dtr_executor *executor, const struct dtr_program *program,
                         struct dtr_error *error) {
    const uint64_t floats = program->schedule->arena_floats;
    if (floats <= executor->arena_floats)
        return DTR_OK;
    /* Never both at once. */
    free(executor->arena);
    executor->arena_floats = 0;
    executor->arena = aligned_alloc(64, (size_t)(floats * sizeof *executor->arena + 63) / 64 * 64);
    if (!executor->arena)
        return dtr_fail_memory(error);
    /* Touched now, not in the first request. */
    memset(executor->arena, 0, (size_t)floats * sizeof *executor->arena);
    executor->arena_floats = floats;
    return DTR_OK;
}

float *dtr_executor_data(const struct dtr_executor *executor, const struct dtr_program *program,
                         const struct dtr_view *view) {
    const struct dtr_buffer *buffer = &program->schedule->buffers[view->buffer];
    return executor->arena + buffer->offset +
           (size_t)(view->rows.begin - buffer->row) * buffer->columns + view->columns.begin;
}

/* --- steps ------------------------------------------------------------------------------------ */

struct run {
    struct dtr_executor *executor;
    struct dtr_program *program;
    const struct dtr_tokens_input *tokens;
};

static float *data(const struct run *run, const struct dtr_view *view) {
    return dtr_executor_data(run->executor, run->program, view);
}

static size_t stride(const struct run *run, const struct dtr_view *view) {
    return run->program->schedule->buffers[view->buffer].columns;
}

static const struct dtr_weight *weight_of(const struct run *run, const struct dtr_step *step) {
    return run->program->weights[step->weight];
}

/* The word's row, its position's and its type's. */
static void embed_token(const struct run *run, uint32_t token, uint32_t position, float *out) {
    const struct dtr_executor *executor = run->executor;
    const struct dtr_model *model = executor->model;
    const uint32_t hidden = model->shape.hidden, type = run->tokens->types[token];
    const float *of_type = executor->type_rows + (size_t)type * hidden;
    float *of_position = executor->position_row;
    dtr_model_read(model, word_rows, run->tokens->ids[token], 1, 0, hidden, out, hidden);
    dtr_model_read(model, position_rows, position, 1, 0, hidden, of_position, hidden);
    for (uint32_t i = 0; i < hidden; i++)
        out[i] += of_position[i] + of_type[i];
}

static int run_embed(const struct run *run, const struct dtr_step *step) {
    const struct dtr_executor *executor = run->executor;
    const struct dtr_schedule *schedule = run->program->schedule;
    const struct dtr_range rows = step->out.rows;
    const size_t out_stride = stride(run, &step->out);
    float *out = data(run, &step->out);
    uint32_t first = 0;
    for (uint32_t i = 0; i < schedule->sequences; i++) {
        const struct dtr_range sequence = {first, first + schedule->lengths[i]};
        const struct dtr_range part = dtr_range_intersect(rows, sequence);
        for (uint32_t token = part.begin; token < part.end; token++)
            embed_token(run, token, token - first, out + (token - rows.begin) * out_stride);
        first = sequence.end;
    }
    const struct dtr_norm norm = {
        .size = sizeof norm,
        .rows = dtr_range_count(rows),
        .columns = dtr_range_count(step->out.columns),
        .x = out,
        .x_stride = out_stride,
        .y = out,
        .y_stride = out_stride,
        .gamma = executor->embedding_gamma,
        .beta = executor->embedding_beta,
        .epsilon = executor->model->norm_epsilon,
    };
    return dtr_kernels_add_norm(executor->kernels, &norm);
}

static int run_linear(const struct run *run, const struct dtr_step *step) {
    return dtr_kernels_linear(
        run->executor->kernels, weight_of(run, step), dtr_range_count(step->in[0].rows),
        data(run, &step->in[0]), stride(run, &step->in[0]), data(run, &step->out),
        stride(run, &step->out), step->flags & DTR_STEP_ACCUMULATE ? DTR_LINEAR_ACCUMULATE : 0);
}

static int run_attention(const struct run *run, const struct dtr_step *step) {
    const uint32_t head_size = dtr_range_count(step->out.columns) / step->heads;
    const struct dtr_attention attention = {
        .size = sizeof attention,
        .heads = step->heads,
        .head_size = head_size,
        .scale = 1.0f / sqrtf((float)head_size),
        .q = data(run, &step->in[0]),
        .k = data(run, &step->in[1]),
        .v = data(run, &step->in[2]),
        .context = data(run, &step->out),
        .q_stride = stride(run, &step->in[0]),
        .k_stride = stride(run, &step->in[1]),
        .v_stride = stride(run, &step->in[2]),
        .context_stride = stride(run, &step->out),
        .spans_count = step->listed,
        .spans = run->program->schedule->spans + step->list,
    };
    return dtr_kernels_attention(run->executor->kernels, &attention);
}

static struct dtr_norm norm_of(const struct run *run, const struct dtr_step *step) {
    const struct dtr_view *residual = &step->in[1];
    return (struct dtr_norm){
        .size = sizeof(struct dtr_norm),
        .rows = dtr_range_count(step->out.rows),
        .columns = dtr_range_count(step->out.columns),
        .x = data(run, &step->in[0]),
        .x_stride = stride(run, &step->in[0]),
        .residual = residual->buffer >= 0 ? data(run, residual) : NULL,
        .residual_stride = residual->buffer >= 0 ? stride(run, residual) : 0,
        .y = data(run, &step->out),
        .y_stride = stride(run, &step->out),
        .gamma = step->weight >= 0 ? weight_of(run, step)->gamma : NULL,
        .beta = step->weight >= 0 ? weight_of(run, step)->beta : NULL,
        .epsilon = run->executor->model->norm_epsilon,
    };
}

static int run_moments(const struct run *run, const struct dtr_step *step) {
    struct dtr_norm norm = norm_of(run, step);
    norm.moments = data(run, &step->in[2]);
    return dtr_kernels_moments(run->executor->kernels, &norm);
}

/* Chan, Golub and LeVeque 1979, for parts of equal size. */
static int run_merge(const struct run *run, const struct dtr_step *step) {
    const uint32_t parts = dtr_range_count(step->in[0].columns) / 2;
    const float *in = data(run, &step->in[0]);
    float *out = data(run, &step->out);
    const double each = run->executor->model->shape.hidden / (double)parts;
    for (uint32_t row = 0; row < dtr_range_count(step->out.rows); row++) {
        double mean = 0, m2 = 0;
        for (uint32_t i = 0; i < parts; i++)
            mean += (double)in[2 * i] / parts;
        for (uint32_t i = 0; i < parts; i++)
            m2 += (double)in[2 * i + 1] + each * (in[2 * i] - mean) * (in[2 * i] - mean);
        out[0] = (float)mean;
        out[1] = (float)m2;
        in += stride(run, &step->in[0]);
        out += stride(run, &step->out);
    }
    return DTR_OK;
}

static int run_normalise(const struct run *run, const struct dtr_step *step) {
    struct dtr_norm norm = norm_of(run, step);
    norm.residual = NULL;
    norm.residual_stride = 0;
    norm.moments = data(run, &step->in[1]);
    norm.count = run->executor->model->shape.hidden;
    return dtr_kernels_normalise(run->executor->kernels, &norm);
}

static int run_copy(const struct run *run, const struct dtr_step *step) {
    const struct dtr_schedule *schedule = run->program->schedule;
    const size_t bytes = dtr_range_count(step->out.columns) * sizeof(float);
    const bool select = step->flags & DTR_STEP_SELECT;
    const float *in = data(run, &step->in[0]);
    float *out = data(run, &step->out);
    for (uint32_t row = 0; row < dtr_range_count(step->out.rows); row++) {
        const uint32_t from =
            select ? schedule->rows[step->list + row] - step->in[0].rows.begin : row;
        memcpy(out + row * stride(run, &step->out), in + from * stride(run, &step->in[0]), bytes);
    }
    return DTR_OK;
}

/* Nothing is computed between a START and its WAIT. */
static bool awaited_at_once(const struct dtr_schedule *schedule, const struct dtr_step *start) {
    const struct dtr_step *end = schedule->steps + schedule->steps_count;
    return start + 1 < end && start[1].kind == DTR_STEP_WAIT &&
           start[1].collective == start->collective;
}

static int run_step(const struct run *run, const struct dtr_step *step) {
    struct dtr_executor *executor = run->executor;
    struct dtr_flights *flights = run->program->flights;
    struct dtr_norm norm;
    switch ((enum dtr_step_kind)step->kind) {
    case DTR_STEP_EMBED:
        return run_embed(run, step);
    case DTR_STEP_LINEAR:
        return run_linear(run, step);
    case DTR_STEP_ATTENTION:
        return run_attention(run, step);
    case DTR_STEP_ADD_NORM:
        norm = norm_of(run, step);
        return dtr_kernels_add_norm(executor->kernels, &norm);
    case DTR_STEP_MOMENTS:
        return run_moments(run, step);
    case DTR_STEP_MERGE:
        return run_merge(run, step);
    case DTR_STEP_NORMALISE:
        return run_normalise(run, step);
    case DTR_STEP_COPY:
        return run_copy(run, step);
    case DTR_STEP_START:
        return dtr_engine_start(executor->engine, flights, (uint32_t)step->collective,
                                awaited_at_once(run->program->schedule, step));
    case DTR_STEP_WAIT:
        return dtr_engine_wait(executor->engine, flights, (uint32_t)step->collective);
    default:
        return DTR_E_PLUGIN;
    }
}

static int failed(const struct run *run, const struct dtr_step *step, int status,
                  struct dtr_error *error) {
    struct dtr_executor *executor = run->executor;
    if (step->kind != DTR_STEP_START && step->kind != DTR_STEP_WAIT)
        return dtr_fail(error, status, "the %s of layer %u failed in kernel plugin '%s'",
                        dtr_step_kind_name(step->kind), step->layer,
                        dtr_kernels_name(executor->kernels));
    const char *what =
        dtr_collective_kind_name(run->program->schedule->collectives[step->collective].kind);
    const int peer = dtr_engine_lost_peer(executor->engine);
    if (status == DTR_E_PEER && peer >= 0 && (uint32_t)peer < run->program->schedule->devices)
        return dtr_fail(error, status, "device %u was lost during the %s of layer %u",
                        executor->numbers[peer], what, step->layer);
    return dtr_fail(error, status, "the %s of layer %u %s", what, step->layer,
                    status == DTR_E_ABORTED   ? "was aborted"
                    : status == DTR_E_CORRUPT ? "brought a message of the wrong length"
                                              : "failed");
}

int dtr_executor_run(struct dtr_executor *executor, struct dtr_program *program,
                     const struct dtr_tokens_input *tokens, struct dtr_error *error) {
    const struct dtr_schedule *schedule = program->schedule;
    const struct run run = {executor, program, tokens};
    dtr_flights_begin(program->flights, executor->arena);
    uint64_t at = dtr_now_ns(), looked_ns = at;
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *step = &schedule->steps[i];
        const bool computes = step->kind != DTR_STEP_START && step->kind != DTR_STEP_WAIT;
        atomic_store_explicit(&executor->computing_ns, computes ? at : 0, memory_order_relaxed);
        if (computes && executor->engine && at - looked_ns >= look_ns) {
            dtr_engine_look(executor->engine);
            looked_ns = at;
        }
        const int status = run_step(&run, step);
        program->begin_ns[i] = at;
        program->end_ns[i] = at = dtr_now_ns();
        if (status) {
            atomic_store_explicit(&executor->computing_ns, 0, memory_order_relaxed);
            failed(&run, step, status, error);
            if (executor->engine)
                dtr_engine_cancel(executor->engine, program->flights);
            return status;
        }
    }
    atomic_store_explicit(&executor->computing_ns, 0, memory_order_relaxed);
    return DTR_OK;
}

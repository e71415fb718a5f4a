/* SPDX-License-Identifier: MIT */
#include "plan/lower.h"

#include <stdlib.h>

#include "plan/builder_memory.h"
#include "plan/strategy.h"

static bool holds_any(const struct dtr_builder *b) {
    for (uint32_t d = 0; d < b->model->divisions; d++)
        if (dtr_plan_holds(b->plan, d, b->device))
            return true;
    return false;
}

/* The rows of tokens that this device must embed itself. */
static struct dtr_range embedded_rows(struct dtr_builder *b, enum dtr_layout layout) {
    const struct dtr_range all = {0, b->rows}, none = {0, 0};
    switch (layout) {
    case DTR_LAYOUT_ROOT:
        return b->device == 0 ? all : none;
    case DTR_LAYOUT_WHOLE:
        return dtr_takes(b, b->device) ? all : none;
    case DTR_LAYOUT_SLICES:
        return holds_any(b) ? all : none;
    default:
        return dtr_part_rows(b, b->device);
    }
}

/* Hidden states given on device 0 travel; tokens are embedded by whoever needs them. */
static void emit_input(struct dtr_builder *b) {
    if (b->lowering->hidden_input) {
        const struct dtr_spread root = dtr_hidden(b, DTR_LAYOUT_ROOT);
        if (b->device == 0)
            b->schedule->input = dtr_spread_view(b, &root, 0);
        dtr_builder_result(b, &root, 0, 1);
        return;
    }
    const enum dtr_layout layout = b->next.layout;
    const struct dtr_spread embedded =
        dtr_hidden(b, layout == DTR_LAYOUT_SLICES ? DTR_LAYOUT_WHOLE : layout);
    const struct dtr_range rows = embedded_rows(b, layout);
    if (!dtr_range_empty(rows))
        dtr_emit_embed(b, dtr_view_rows(dtr_spread_view(b, &embedded, 0), rows));
    dtr_builder_result(b, &embedded, 0, 1);
}

static struct dtr_weight_key head_key(const struct dtr_builder *b, enum dtr_weight_kind kind,
                                      uint32_t count) {
    return (struct dtr_weight_key){
        .kind = (uint8_t)kind,
        .layer = (uint16_t)b->model->layers,
        .division = -1,
        .part = {0, count},
    };
}

static struct dtr_view first_tokens(struct dtr_builder *b, struct dtr_view hidden) {
    const struct dtr_lowering *lowering = b->lowering;
    if (lowering->select)
        return hidden;
    const struct dtr_view first =
        dtr_buffer_view(b, "first", (struct dtr_range){0, lowering->sequences}, b->model->hidden);
    uint32_t *rows = malloc(lowering->sequences * sizeof *rows), token = 0;
    if (!rows) {
        b->status = DTR_E_MEMORY;
        return first;
    }
    for (uint32_t i = 0; i < lowering->sequences; i++) {
        rows[i] = token;
        token += lowering->lengths[i];
    }
    dtr_emit_select(b, hidden, rows, lowering->sequences, first);
    free(rows);
    return first;
}

static struct dtr_view head_linear(struct dtr_builder *b, enum dtr_weight_kind kind,
                                   struct dtr_view in, const char *name, uint32_t columns) {
    const struct dtr_view out = dtr_buffer_view(b, name, in.rows, columns);
    dtr_emit_linear(b, head_key(b, kind, columns), in, out, false);
    return out;
}

static void emit_heads(struct dtr_builder *b) {
    const struct dtr_lowering *lowering = b->lowering;
    struct dtr_schedule *schedule = b->schedule;
    const uint32_t hidden_size = b->model->hidden;
    b->layer = (uint16_t)b->model->layers;
    dtr_builder_await_all(b);
    if (b->device != 0)
        return;
    const struct dtr_spread root = dtr_hidden(b, DTR_LAYOUT_ROOT);
    const struct dtr_view hidden = schedule->hidden = dtr_spread_view(b, &root, 0);
    if (lowering->pooled)
        schedule->pooled =
            head_linear(b, DTR_WEIGHT_POOLER, first_tokens(b, hidden), "pooled", hidden_size);
    if (lowering->head == DTR_HEAD_CLASSIFY)
        schedule->logits =
            head_linear(b, DTR_WEIGHT_CLASSIFIER, schedule->pooled, "logits", lowering->labels);
    if (lowering->head == DTR_HEAD_ANSWER)
        schedule->logits = head_linear(b, DTR_WEIGHT_ANSWER, hidden, "logits", 2);
    if (lowering->head == DTR_HEAD_FILL_MASK) {
        const struct dtr_view dense =
            head_linear(b, DTR_WEIGHT_PREDICTION_DENSE, hidden, "prediction", hidden_size);
        dtr_emit_add_norm(b, head_key(b, DTR_WEIGHT_PREDICTION_NORM, hidden_size), dense,
                          DTR_NO_VIEW, dense);
        schedule->logits =
            head_linear(b, DTR_WEIGHT_PREDICTION_DECODER, dense, "logits", lowering->vocabulary);
    }
}

static const struct dtr_strategy *strategy_of(const struct dtr_plan *plan, uint32_t group) {
    return dtr_strategy_at(plan->strategy[group]);
}

/* The group after those that are lowered together with this one. */
static uint32_t run_end(const struct dtr_plan *plan, uint32_t group) {
    uint32_t end = group + 1;
    while (strategy_of(plan, group)->runs && end < plan->groups &&
           plan->strategy[end] == plan->strategy[group])
        end++;
    return end;
}

static int check(const struct dtr_lowering *lowering, struct dtr_error *error) {
    const struct dtr_plan *plan = lowering->plan;
    for (uint32_t g = 0; g < plan->groups; g++)
        if (strategy_of(plan, g)->decoupled && !lowering->model->divisions)
            return dtr_fail(error, DTR_E_CONFIG, "strategy '%s': the model is not decoupled",
                            strategy_of(plan, g)->name);
    return DTR_OK;
}

static int lower_device(struct dtr_builder *b, uint32_t device, struct dtr_schedule **schedule_p,
                        struct dtr_error *error) {
    const struct dtr_plan *plan = b->plan;
    const int status = dtr_builder_begin(b, device, error);
    if (status)
        return status;
    b->next = dtr_hidden(b, strategy_of(plan, 0)->needs);
    emit_input(b);
    for (uint32_t g = 0; g < plan->groups; g = b->run_end) {
        b->run_end = run_end(plan, g);
        const bool last = b->run_end == plan->groups;
        b->next = dtr_hidden(b, last ? DTR_LAYOUT_ROOT : strategy_of(plan, b->run_end)->needs);
        strategy_of(plan, g)->lower(b, g);
    }
    emit_heads(b);
    return dtr_builder_finish(b, schedule_p, error);
}

static int lower_devices(const struct dtr_lowering *lowering, uint32_t first, uint32_t count,
                         struct dtr_schedule **schedules, struct dtr_error *error) {
    struct dtr_builder *b;
    int status = check(lowering, error);
    if (!status)
        status = dtr_builder_create(lowering, &b, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < count && !status; i++)
        status = lower_device(b, first + i, &schedules[i], error);
    dtr_builder_free(b);
    return status;
}

int dtr_lower(const struct dtr_lowering *lowering, struct dtr_schedule **schedule_p,
              struct dtr_error *error) {
    return lower_devices(lowering, lowering->device, 1, schedule_p, error);
}

int dtr_lower_all(const struct dtr_lowering *lowering, struct dtr_schedule **schedules,
                  struct dtr_error *error) {
    return lower_devices(lowering, 0, lowering->plan->devices, schedules, error);
}

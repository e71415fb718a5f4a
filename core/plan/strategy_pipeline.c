/* SPDX-License-Identifier: MIT
 *
 * strategy_pipeline.c -- pipeline parallelism (Huang et al., "GPipe", 2019, without the backward
 * pass): each device runs consecutive layers, as many as its share, and hands the hidden state on.
 * The sequences of a request follow each other, so that the stages work at the same time; a request
 * of one sequence gains memory, not time.
 */
#include "plan/strategy.h"

/* Sequences of fewer tokens than this in all go together: kernels would only read weights. */
enum { MICRO_BATCH_ROWS = 16 };

/* Consecutive layers on one device, between where the hidden state comes from and where it goes. */
struct stage {
    uint32_t device, from, to;
    struct dtr_range layers;
    uint32_t in_tag, out_tag; /* of the first micro-batch */
};

/* The next sequences that go together, from *sequence on; false after the last. */
static bool next_micro_batch(const struct dtr_builder *b, uint32_t *sequence,
                             struct dtr_range *rows) {
    const struct dtr_lowering *lowering = b->lowering;
    const uint32_t least = lowering->keep_layers ? b->tokens : MICRO_BATCH_ROWS;
    uint32_t left = b->tokens - rows->end;
    rows->begin = rows->end;
    while (*sequence < lowering->sequences && dtr_range_count(*rows) < least)
        rows->end += lowering->lengths[(*sequence)++];
    left -= dtr_range_count(*rows);
    /* What is left over alone would be too little. */
    while (*sequence < lowering->sequences && left < least) {
        left -= lowering->lengths[*sequence];
        rows->end += lowering->lengths[(*sequence)++];
    }
    return !dtr_range_empty(*rows);
}

static uint32_t count_micro_batches(const struct dtr_builder *b) {
    struct dtr_range rows = {0, 0};
    uint32_t count = 0;
    for (uint32_t sequence = 0; next_micro_batch(b, &sequence, &rows);)
        count++;
    return count;
}

static uint32_t take_tags(struct dtr_builder *b, uint32_t count) {
    const uint32_t first = b->next_tag;
    b->next_tag += count;
    return first;
}

static struct dtr_view hidden_rows(struct dtr_builder *b, struct dtr_range rows) {
    const struct dtr_spread root = dtr_hidden(b, DTR_LAYOUT_ROOT);
    return dtr_view_rows(dtr_spread_view(b, &root, 0), rows);
}

static bool selects(const struct dtr_builder *b, uint32_t layer) {
    return b->lowering->select && layer + 1 == b->model->layers;
}

/* Waits for every micro-batch of a kind of transfer, of which `first` was the first. */
static void wait_all(struct dtr_builder *b, int32_t first, uint32_t count) {
    for (uint32_t i = 0; first >= 0 && i < count; i++)
        dtr_emit_wait(b, first + (int32_t)i);
}

/* The stage on its own device.  Receives are posted before anything is computed. */
static void run_stage(struct dtr_builder *b, const struct stage *stage) {
    struct dtr_range rows = {0, 0};
    int32_t arrives = -1, leaves = -1;
    uint32_t count = 0;
    for (uint32_t sequence = 0; next_micro_batch(b, &sequence, &rows); count++) {
        const int32_t begun = dtr_emit_transfer(b, stage->in_tag + count, hidden_rows(b, rows),
                                                stage->from, stage->device);
        arrives = arrives < 0 ? begun : arrives;
    }
    rows = (struct dtr_range){0, 0};
    count = 0;
    for (uint32_t sequence = 0; next_micro_batch(b, &sequence, &rows); count++) {
        if (arrives >= 0)
            dtr_emit_wait(b, arrives + (int32_t)count);
        for (uint32_t layer = stage->layers.begin; layer < stage->layers.end; layer++)
            if (!selects(b, layer))
                dtr_lower_alone(b, layer, hidden_rows(b, rows));
        const int32_t begun = dtr_emit_transfer(b, stage->out_tag + count, hidden_rows(b, rows),
                                                stage->device, stage->to);
        leaves = leaves < 0 ? begun : leaves;
    }
    wait_all(b, leaves, count);
    /* The rows that a layer selects come from all sequences. */
    if (!dtr_range_empty(stage->layers) && selects(b, stage->layers.end - 1))
        dtr_lower_alone(b, stage->layers.end - 1, hidden_rows(b, (struct dtr_range){0, b->tokens}));
}

/* The device that runs the layer, and the layers of the run that it has besides. */
static struct stage stage_of(struct dtr_builder *b, uint32_t layer, uint32_t run_end) {
    struct stage stage = {.layers = {layer, run_end}};
    for (uint32_t i = 0; i < b->devices; i++) {
        const struct dtr_range part = dtr_part(b, &b->taking, b->model->layers, 1, i);
        if (layer < part.begin || layer >= part.end)
            continue;
        stage.device = i;
        stage.layers.end = part.end < run_end ? part.end : run_end;
        if (b->lowering->keep_layers)
            stage.layers.end = layer + 1;
    }
    return stage;
}

static void lower_stage(struct dtr_builder *b, const struct stage *stage) {
    if (b->device == stage->device)
        run_stage(b, stage);
}

void dtr_lower_pipeline(struct dtr_builder *b, uint32_t group) {
    const uint32_t first = group * b->model->group_layers,
                   end = b->run_end * b->model->group_layers;
    const uint32_t count = count_micro_batches(b);
    /* Each micro-batch goes home as soon as it is done, where all of it is wanted there. */
    const bool home = b->next.layout == DTR_LAYOUT_ROOT && !selects(b, end - 1);
    struct dtr_spread result = dtr_hidden(b, DTR_LAYOUT_ROOT);
    struct stage stage = {.to = stage_of(b, first, end).device, .out_tag = take_tags(b, count)};
    dtr_builder_await_all(b);
    b->layer = (uint16_t)first;
    lower_stage(b, &stage);
    for (uint32_t layer = first; layer < end; layer = stage.layers.end) {
        const struct stage before = stage;
        stage = stage_of(b, layer, end);
        stage.from = before.device;
        stage.in_tag = before.out_tag;
        stage.out_tag = take_tags(b, count);
        stage.to = stage.layers.end < end ? stage_of(b, stage.layers.end, end).device
                   : home                 ? 0
                                          : stage.device;
        b->layer = (uint16_t)layer;
        lower_stage(b, &stage);
        if (selects(b, stage.layers.end - 1))
            b->rows = b->lowering->selected;
        result.root = stage.device;
        dtr_builder_layer_done(b, layer, &result);
    }
    if (home) {
        stage = (struct stage){.from = stage.device, .in_tag = stage.out_tag};
        lower_stage(b, &stage);
        result.root = 0;
    }
    dtr_builder_result(b, &result, 0, 1);
}

/* SPDX-License-Identifier: MIT
 *
 * strategy_tensor.c -- tensor parallelism (Shoeybi et al., "Megatron-LM", 2019): two all-reduces
 * of the hidden state a layer, also where a layer is decoupled; and hybrid model parallelism (Ye et
 * al., "Galaxy", INFOCOM 2024), which splits each in two and does what lies between by tokens.
 */
#include <stdlib.h>

#include "plan/strategy.h"
#include "plan/tensor.h"

/* The blocks of a layer, on the whole hidden state, over all devices. */
static struct dtr_tensor layer_tensor(struct dtr_builder *b, uint32_t layer,
                                      struct dtr_block *blocks) {
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const bool original = (layer + 1) % b->model->group_layers == 0;
    const uint32_t count = original ? 1 : b->model->divisions;
    for (uint32_t i = 0; i < count; i++)
        blocks[i] = original ? dtr_original_block(b, layer) : dtr_sub_block(b, layer, i);
    return (struct dtr_tensor){
        .team = &b->taking,
        .blocks = blocks,
        .count = count,
        .x = dtr_takes(b, b->device) ? dtr_spread_view(b, &whole, 0) : DTR_NO_VIEW,
    };
}

static void tensor_layer(struct dtr_builder *b, uint32_t layer, struct dtr_block *blocks) {
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const struct dtr_tensor tensor = layer_tensor(b, layer, blocks);
    dtr_tensor_layer(b, &tensor);
    dtr_builder_layer_done(b, layer, &whole);
}

/* Sums by tokens of what each has computed of all of them. */
static void sum_rows(struct dtr_builder *b, const struct dtr_range *part, struct dtr_view partial) {
    const struct dtr_spread sums = {
        .layout = DTR_LAYOUT_ROWS, .columns = b->model->hidden, .name = "partial"};
    dtr_emit_wait(b, dtr_emit_reduce_scatter(b, part, partial, &sums));
}

static struct dtr_view rows_of(struct dtr_view view, struct dtr_range rows) {
    return view.buffer < 0 ? view : dtr_view_rows(view, rows);
}

static void hybrid_layer(struct dtr_builder *b, uint32_t layer, struct dtr_block *blocks) {
    const struct dtr_spread rows = dtr_hidden(b, DTR_LAYOUT_ROWS);
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const struct dtr_spread middle_rows = {
        .layout = DTR_LAYOUT_ROWS, .columns = rows.columns, .name = "middle"};
    const struct dtr_spread middle_whole = {
        .layout = DTR_LAYOUT_WHOLE, .columns = rows.columns, .name = "middle"};
    dtr_emit_wait(b, dtr_emit_exchange(b, DTR_ALL_GATHER, &rows, &whole, 0, 1));
    const struct dtr_tensor tensor = layer_tensor(b, layer, blocks);
    struct dtr_view residual, middle = DTR_NO_VIEW;
    struct dtr_view partial = dtr_tensor_heads(b, &tensor, &residual);
    const struct dtr_range mine = dtr_part_rows(b, b->device);
    sum_rows(b, dtr_tensor_head_parts(b, &tensor), partial);
    if (dtr_takes(b, b->device)) {
        middle = dtr_spread_view(b, &middle_whole, 0);
        dtr_tensor_add_norm(b, &tensor, DTR_WEIGHT_ATTENTION_NORM, rows_of(partial, mine),
                            rows_of(residual, mine), rows_of(middle, mine));
    }
    dtr_emit_wait(b, dtr_emit_exchange(b, DTR_ALL_GATHER, &middle_rows, &middle_whole, 0, 1));
    partial = dtr_tensor_feed_forward(b, &tensor, middle);
    sum_rows(b, dtr_tensor_feed_forward_parts(b, &tensor), partial);
    if (dtr_takes(b, b->device))
        dtr_tensor_add_norm(b, &tensor, DTR_WEIGHT_OUTPUT_NORM, rows_of(partial, mine),
                            rows_of(middle, mine), rows_of(tensor.x, mine));
    dtr_builder_layer_done(b, layer, &rows);
}

static void lower_layers(struct dtr_builder *b, uint32_t group, enum dtr_layout layout,
                         void (*lower)(struct dtr_builder *b, uint32_t layer,
                                       struct dtr_block *blocks)) {
    const struct dtr_spread result = dtr_hidden(b, layout);
    const uint32_t first = group * b->model->group_layers;
    struct dtr_block *blocks = calloc((size_t)b->model->divisions + 1, sizeof *blocks);
    if (!blocks) {
        b->status = DTR_E_MEMORY;
        return;
    }
    for (uint32_t layer = first; layer < first + b->model->group_layers; layer++) {
        b->layer = (uint16_t)layer;
        lower(b, layer, blocks);
    }
    free(blocks);
    dtr_builder_result(b, &result, 0, 1);
}

void dtr_lower_tensor(struct dtr_builder *b, uint32_t group) {
    lower_layers(b, group, DTR_LAYOUT_WHOLE, tensor_layer);
}

void dtr_lower_hybrid(struct dtr_builder *b, uint32_t group) {
    dtr_builder_await_all(b);
    lower_layers(b, group, DTR_LAYOUT_ROWS, hybrid_layer);
}

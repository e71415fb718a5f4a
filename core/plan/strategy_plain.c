/* SPDX-License-Identifier: MIT
 *
 * strategy_plain.c -- the strategies that know nothing of divisions: one device alone, and
 * sequence parallelism by positions (Hu and Li, "When the Edge Meets Transformers", ICDCS 2024).
 */
#include "plan/strategy.h"

/* The blocks of a layer: one, or one a division; returns the index-th, with its columns of x. */
static bool next_block(struct dtr_builder *b, uint32_t layer, uint32_t *index,
                       struct dtr_block *block) {
    const struct dtr_model_shape *model = b->model;
    const bool original = (layer + 1) % model->group_layers == 0;
    if (*index >= (original ? 1 : model->divisions))
        return false;
    *block = original ? dtr_original_block(b, layer) : dtr_sub_block(b, layer, *index);
    b->division = block->division;
    ++*index;
    return true;
}

static struct dtr_view block_columns(struct dtr_view x, const struct dtr_block *block) {
    const uint32_t begin = block->division < 0 ? 0 : (uint32_t)block->division * block->width;
    return dtr_view_columns(x, begin, begin + block->width);
}

static void single_block(struct dtr_builder *b, const struct dtr_block *block, struct dtr_view x) {
    const struct dtr_range heads = {0, block->heads};
    const struct dtr_view residual = dtr_emit_inputs(b, block, heads, x);
    const struct dtr_range rows = residual.rows;
    const struct dtr_view context =
        dtr_buffer_view(b, "context", rows, block->heads * block->head_size);
    dtr_emit_attention(b, block, heads, rows, context);
    dtr_emit_rest(b, block, context, residual, dtr_view_rows(x, rows));
}

void dtr_lower_alone(struct dtr_builder *b, uint32_t layer, struct dtr_view x) {
    struct dtr_block block;
    b->layer = (uint16_t)layer;
    for (uint32_t i = 0; next_block(b, layer, &i, &block);)
        single_block(b, &block, block_columns(x, &block));
    b->division = -1;
}

void dtr_lower_single(struct dtr_builder *b, uint32_t group) {
    const struct dtr_spread root = dtr_hidden(b, DTR_LAYOUT_ROOT);
    const uint32_t first = group * b->model->group_layers;
    for (uint32_t layer = first; layer < first + b->model->group_layers; layer++) {
        b->layer = (uint16_t)layer;
        if (b->device == 0)
            dtr_lower_alone(b, layer, dtr_spread_view(b, &root, 0));
        if (b->lowering->select && layer + 1 == b->model->layers)
            b->rows = b->lowering->selected;
        dtr_builder_layer_done(b, layer, &root);
    }
    dtr_builder_result(b, &root, 0, 1);
}

/* Queries of this device's rows need nothing from the others; keys and values do. */
static void sequence_block(struct dtr_builder *b, const struct dtr_block *block, struct dtr_view x,
                           int32_t *gather) {
    const struct dtr_range heads = {0, block->heads};
    struct dtr_view residual = x;
    const bool selects = dtr_selects(b, block);
    if (!selects)
        dtr_emit_query(b, block, heads, dtr_view_rows(x, dtr_part_rows(b, b->device)));
    dtr_emit_wait(b, *gather);
    *gather = -1;
    dtr_emit_key_value(b, block, heads, x);
    if (selects) {
        residual = dtr_emit_selected(b, x);
        b->rows = b->lowering->selected;
        dtr_emit_query(b, block, heads, dtr_view_rows(residual, dtr_part_rows(b, b->device)));
    }
    const struct dtr_range rows = dtr_part_rows(b, b->device);
    const struct dtr_view context =
        dtr_buffer_view(b, "context", rows, block->heads * block->head_size);
    dtr_emit_attention(b, block, heads, rows, context);
    dtr_emit_rest(b, block, context, dtr_view_rows(residual, rows), dtr_view_rows(x, rows));
}

void dtr_lower_sequence(struct dtr_builder *b, uint32_t group) {
    const struct dtr_spread rows = dtr_hidden(b, DTR_LAYOUT_ROWS);
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const uint32_t first = group * b->model->group_layers;
    dtr_builder_await_all(b);
    for (uint32_t layer = first; layer < first + b->model->group_layers; layer++) {
        struct dtr_block block;
        b->layer = (uint16_t)layer;
        int32_t gather = dtr_emit_exchange(b, DTR_ALL_GATHER, &rows, &whole, 0, 1);
        const bool works = !dtr_range_empty(dtr_part_rows(b, b->device));
        for (uint32_t i = 0; works && next_block(b, layer, &i, &block);)
            sequence_block(b, &block, block_columns(dtr_spread_view(b, &whole, 0), &block),
                           &gather);
        b->division = -1;
        dtr_emit_wait(b, gather);
        if (b->lowering->select && layer + 1 == b->model->layers)
            b->rows = b->lowering->selected;
        dtr_builder_layer_done(b, layer, &rows);
    }
    dtr_builder_result(b, &rows, 0, 1);
}

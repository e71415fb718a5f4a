/* SPDX-License-Identifier: MIT
 *
 * strategy_block.c -- block parallelism (Wei et al., DATE 2024): decoupled layers run where their
 * sub-blocks are, without a word; the original layer of a group mixes the slices in one of several
 * ways.
 */
#include <stdio.h>

#include "plan/strategy.h"
#include "plan/tensor.h"

/* --- decoupled layers ------------------------------------------------------------------------- */

static bool alone(const struct dtr_builder *b, uint32_t division) {
    return b->sharing[division].members == 1 && dtr_plan_holds(b->plan, division, b->device);
}

static struct dtr_view slice_view(struct dtr_builder *b, uint32_t division) {
    const struct dtr_spread slices = dtr_hidden(b, DTR_LAYOUT_SLICES);
    return dtr_plan_holds(b->plan, division, b->device) ? dtr_spread_view(b, &slices, division)
                                                        : DTR_NO_VIEW;
}

static struct dtr_view context_view(struct dtr_builder *b, const struct dtr_block *block) {
    char name[24];
    snprintf(name, sizeof name, "context.%d", block->division);
    return dtr_buffer_view(b, name, (struct dtr_range){0, b->rows},
                           block->heads * block->head_size);
}

static void sub_block_attention(struct dtr_builder *b, uint32_t layer, uint32_t division) {
    const struct dtr_block block = dtr_sub_block(b, layer, division);
    const struct dtr_range heads = {0, block.heads};
    b->division = (int16_t)division;
    dtr_emit_inputs(b, &block, heads, slice_view(b, division));
    dtr_emit_attention(b, &block, heads, (struct dtr_range){0, b->rows}, context_view(b, &block));
}

static void sub_block_rest(struct dtr_builder *b, uint32_t layer, uint32_t division,
                           struct dtr_range rows) {
    const struct dtr_block block = dtr_sub_block(b, layer, division);
    const struct dtr_view x = dtr_view_rows(slice_view(b, division), rows);
    b->division = (int16_t)division;
    dtr_emit_rest(b, &block, dtr_view_rows(context_view(b, &block), rows), x, x);
}

static void shared_sub_block(struct dtr_builder *b, uint32_t layer, uint32_t division) {
    const struct dtr_block block = dtr_sub_block(b, layer, division);
    const struct dtr_tensor tensor = {
        .team = &b->sharing[division],
        .blocks = &block,
        .count = 1,
        .x = slice_view(b, division),
    };
    b->division = (int16_t)division;
    dtr_tensor_layer(b, &tensor);
}

/* One decoupled layer.  After the last of a group each tile of tokens sets out for `b->next` as
 * soon as it is done. */
static void decoupled_layer(struct dtr_builder *b, uint32_t layer, bool last) {
    const struct dtr_spread slices = dtr_hidden(b, DTR_LAYOUT_SLICES);
    const uint32_t divisions = b->model->divisions,
                   tiles = last ? dtr_builder_tiles(b, b->rows) : 1;
    b->layer = (uint16_t)layer;
    for (uint32_t d = 0; d < divisions; d++)
        if (alone(b, d))
            sub_block_attention(b, layer, d);
        else if (b->sharing[d].members > 1)
            shared_sub_block(b, layer, d);
    for (uint32_t tile = 0; tile < tiles; tile++) {
        const struct dtr_range rows = dtr_range_piece((struct dtr_range){0, b->rows}, tile, tiles);
        for (uint32_t d = 0; d < divisions; d++)
            if (alone(b, d))
                sub_block_rest(b, layer, d, rows);
        b->division = -1;
        if (last)
            dtr_builder_result(b, &slices, tile, tiles);
    }
    dtr_builder_layer_done(b, layer, &slices);
}

/* All layers of the group but the original one, which is returned; the result is on its way to
 * `layout`. */
static uint32_t decoupled_layers(struct dtr_builder *b, uint32_t group, enum dtr_layout layout) {
    const struct dtr_spread next = b->next, slices = dtr_hidden(b, DTR_LAYOUT_SLICES);
    const uint32_t first = group * b->model->group_layers;
    const uint32_t original = first + b->model->group_layers - 1;
    b->next = dtr_hidden(b, layout);
    for (uint32_t layer = first; layer < original; layer++)
        decoupled_layer(b, layer, layer + 1 == original);
    b->layer = (uint16_t)original;
    if (first == original)
        dtr_builder_result(b, &slices, 0, 1);
    b->next = next;
    return original;
}

/* --- original layers -------------------------------------------------------------------------- */

static void whole_layer(struct dtr_builder *b, uint32_t layer, enum dtr_layout layout, bool works) {
    const struct dtr_block block = dtr_original_block(b, layer);
    const struct dtr_spread spread = dtr_hidden(b, layout);
    const struct dtr_range heads = {0, block.heads};
    if (works) {
        const struct dtr_view x = dtr_spread_view(b, &spread, 0);
        const struct dtr_view residual = dtr_emit_inputs(b, &block, heads, x);
        const struct dtr_range rows = {0, b->rows};
        const struct dtr_view context = dtr_buffer_view(b, "context", rows, block.width);
        dtr_emit_attention(b, &block, heads, rows, context);
        dtr_emit_rest(b, &block, context, residual, dtr_view_rows(x, rows));
    }
    if (dtr_selects(b, &block))
        b->rows = b->lowering->selected;
    dtr_builder_layer_done(b, layer, &spread);
    dtr_builder_result(b, &spread, 0, 1);
}

void dtr_lower_bp_gather(struct dtr_builder *b, uint32_t group) {
    const uint32_t layer = decoupled_layers(b, group, DTR_LAYOUT_WHOLE);
    whole_layer(b, layer, DTR_LAYOUT_WHOLE, dtr_takes(b, b->device));
}

void dtr_lower_bp_root(struct dtr_builder *b, uint32_t group) {
    const uint32_t layer = decoupled_layers(b, group, DTR_LAYOUT_ROOT);
    whole_layer(b, layer, DTR_LAYOUT_ROOT, b->device == 0);
}

/* The sums of the second half arrive as slices; LayerNorm needs whole rows, of which only the
 * moments travel (merged as mean and M2: Chan, Golub and LeVeque 1979). */
static void normalise_slices(struct dtr_builder *b, const struct dtr_block *block,
                             const struct dtr_spread *reduced, struct dtr_view middle) {
    const uint32_t divisions = b->model->divisions, width = block->width / divisions;
    const struct dtr_range rows = {0, b->rows};
    const struct dtr_spread moments = {
        .layout = DTR_LAYOUT_SLICES, .columns = 2 * divisions, .name = "moments"};
    const struct dtr_spread all = {
        .layout = DTR_LAYOUT_WHOLE, .columns = 2 * divisions, .name = "all-moments"};
    const struct dtr_view merged = dtr_buffer_view(b, "row-moments", rows, 2);
    bool holds = false;
    for (uint32_t d = 0; d < divisions; d++) {
        if (!dtr_plan_holds(b->plan, d, b->device))
            continue;
        holds = true;
        dtr_emit_moments(b, dtr_spread_view(b, reduced, d),
                         dtr_view_columns(middle, d * width, (d + 1) * width),
                         dtr_spread_view(b, &moments, d), slice_view(b, d));
    }
    /* Two numbers a row, on which all the others depend: they travel as they are. */
    b->wire = DTR_F32;
    dtr_emit_wait(b, dtr_emit_exchange(b, DTR_ALL_GATHER, &moments, &all, 0, 1));
    b->wire = b->lowering->wire;
    if (holds)
        dtr_emit_merge(b, dtr_spread_view(b, &all, 0), merged);
    for (uint32_t d = 0; d < divisions; d++)
        if (dtr_plan_holds(b->plan, d, b->device))
            dtr_emit_normalise(
                b, dtr_norm_key(block, DTR_WEIGHT_OUTPUT_NORM, d * width, (d + 1) * width),
                slice_view(b, d), merged, slice_view(b, d));
}

void dtr_lower_bp_tensor(struct dtr_builder *b, uint32_t group) {
    const uint32_t layer = decoupled_layers(b, group, DTR_LAYOUT_WHOLE);
    const struct dtr_block block = dtr_original_block(b, layer);
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const struct dtr_spread slices = dtr_hidden(b, DTR_LAYOUT_SLICES);
    const struct dtr_spread reduced = {
        .layout = DTR_LAYOUT_SLICES, .columns = block.width, .name = "reduced"};
    const struct dtr_tensor tensor = {
        .team = &b->taking,
        .blocks = &block,
        .count = 1,
        .x = dtr_takes(b, b->device) ? dtr_spread_view(b, &whole, 0) : DTR_NO_VIEW,
    };
    const struct dtr_view middle = dtr_tensor_attention(b, &tensor);
    const struct dtr_view partial = dtr_tensor_feed_forward(b, &tensor, middle);
    dtr_emit_wait(b, dtr_emit_reduce_scatter(b, dtr_tensor_feed_forward_parts(b, &tensor), partial,
                                             &reduced));
    normalise_slices(b, &block, &reduced, middle);
    dtr_builder_layer_done(b, layer, &slices);
    dtr_builder_result(b, &slices, 0, 1);
}

/* Attention of this device's heads for a tile of the tokens of every device. */
static void attention_tile(struct dtr_builder *b, const struct dtr_block *block,
                           const struct dtr_spread *by_heads, uint32_t tile, uint32_t tiles) {
    const struct dtr_range heads = dtr_part_heads(b, &b->taking, block, b->device);
    if (dtr_range_empty(heads))
        return;
    const struct dtr_view context =
        dtr_view_columns(dtr_spread_view(b, by_heads, 0), heads.begin * block->head_size,
                         heads.end * block->head_size);
    if (tiles == 1) {
        dtr_emit_attention(b, block, heads, (struct dtr_range){0, b->rows}, context);
        return;
    }
    for (uint32_t i = 0; i < b->devices; i++)
        dtr_emit_attention(b, block, heads, dtr_range_piece(dtr_part_rows(b, i), tile, tiles),
                           context);
}

void dtr_lower_bp_sequence(struct dtr_builder *b, uint32_t group) {
    const uint32_t layer = decoupled_layers(b, group, DTR_LAYOUT_WHOLE);
    const struct dtr_block block = dtr_original_block(b, layer);
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const struct dtr_spread rows = dtr_hidden(b, DTR_LAYOUT_ROWS);
    const struct dtr_spread by_heads = {
        .layout = DTR_LAYOUT_HEADS, .columns = block.width, .name = "context-heads"};
    const struct dtr_spread by_rows = {
        .layout = DTR_LAYOUT_ROWS, .columns = block.width, .name = "context"};
    const struct dtr_range heads = dtr_part_heads(b, &b->taking, &block, b->device);
    struct dtr_view residual = DTR_NO_VIEW;
    if (dtr_takes(b, b->device))
        residual = dtr_emit_inputs(b, &block, heads, dtr_spread_view(b, &whole, 0));
    if (dtr_selects(b, &block))
        b->rows = b->lowering->selected;
    const uint32_t tiles = dtr_builder_tiles(b, b->rows / b->taking.members);
    for (uint32_t tile = 0; tile < tiles; tile++) {
        attention_tile(b, &block, &by_heads, tile, tiles);
        b->between[tile] =
            dtr_emit_exchange(b, DTR_ALL_TO_ALL, &by_heads, &by_rows, tile, tiles);
    }
    const struct dtr_range mine = dtr_part_rows(b, b->device);
    for (uint32_t tile = 0; tile < tiles; tile++) {
        dtr_emit_wait(b, b->between[tile]);
        const struct dtr_range part = dtr_range_piece(mine, tile, tiles);
        if (!dtr_range_empty(part))
            dtr_emit_rest(b, &block, dtr_view_rows(dtr_spread_view(b, &by_rows, 0), part),
                          dtr_view_rows(residual, part),
                          dtr_view_rows(dtr_spread_view(b, &rows, 0), part));
        dtr_builder_result(b, &rows, tile, tiles);
    }
    dtr_builder_layer_done(b, layer, &rows);
}

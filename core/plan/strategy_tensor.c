/* SPDX-License-Identifier: MIT
 *
 * strategy_tensor.c -- tensor parallelism (Shoeybi et al., "Megatron-LM", 2019): two all-reduces
 * of the hidden state a layer, also where a layer is decoupled.
 */
#include <stdlib.h>

#include "plan/strategy.h"
#include "plan/tensor.h"

static void tensor_layer(struct dtr_builder *b, uint32_t layer, struct dtr_block *blocks) {
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const bool original = (layer + 1) % b->model->group_layers == 0;
    const uint32_t count = original ? 1 : b->model->divisions;
    for (uint32_t i = 0; i < count; i++)
        blocks[i] = original ? dtr_original_block(b, layer) : dtr_sub_block(b, layer, i);
    const struct dtr_tensor tensor = {
        .team = &b->taking,
        .blocks = blocks,
        .count = count,
        .x = dtr_takes(b, b->device) ? dtr_spread_view(b, &whole, 0) : DTR_NO_VIEW,
    };
    dtr_tensor_layer(b, &tensor);
}

void dtr_lower_tensor(struct dtr_builder *b, uint32_t group) {
    const struct dtr_spread whole = dtr_hidden(b, DTR_LAYOUT_WHOLE);
    const uint32_t first = group * b->model->group_layers;
    struct dtr_block *blocks = calloc((size_t)b->model->divisions + 1, sizeof *blocks);
    if (!blocks) {
        b->status = DTR_E_MEMORY;
        return;
    }
    for (uint32_t layer = first; layer < first + b->model->group_layers; layer++) {
        b->layer = (uint16_t)layer;
        tensor_layer(b, layer, blocks);
        dtr_builder_layer_done(b, layer, &whole);
    }
    free(blocks);
    dtr_builder_result(b, &whole, 0, 1);
}

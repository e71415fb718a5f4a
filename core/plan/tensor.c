/* SPDX-License-Identifier: MIT */
#include "plan/tensor.h"

static struct dtr_view columns_of(const struct dtr_tensor *tensor, struct dtr_view view,
                                  uint32_t index) {
    const uint32_t width = tensor->blocks[index].width;
    return dtr_view_columns(view, index * width, (index + 1) * width);
}

static uint32_t total_width(const struct dtr_tensor *tensor) {
    return tensor->count * tensor->blocks[0].width;
}

const struct dtr_range *dtr_tensor_head_parts(struct dtr_builder *b,
                                              const struct dtr_tensor *tensor) {
    return dtr_parts_heads(b, tensor->team, &tensor->blocks[0]);
}

const struct dtr_range *dtr_tensor_feed_forward_parts(struct dtr_builder *b,
                                                      const struct dtr_tensor *tensor) {
    return dtr_parts_columns(b, tensor->team, &tensor->blocks[0]);
}

void dtr_tensor_add_norm(struct dtr_builder *b, const struct dtr_tensor *tensor,
                         enum dtr_weight_kind kind, struct dtr_view in, struct dtr_view residual,
                         struct dtr_view out) {
    for (uint32_t i = 0; i < tensor->count; i++)
        dtr_emit_add_norm(b, dtr_norm_key(&tensor->blocks[i], kind, 0, tensor->blocks[i].width),
                          columns_of(tensor, in, i), columns_of(tensor, residual, i),
                          columns_of(tensor, out, i));
}

struct dtr_view dtr_tensor_heads(struct dtr_builder *b, const struct dtr_tensor *tensor,
                                 struct dtr_view *residual_p) {
    struct dtr_view partial = DTR_NO_VIEW;
    *residual_p = tensor->x;
    if (!tensor->team->member[b->device]) {
        if (dtr_selects(b, &tensor->blocks[0]))
            b->rows = b->lowering->selected;
        return partial;
    }
    for (uint32_t i = 0; i < tensor->count; i++) {
        const struct dtr_block *block = &tensor->blocks[i];
        const struct dtr_range heads = dtr_part_heads(b, tensor->team, block, b->device);
        const struct dtr_view in =
            dtr_emit_inputs(b, block, heads, columns_of(tensor, tensor->x, i));
        const struct dtr_range rows = {0, b->rows};
        if (dtr_selects(b, block))
            *residual_p = in;
        partial = dtr_buffer_view(b, "partial", rows, total_width(tensor));
        if (dtr_range_empty(heads))
            continue;
        const struct dtr_view context =
            dtr_buffer_view(b, "context", rows, dtr_range_count(heads) * block->head_size);
        dtr_emit_attention(b, block, heads, rows, context);
        dtr_emit_projection(b, block, heads, context, columns_of(tensor, partial, i));
    }
    return partial;
}

struct dtr_view dtr_tensor_attention(struct dtr_builder *b, const struct dtr_tensor *tensor) {
    struct dtr_view residual;
    const struct dtr_view partial = dtr_tensor_heads(b, tensor, &residual);
    dtr_emit_wait(b,
                  dtr_emit_all_reduce(b, tensor->team, dtr_tensor_head_parts(b, tensor), partial));
    if (!tensor->team->member[b->device])
        return DTR_NO_VIEW;
    const struct dtr_view middle = dtr_buffer_view(b, "middle", partial.rows, total_width(tensor));
    dtr_tensor_add_norm(b, tensor, DTR_WEIGHT_ATTENTION_NORM, partial, residual, middle);
    return middle;
}

struct dtr_view dtr_tensor_feed_forward(struct dtr_builder *b, const struct dtr_tensor *tensor,
                                        struct dtr_view in) {
    if (!tensor->team->member[b->device])
        return DTR_NO_VIEW;
    const struct dtr_view partial = dtr_buffer_view(b, "partial", in.rows, total_width(tensor));
    for (uint32_t i = 0; i < tensor->count; i++) {
        const struct dtr_block *block = &tensor->blocks[i];
        const struct dtr_range columns = dtr_part_columns(b, tensor->team, block, b->device);
        if (!dtr_range_empty(columns))
            dtr_emit_feed_forward(b, block, columns, columns_of(tensor, in, i),
                                  columns_of(tensor, partial, i));
    }
    return partial;
}

void dtr_tensor_layer(struct dtr_builder *b, const struct dtr_tensor *tensor) {
    const struct dtr_view middle = dtr_tensor_attention(b, tensor);
    const struct dtr_view partial = dtr_tensor_feed_forward(b, tensor, middle);
    dtr_emit_wait(
        b, dtr_emit_all_reduce(b, tensor->team, dtr_tensor_feed_forward_parts(b, tensor), partial));
    if (tensor->team->member[b->device])
        dtr_tensor_add_norm(b, tensor, DTR_WEIGHT_OUTPUT_NORM, partial, middle,
                            dtr_view_rows(tensor->x, middle.rows));
}

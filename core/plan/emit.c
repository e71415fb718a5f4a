/* SPDX-License-Identifier: MIT
 *
 * emit.c -- steps on this device: single ones, and the parts of a transformer block.
 */
#include <stdio.h>
#include <string.h>

#include "plan/builder_memory.h"

/* More rows than this go through the feed-forward in pieces, so that its wide middle stays in the
 * cache and small in the arena. */
enum { FEED_FORWARD_ROWS = 512 };

/* --- buffers and views ------------------------------------------------------------------------ */

/* FNV-1a, by Fowler, Noll and Vo. */
static uint32_t hash_of(const char *name) {
    uint32_t hash = UINT32_C(2166136261);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT32_C(16777619);
    return hash;
}

int32_t dtr_buffer(struct dtr_builder *b, const char *name, struct dtr_range rows,
                   uint32_t columns) {
    struct dtr_schedule *schedule = b->schedule;
    const uint32_t hash = hash_of(name);
    for (uint32_t i = 0; i < schedule->buffers_count; i++) {
        struct dtr_buffer *buffer = &schedule->buffers[i];
        if (buffer->hash != hash || buffer->columns != columns || strcmp(buffer->name, name) != 0)
            continue;
        const uint32_t begin = rows.begin < buffer->row ? rows.begin : buffer->row;
        const uint32_t old_end = buffer->row + buffer->rows;
        buffer->rows = (rows.end > old_end ? rows.end : old_end) - begin;
        buffer->row = begin;
        return (int32_t)i;
    }
    int32_t index;
    struct dtr_buffer *buffer = dtr_new_buffer(b, &index);
    if (!buffer)
        return -1;
    snprintf(buffer->name, sizeof buffer->name, "%s", name);
    buffer->hash = hash;
    buffer->row = rows.begin;
    buffer->rows = dtr_range_count(rows);
    buffer->columns = columns;
    return index;
}

struct dtr_view dtr_buffer_view(struct dtr_builder *b, const char *name, struct dtr_range rows,
                                uint32_t columns) {
    return (struct dtr_view){
        .buffer = dtr_buffer(b, name, rows, columns),
        .rows = rows,
        .columns = {0, columns},
    };
}

struct dtr_view dtr_view_rows(struct dtr_view view, struct dtr_range rows) {
    view.rows = rows;
    return view;
}

struct dtr_view dtr_view_columns(struct dtr_view view, uint32_t begin, uint32_t end) {
    view.columns = (struct dtr_range){view.columns.begin + begin, view.columns.begin + end};
    return view;
}

static bool view_empty(const struct dtr_view *view) {
    return dtr_range_empty(view->rows) || dtr_range_empty(view->columns);
}

/* --- single steps ----------------------------------------------------------------------------- */

static int32_t weight_index(struct dtr_builder *b, struct dtr_weight_key key) {
    const struct dtr_schedule *schedule = b->schedule;
    for (uint32_t i = schedule->weights_count; i-- > 0;) {
        const struct dtr_weight_key *known = &schedule->weights[i];
        if (known->kind == key.kind && known->layer == key.layer &&
            known->division == key.division && known->part.begin == key.part.begin &&
            known->part.end == key.part.end)
            return (int32_t)i;
        /* Keys come layer by layer: an older layer will not match any more. */
        if (known->layer + 1 < key.layer)
            break;
    }
    int32_t index = -1;
    struct dtr_weight_key *weight = dtr_new_weight(b, &index);
    if (weight)
        *weight = key;
    return index;
}

void dtr_emit_embed(struct dtr_builder *b, struct dtr_view out) {
    if (view_empty(&out))
        return;
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_EMBED);
    if (step)
        step->out = out;
}

void dtr_emit_linear(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                     struct dtr_view out, bool accumulate) {
    if (view_empty(&in) || view_empty(&out))
        return;
    const int32_t weight = weight_index(b, key);
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_LINEAR);
    if (!step)
        return;
    step->weight = weight;
    step->in[0] = in;
    step->out = out;
    step->flags = accumulate ? DTR_STEP_ACCUMULATE : 0;
}

void dtr_emit_add_norm(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                       struct dtr_view residual, struct dtr_view out) {
    if (view_empty(&in))
        return;
    const int32_t weight = weight_index(b, key);
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_ADD_NORM);
    if (!step)
        return;
    step->weight = weight;
    step->in[0] = in;
    step->in[1] = residual;
    step->out = out;
}

void dtr_emit_copy(struct dtr_builder *b, struct dtr_view in, struct dtr_view out) {
    if (view_empty(&in))
        return;
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_COPY);
    if (!step)
        return;
    step->in[0] = in;
    step->out = out;
}

void dtr_emit_select(struct dtr_builder *b, struct dtr_view in, const uint32_t *rows,
                     uint32_t count, struct dtr_view out) {
    const uint32_t list = b->schedule->rows_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *row = dtr_new_row(b);
        if (row)
            *row = rows[i];
    }
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_COPY);
    if (!step)
        return;
    step->flags = DTR_STEP_SELECT;
    step->list = list;
    step->listed = count;
    step->in[0] = in;
    step->out = out;
}

void dtr_emit_moments(struct dtr_builder *b, struct dtr_view in, struct dtr_view residual,
                      struct dtr_view moments, struct dtr_view out) {
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_MOMENTS);
    if (!step)
        return;
    step->in[0] = in;
    step->in[1] = residual;
    step->in[2] = moments;
    step->out = out;
}

void dtr_emit_merge(struct dtr_builder *b, struct dtr_view parts, struct dtr_view out) {
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_MERGE);
    if (!step)
        return;
    step->in[0] = parts;
    step->out = out;
}

void dtr_emit_normalise(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                        struct dtr_view moments, struct dtr_view out) {
    const int32_t weight = weight_index(b, key);
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_NORMALISE);
    if (!step)
        return;
    step->weight = weight;
    step->in[0] = in;
    step->in[1] = moments;
    step->out = out;
}

/* --- weights of a block ----------------------------------------------------------------------- */

static struct dtr_weight_key block_key(const struct dtr_block *block, enum dtr_weight_kind kind,
                                       struct dtr_range part) {
    return (struct dtr_weight_key){
        .kind = (uint8_t)kind,
        .layer = block->layer,
        .division = block->division,
        .part = part,
    };
}

struct dtr_weight_key dtr_norm_key(const struct dtr_block *block, enum dtr_weight_kind kind,
                                   uint32_t begin, uint32_t end) {
    return block_key(block, kind, (struct dtr_range){begin, end});
}

/* The index-th part of the cuts that lies in `range`; false after the last. */
static bool next_part(const struct dtr_cuts *cuts, struct dtr_range range, uint32_t *index,
                      struct dtr_range *part) {
    for (; *index < cuts->count; ++*index) {
        *part = (struct dtr_range){cuts->at[*index], cuts->at[*index + 1]};
        if (part->begin >= range.begin && part->end <= range.end) {
            ++*index;
            return true;
        }
    }
    return false;
}

/* --- attention -------------------------------------------------------------------------------- */

bool dtr_selects(const struct dtr_builder *b, const struct dtr_block *block) {
    return b->lowering->select && block->layer + 1u == b->model->layers;
}

/* Queries, keys and values of a part of p heads take 3 p head_size columns from here on: q, k, v.
 */
static struct dtr_view qkv_part(struct dtr_builder *b, const struct dtr_block *block,
                                struct dtr_range heads, struct dtr_range part,
                                struct dtr_range rows) {
    const uint32_t size = 3 * block->head_size;
    const struct dtr_view all =
        dtr_buffer_view(b, "query-key-value", rows, dtr_range_count(heads) * size);
    return dtr_view_columns(all, (part.begin - heads.begin) * size,
                            (part.end - heads.begin) * size);
}

static struct dtr_view query_part(struct dtr_builder *b, const struct dtr_block *block,
                                  struct dtr_range heads, struct dtr_range part,
                                  struct dtr_range rows) {
    const uint32_t size = block->head_size;
    if (!dtr_selects(b, block))
        return dtr_view_columns(qkv_part(b, block, heads, part, rows), 0,
                                dtr_range_count(part) * size);
    const struct dtr_view all =
        dtr_buffer_view(b, "selected-query", rows, dtr_range_count(heads) * size);
    return dtr_view_columns(all, (part.begin - heads.begin) * size,
                            (part.end - heads.begin) * size);
}

void dtr_emit_query(struct dtr_builder *b, const struct dtr_block *block, struct dtr_range heads,
                    struct dtr_view x) {
    uint32_t index = 0;
    struct dtr_range part;
    while (next_part(block->query, heads, &index, &part))
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_QUERY, part), x,
                        query_part(b, block, heads, part, x.rows), false);
}

void dtr_emit_key_value(struct dtr_builder *b, const struct dtr_block *block,
                        struct dtr_range heads, struct dtr_view x) {
    uint32_t index = 0;
    struct dtr_range part;
    while (next_part(block->query, heads, &index, &part)) {
        const uint32_t width = dtr_range_count(part) * block->head_size;
        const struct dtr_view qkv = qkv_part(b, block, heads, part, x.rows);
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_KEY_VALUE, part), x,
                        dtr_view_columns(qkv, width, 3 * width), false);
    }
}

void dtr_emit_query_key_value(struct dtr_builder *b, const struct dtr_block *block,
                              struct dtr_range heads, struct dtr_view x) {
    if (b->query_apart) {
        dtr_emit_query(b, block, heads, x);
        dtr_emit_key_value(b, block, heads, x);
        return;
    }
    uint32_t index = 0;
    struct dtr_range part;
    while (next_part(block->query, heads, &index, &part))
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_QUERY_KEY_VALUE, part), x,
                        qkv_part(b, block, heads, part, x.rows), false);
}

/* One span for each sequence that has queries among `rows`; *keys_p: the tokens of those. */
static void list_spans(struct dtr_builder *b, const struct dtr_block *block, struct dtr_range rows,
                       uint32_t *first_p, uint32_t *count_p, struct dtr_range *keys_p) {
    const uint32_t first = b->schedule->spans_count;
    const uint32_t *select = dtr_selects(b, block) ? b->lowering->select : NULL;
    uint32_t begin = 0, row = rows.begin;
    *keys_p = (struct dtr_range){0, 0};
    for (uint32_t i = 0; i < b->lowering->sequences && row < rows.end; i++) {
        const uint32_t end = begin + b->lowering->lengths[i];
        const uint32_t query = row;
        while (row < rows.end && (select ? select[row] : row) < end)
            row++;
        if (row > query) {
            struct dtr_span *span = dtr_new_span(b);
            keys_p->begin = dtr_range_empty(*keys_p) ? begin : keys_p->begin;
            keys_p->end = end;
            if (span)
                *span = (struct dtr_span){
                    .query_first = query - rows.begin,
                    .query_rows = row - query,
                    .key_first = begin - keys_p->begin,
                    .key_rows = end - begin,
                };
        }
        begin = end;
    }
    *first_p = first;
    *count_p = b->schedule->spans_count - first;
}

void dtr_emit_attention(struct dtr_builder *b, const struct dtr_block *block,
                        struct dtr_range heads, struct dtr_range rows, struct dtr_view context) {
    if (dtr_range_empty(heads) || dtr_range_empty(rows))
        return;
    uint32_t first, count, index = 0;
    struct dtr_range keys, part;
    list_spans(b, block, rows, &first, &count, &keys);
    while (next_part(block->query, heads, &index, &part)) {
        const uint32_t width = dtr_range_count(part) * block->head_size;
        const uint32_t column = (part.begin - heads.begin) * block->head_size;
        const struct dtr_view query = query_part(b, block, heads, part, rows);
        const struct dtr_view qkv = qkv_part(b, block, heads, part, keys);
        struct dtr_step *step = dtr_new_step(b, DTR_STEP_ATTENTION);
        if (!step)
            return;
        step->heads = (uint16_t)dtr_range_count(part);
        step->list = first;
        step->listed = count;
        step->in[0] = query;
        step->in[1] = dtr_view_columns(qkv, width, 2 * width);
        step->in[2] = dtr_view_columns(qkv, 2 * width, 3 * width);
        step->out = dtr_view_rows(dtr_view_columns(context, column, column + width), rows);
    }
}

struct dtr_view dtr_emit_selected(struct dtr_builder *b, struct dtr_view x) {
    const struct dtr_lowering *lowering = b->lowering;
    const struct dtr_view out = dtr_buffer_view(
        b, "selected", (struct dtr_range){0, lowering->selected}, dtr_range_count(x.columns));
    dtr_emit_select(b, x, lowering->select, lowering->selected, out);
    return out;
}

/* --- the rest of a block ---------------------------------------------------------------------- */

void dtr_emit_projection(struct dtr_builder *b, const struct dtr_block *block,
                         struct dtr_range heads, struct dtr_view context, struct dtr_view out) {
    uint32_t index = 0;
    struct dtr_range part;
    bool accumulate = false;
    while (next_part(block->projection, heads, &index, &part)) {
        const struct dtr_view in =
            dtr_view_columns(context, (part.begin - heads.begin) * block->head_size,
                             (part.end - heads.begin) * block->head_size);
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_PROJECTION, part), in, out, accumulate);
        accumulate = true;
    }
}

static void feed_forward_rows(struct dtr_builder *b, const struct dtr_block *block,
                              struct dtr_range columns, struct dtr_view in, struct dtr_view out) {
    const struct dtr_range rows = {0, dtr_range_count(in.rows)};
    uint32_t index = 0;
    struct dtr_range part;
    bool accumulate = false;
    while (next_part(block->columns, columns, &index, &part)) {
        const struct dtr_view middle =
            dtr_buffer_view(b, "feed-forward", rows, dtr_range_count(part));
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_FEED_FORWARD_1, part), in, middle, false);
        dtr_emit_linear(b, block_key(block, DTR_WEIGHT_FEED_FORWARD_2, part), middle, out,
                        accumulate);
        accumulate = true;
    }
}

void dtr_emit_feed_forward(struct dtr_builder *b, const struct dtr_block *block,
                           struct dtr_range columns, struct dtr_view in, struct dtr_view out) {
    const uint32_t rows = dtr_range_count(in.rows);
    const uint32_t pieces = (rows + FEED_FORWARD_ROWS - 1) / FEED_FORWARD_ROWS;
    for (uint32_t i = 0; i < pieces; i++)
        feed_forward_rows(b, block, columns, dtr_view_rows(in, dtr_range_piece(in.rows, i, pieces)),
                          dtr_view_rows(out, dtr_range_piece(out.rows, i, pieces)));
}

void dtr_emit_rest(struct dtr_builder *b, const struct dtr_block *block, struct dtr_view context,
                   struct dtr_view residual, struct dtr_view out) {
    const struct dtr_range heads = {0, block->heads}, columns = {0, block->intermediate};
    if (dtr_range_empty(context.rows))
        return;
    const struct dtr_view sum = dtr_buffer_view(b, "sum", out.rows, block->width);
    const struct dtr_view middle = dtr_buffer_view(b, "middle", out.rows, block->width);
    dtr_emit_projection(b, block, heads, context, sum);
    dtr_emit_add_norm(b, dtr_norm_key(block, DTR_WEIGHT_ATTENTION_NORM, 0, block->width), sum,
                      residual, middle);
    dtr_emit_feed_forward(b, block, columns, middle, sum);
    dtr_emit_add_norm(b, dtr_norm_key(block, DTR_WEIGHT_OUTPUT_NORM, 0, block->width), sum, middle,
                      out);
}

/* SPDX-License-Identifier: MIT
 *
 * exchange.c -- who has what, and collectives that move it.  Every device that has a part of what
 * another wants sends it straight there, unless the plan says otherwise: on a switch that loads
 * each port no more than a ring does, in one round instead of N - 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plan/assembly.h"
#include "plan/builder_memory.h"

bool dtr_rectangle_empty(struct dtr_rectangle rectangle) {
    return dtr_range_empty(rectangle.rows) || dtr_range_empty(rectangle.columns);
}

struct dtr_rectangle dtr_rectangle_intersect(struct dtr_rectangle a, struct dtr_rectangle b) {
    return (struct dtr_rectangle){dtr_range_intersect(a.rows, b.rows),
                                  dtr_range_intersect(a.columns, b.columns)};
}

static bool contains(struct dtr_rectangle outer, struct dtr_rectangle inner) {
    return outer.rows.begin <= inner.rows.begin && outer.rows.end >= inner.rows.end &&
           outer.columns.begin <= inner.columns.begin && outer.columns.end >= inner.columns.end;
}

/* --- who has what ----------------------------------------------------------------------------- */

static struct dtr_range slice_columns(const struct dtr_builder *b, const struct dtr_spread *spread,
                                      uint32_t division) {
    const uint32_t width = spread->columns / b->model->divisions;
    return (struct dtr_range){division * width, (division + 1) * width};
}

/* The index-th rectangle that the device has under the spread; false after the last. */
bool dtr_rectangle_held(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                        uint32_t *index, struct dtr_rectangle *rectangle) {
    const struct dtr_range rows = {0, b->rows}, columns = {0, spread->columns};
    if (spread->layout == DTR_LAYOUT_SLICES) {
        while (*index < b->model->divisions) {
            const uint32_t division = (*index)++;
            if (!dtr_plan_holds(b->plan, division, device))
                continue;
            *rectangle = (struct dtr_rectangle){rows, slice_columns(b, spread, division)};
            return true;
        }
        return false;
    }
    if ((*index)++)
        return false;
    *rectangle = (struct dtr_rectangle){rows, columns};
    if (spread->layout == DTR_LAYOUT_ROOT)
        return device == spread->root;
    if (spread->layout == DTR_LAYOUT_WHOLE)
        return dtr_takes(b, device);
    if (spread->layout == DTR_LAYOUT_ROWS) {
        rectangle->rows = dtr_part_rows(b, device);
    } else {
        const struct dtr_block block = dtr_original_block(b, b->layer);
        const struct dtr_range heads = dtr_part_heads(b, &b->taking, &block, device);
        rectangle->columns =
            (struct dtr_range){heads.begin * block.head_size, heads.end * block.head_size};
    }
    return !dtr_rectangle_empty(*rectangle);
}

/* What a spread gives each device follows from these. */
struct dtr_holders {
    enum dtr_layout layout;
    uint32_t root, rows;
    struct dtr_holders *next;
    uint8_t has[];
};

const uint8_t *dtr_holders_find(struct dtr_builder *b, const struct dtr_spread *spread) {
    for (const struct dtr_holders *known = b->holders; known; known = known->next)
        if (known->layout == spread->layout && known->root == spread->root &&
            known->rows == b->rows)
            return known->has;
    struct dtr_holders *holders = malloc(sizeof *holders + b->devices);
    if (!holders) {
        b->status = DTR_E_MEMORY;
        return NULL;
    }
    holders->layout = spread->layout;
    holders->root = spread->root;
    holders->rows = b->rows;
    holders->next = b->holders;
    b->holders = holders;
    for (uint32_t device = 0; device < b->devices; device++) {
        struct dtr_rectangle rectangle;
        uint32_t first = 0;
        holders->has[device] = dtr_rectangle_held(b, spread, device, &first, &rectangle);
    }
    return holders->has;
}

void dtr_holders_forget(struct dtr_builder *b) {
    while (b->holders) {
        struct dtr_holders *next = b->holders->next;
        free(b->holders);
        b->holders = next;
    }
}

/* Of what several devices have, each sends an equal share of the rows: narrows a held rectangle to
 * what this device is the source of. */
struct dtr_rectangle dtr_rectangle_of_source(struct dtr_builder *b, const struct dtr_spread *spread,
                                             uint32_t device, struct dtr_rectangle rectangle) {
    if (spread->layout != DTR_LAYOUT_SLICES && spread->layout != DTR_LAYOUT_WHOLE)
        return rectangle;
    const struct dtr_team *team =
        spread->layout == DTR_LAYOUT_WHOLE
            ? &b->taking
            : &b->sharing[rectangle.columns.begin / dtr_range_count(rectangle.columns)];
    rectangle.rows = dtr_range_piece(rectangle.rows, team->before[device], team->members);
    return rectangle;
}

/* The rows that travel in one tile from a device. */
struct dtr_range dtr_tile_rows(struct dtr_builder *b, const struct dtr_spread *from,
                               uint32_t device, uint32_t tile, uint32_t tiles) {
    const struct dtr_range rows =
        from->layout == DTR_LAYOUT_ROWS ? dtr_part_rows(b, device) : (struct dtr_range){0, b->rows};
    return dtr_range_piece(rows, tile, tiles);
}

/* This device's view of a rectangle that lies in one of its pieces. */
struct dtr_view dtr_rectangle_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                   struct dtr_rectangle rectangle) {
    const struct dtr_range rows = {0, b->rows};
    if (spread->layout != DTR_LAYOUT_SLICES) {
        struct dtr_view view = dtr_buffer_view(b, spread->name, rows, spread->columns);
        view.rows = rectangle.rows;
        view.columns = rectangle.columns;
        return view;
    }
    const uint32_t width = spread->columns / b->model->divisions;
    const uint32_t division = rectangle.columns.begin / width;
    char name[24];
    snprintf(name, sizeof name, "%s.%u", spread->name, division);
    struct dtr_view view = dtr_buffer_view(b, name, rows, width);
    view.rows = rectangle.rows;
    view.columns = (struct dtr_range){rectangle.columns.begin - division * width,
                                      rectangle.columns.end - division * width};
    return view;
}

struct dtr_view dtr_spread_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                uint32_t division) {
    const struct dtr_rectangle all = {{0, b->rows}, {0, spread->columns}};
    if (spread->layout != DTR_LAYOUT_SLICES)
        return dtr_rectangle_view(b, spread, all);
    return dtr_rectangle_view(b, spread,
                              (struct dtr_rectangle){all.rows, slice_columns(b, spread, division)});
}

struct dtr_spread dtr_hidden(const struct dtr_builder *b, enum dtr_layout layout) {
    return (struct dtr_spread){.layout = layout, .columns = b->model->hidden, .name = "x"};
}

/* --- exchanges -------------------------------------------------------------------------------- */

bool dtr_rectangle_is_held(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                           struct dtr_rectangle wanted) {
    struct dtr_rectangle held;
    for (uint32_t i = 0; dtr_rectangle_held(b, spread, device, &i, &held);)
        if (contains(held, wanted))
            return true;
    return false;
}

/* What `source` sends to `target`, added as seen from this device, which is one of the two. */
static void exchange_pair(struct dtr_assembly *a, const struct dtr_spread *from,
                          const struct dtr_spread *to, struct dtr_range rows, uint32_t source,
                          uint32_t target) {
    struct dtr_builder *b = a->b;
    const bool sends = source == b->device;
    struct dtr_rectangle have, want;
    dtr_assembly_next_message(a);
    for (uint32_t i = 0; dtr_rectangle_held(b, from, source, &i, &have);) {
        have = dtr_rectangle_of_source(b, from, source, have);
        have.rows = dtr_range_intersect(have.rows, rows);
        for (uint32_t j = 0; dtr_rectangle_held(b, to, target, &j, &want);) {
            const struct dtr_rectangle moved = dtr_rectangle_intersect(have, want);
            if (dtr_rectangle_empty(moved) || dtr_rectangle_is_held(b, from, target, moved))
                continue;
            dtr_assembly_add(a, sends ? DTR_MESSAGE_SEND : DTR_MESSAGE_RECEIVE,
                             sends ? target : source,
                             dtr_rectangle_view(b, sends ? from : to, moved));
        }
    }
}

/* What this device has and wants in another buffer. */
static void copy_held(struct dtr_builder *b, const struct dtr_spread *from,
                      const struct dtr_spread *to, struct dtr_range rows) {
    struct dtr_rectangle have, want;
    for (uint32_t i = 0; dtr_rectangle_held(b, from, b->device, &i, &have);) {
        have.rows = dtr_range_intersect(have.rows, rows);
        for (uint32_t j = 0; dtr_rectangle_held(b, to, b->device, &j, &want);) {
            const struct dtr_rectangle moved = dtr_rectangle_intersect(have, want);
            if (dtr_rectangle_empty(moved))
                continue;
            const struct dtr_view in = dtr_rectangle_view(b, from, moved),
                                  out = dtr_rectangle_view(b, to, moved);
            if (in.buffer != out.buffer)
                dtr_emit_copy(b, in, out);
        }
    }
}

/* What is computed by heads for those who want it by tokens is cut so that each of them gets a part
 * of its tokens with every tile. */
struct dtr_range dtr_pair_rows(struct dtr_builder *b, const struct dtr_spread *from,
                               uint32_t source, uint32_t target, uint32_t tile, uint32_t tiles) {
    return from->layout == DTR_LAYOUT_HEADS ? dtr_range_piece(dtr_part_rows(b, target), tile, tiles)
                                            : dtr_tile_rows(b, from, source, tile, tiles);
}

static void exchange_straight(struct dtr_assembly *a, const struct dtr_spread *from,
                              const struct dtr_spread *to, uint32_t tile, uint32_t tiles) {
    struct dtr_builder *b = a->b;
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t target = (b->device + step) % b->devices;
        exchange_pair(a, from, to, dtr_pair_rows(b, from, b->device, target, tile, tiles),
                      b->device, target);
    }
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t source = (b->device + b->devices - step) % b->devices;
        exchange_pair(a, from, to, dtr_pair_rows(b, from, source, b->device, tile, tiles), source,
                      b->device);
    }
}

int32_t dtr_emit_exchange(struct dtr_builder *b, enum dtr_collective_kind kind,
                          const struct dtr_spread *from, const struct dtr_spread *to, uint32_t tile,
                          uint32_t tiles) {
    struct dtr_assembly a = dtr_assembly_begin(b, kind, b->rows / tiles, from->columns);
    if (!dtr_relay_exchange(&a, from, to, tile, tiles))
        exchange_straight(&a, from, to, tile, tiles);
    const int32_t collective = dtr_assembly_end(&a);
    copy_held(b, from, to, dtr_pair_rows(b, from, b->device, b->device, tile, tiles));
    return collective;
}

int32_t dtr_emit_transfer(struct dtr_builder *b, uint32_t tag, struct dtr_view view, uint32_t from,
                          uint32_t to) {
    struct dtr_assembly a = {.b = b, .index = -1, .kind = DTR_TRANSFER, .tag = tag};
    if (from == to || (b->device != from && b->device != to))
        return -1;
    if (b->device == from)
        dtr_assembly_add(&a, DTR_MESSAGE_SEND, to, view);
    else
        dtr_assembly_add(&a, DTR_MESSAGE_RECEIVE, from, view);
    return dtr_assembly_end(&a);
}

enum dtr_collective_kind dtr_exchange_kind(enum dtr_layout from, enum dtr_layout to) {
    if (to == DTR_LAYOUT_ROOT)
        return DTR_GATHER;
    if (from == DTR_LAYOUT_ROOT)
        return to == DTR_LAYOUT_WHOLE ? DTR_BROADCAST : DTR_SCATTER;
    return to == DTR_LAYOUT_WHOLE ? DTR_ALL_GATHER : DTR_ALL_TO_ALL;
}

/* --- between groups --------------------------------------------------------------------------- */

/* A matrix product of fewer rows than this is bound by memory on most devices. */
enum { TILE_ROWS = 16 };

uint32_t dtr_builder_tiles(const struct dtr_builder *b, uint32_t rows) {
    const uint32_t most = rows / TILE_ROWS;
    return most < 1 ? 1 : most < b->plan->tiles ? most : b->plan->tiles;
}

void dtr_builder_result(struct dtr_builder *b, const struct dtr_spread *from, uint32_t tile,
                        uint32_t tiles) {
    /* A device without a part in the last group has not yet seen off what it sent for it. */
    if (tile == 0)
        dtr_builder_await_all(b);
    b->source = *from;
    b->target = b->next;
    b->tiles = tiles;
    b->arrived = false;
    b->pending[tile] = dtr_emit_exchange(b, dtr_exchange_kind(from->layout, b->next.layout), from,
                                         &b->next, tile, tiles);
}

uint32_t dtr_builder_await(struct dtr_builder *b, uint32_t tile, struct dtr_range *ranges) {
    dtr_emit_wait(b, b->pending[tile]);
    b->pending[tile] = -1;
    b->arrived = tile + 1 == b->tiles;
    uint32_t count = 0;
    if (b->source.layout != DTR_LAYOUT_ROWS) {
        ranges[count++] = dtr_tile_rows(b, &b->source, b->device, tile, b->tiles);
        return count;
    }
    for (uint32_t i = 0; i < b->devices; i++) {
        if (b->target.layout == DTR_LAYOUT_ROWS && i != b->device)
            continue;
        const struct dtr_range rows = dtr_tile_rows(b, &b->source, i, tile, b->tiles);
        if (dtr_range_empty(rows))
            continue;
        if (count && ranges[count - 1].end == rows.begin)
            ranges[count - 1].end = rows.end;
        else
            ranges[count++] = rows;
    }
    return count;
}

void dtr_builder_await_all(struct dtr_builder *b) {
    for (uint32_t tile = 0; tile < b->tiles && !b->arrived; tile++) {
        dtr_emit_wait(b, b->pending[tile]);
        b->pending[tile] = -1;
    }
    b->arrived = true;
}

static void inputs_of_rows(struct dtr_builder *b, const struct dtr_block *block,
                           struct dtr_range heads, struct dtr_view x) {
    if (dtr_range_empty(heads))
        return;
    if (dtr_selects(b, block))
        dtr_emit_key_value(b, block, heads, x);
    else
        dtr_emit_query_key_value(b, block, heads, x);
}

struct dtr_view dtr_emit_inputs(struct dtr_builder *b, const struct dtr_block *block,
                                struct dtr_range heads, struct dtr_view x) {
    if (b->arrived)
        inputs_of_rows(b, block, heads, x);
    for (uint32_t tile = 0; !b->arrived && !b->status; tile++) {
        const uint32_t count = dtr_builder_await(b, tile, b->ranges);
        for (uint32_t i = 0; i < count; i++)
            inputs_of_rows(b, block, heads, dtr_view_rows(x, b->ranges[i]));
    }
    if (!dtr_selects(b, block))
        return x;
    const struct dtr_view selected = dtr_emit_selected(b, x);
    b->rows = b->lowering->selected;
    if (!dtr_range_empty(heads))
        dtr_emit_query(b, block, heads, selected);
    return selected;
}

void dtr_builder_layer_done(struct dtr_builder *b, uint32_t layer,
                            const struct dtr_spread *spread) {
    if (!b->lowering->keep_layers)
        return;
    char name[24];
    snprintf(name, sizeof name, "layer.%u", layer);
    const struct dtr_spread kept = {
        .layout = DTR_LAYOUT_ROOT, .columns = spread->columns, .name = name};
    dtr_emit_wait(b, dtr_emit_exchange(b, DTR_GATHER, spread, &kept, 0, 1));
    if (b->device == 0)
        b->schedule->layer_output[layer] = dtr_spread_view(b, &kept, 0);
}

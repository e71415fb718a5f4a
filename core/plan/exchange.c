/* SPDX-License-Identifier: MIT
 *
 * exchange.c -- collectives as messages between pairs of devices.  Every device that has a piece
 * of what another wants sends it straight there: on a switch that loads each port no more than a
 * ring does, in one round instead of N - 1.
 */
#include <stdio.h>
#include <string.h>

#include "plan/builder_memory.h"

/* A rectangle of a whole matrix. */
struct piece {
    struct dtr_range rows, columns;
};

static bool piece_empty(struct piece piece) {
    return dtr_range_empty(piece.rows) || dtr_range_empty(piece.columns);
}

static struct piece piece_intersect(struct piece a, struct piece b) {
    return (struct piece){dtr_range_intersect(a.rows, b.rows),
                          dtr_range_intersect(a.columns, b.columns)};
}

static bool piece_contains(struct piece outer, struct piece inner) {
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
static bool held_piece(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                       uint32_t *index, struct piece *piece) {
    const struct dtr_range rows = {0, b->rows}, columns = {0, spread->columns};
    if (spread->layout == DTR_LAYOUT_SLICES) {
        while (*index < b->model->divisions) {
            const uint32_t division = (*index)++;
            if (!dtr_plan_holds(b->plan, division, device))
                continue;
            *piece = (struct piece){rows, slice_columns(b, spread, division)};
            return true;
        }
        return false;
    }
    if ((*index)++)
        return false;
    *piece = (struct piece){rows, columns};
    if (spread->layout == DTR_LAYOUT_ROOT)
        return device == spread->root;
    if (spread->layout == DTR_LAYOUT_WHOLE)
        return dtr_takes(b, device);
    if (spread->layout == DTR_LAYOUT_ROWS) {
        piece->rows = dtr_part_rows(b, device);
    } else {
        const struct dtr_block block = dtr_original_block(b, b->layer);
        const struct dtr_range heads = dtr_part_heads(b, &b->taking, &block, device);
        piece->columns =
            (struct dtr_range){heads.begin * block.head_size, heads.end * block.head_size};
    }
    return !piece_empty(*piece);
}

/* Of what several devices have, each sends an equal share of the rows: narrows a held piece to
 * what this device is the source of. */
static struct piece source_piece(struct dtr_builder *b, const struct dtr_spread *spread,
                                 uint32_t device, struct piece piece) {
    if (spread->layout != DTR_LAYOUT_SLICES && spread->layout != DTR_LAYOUT_WHOLE)
        return piece;
    const struct dtr_team *team =
        spread->layout == DTR_LAYOUT_WHOLE
            ? &b->taking
            : &b->sharing[piece.columns.begin / dtr_range_count(piece.columns)];
    piece.rows = dtr_range_piece(piece.rows, team->before[device], team->members);
    return piece;
}

/* The rows that travel in one tile from a device. */
static struct dtr_range tile_rows(struct dtr_builder *b, const struct dtr_spread *from,
                                  uint32_t device, uint32_t tile, uint32_t tiles) {
    const struct dtr_range rows =
        from->layout == DTR_LAYOUT_ROWS ? dtr_part_rows(b, device) : (struct dtr_range){0, b->rows};
    return dtr_range_piece(rows, tile, tiles);
}

/* This device's view of a rectangle that lies in one of its pieces. */
static struct dtr_view piece_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                  struct piece piece) {
    const struct dtr_range rows = {0, b->rows};
    if (spread->layout != DTR_LAYOUT_SLICES) {
        struct dtr_view view = dtr_buffer_view(b, spread->name, rows, spread->columns);
        view.rows = piece.rows;
        view.columns = piece.columns;
        return view;
    }
    const uint32_t width = spread->columns / b->model->divisions;
    const uint32_t division = piece.columns.begin / width;
    char name[24];
    snprintf(name, sizeof name, "%s.%u", spread->name, division);
    struct dtr_view view = dtr_buffer_view(b, name, rows, width);
    view.rows = piece.rows;
    view.columns = (struct dtr_range){piece.columns.begin - division * width,
                                      piece.columns.end - division * width};
    return view;
}

struct dtr_view dtr_spread_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                uint32_t division) {
    const struct piece all = {{0, b->rows}, {0, spread->columns}};
    if (spread->layout != DTR_LAYOUT_SLICES)
        return piece_view(b, spread, all);
    return piece_view(b, spread, (struct piece){all.rows, slice_columns(b, spread, division)});
}

struct dtr_spread dtr_hidden(const struct dtr_builder *b, enum dtr_layout layout) {
    return (struct dtr_spread){.layout = layout, .columns = b->model->hidden, .name = "x"};
}

/* --- collectives under construction ----------------------------------------------------------- */

/* Collects the messages of one collective; the collective itself is only made with the first. */
struct assembly {
    struct dtr_builder *b;
    int32_t index;
    enum dtr_collective_kind kind;
    uint32_t tag;
    uint8_t round;
    struct dtr_message *message; /* the one that views are being added to */
};

static struct assembly assembly_begin(struct dtr_builder *b, enum dtr_collective_kind kind) {
    return (struct assembly){.b = b, .index = -1, .kind = kind, .tag = b->next_tag++};
}

static void assembly_next_message(struct assembly *a) {
    a->message = NULL;
}

static void assembly_add(struct assembly *a, enum dtr_message_kind kind, uint32_t peer,
                         struct dtr_view view) {
    struct dtr_builder *b = a->b;
    struct dtr_schedule *schedule = b->schedule;
    if (a->index < 0) {
        struct dtr_collective *collective = dtr_new_collective(b, &a->index);
        if (!collective)
            return;
        *collective = (struct dtr_collective){
            .kind = (uint8_t)a->kind,
            .wire = b->wire,
            .layer = b->layer,
            .tag = a->tag,
            .message = schedule->messages_count,
        };
    }
    if (!a->message) {
        a->message = dtr_new_message(b);
        if (!a->message)
            return;
        a->message->kind = (uint8_t)kind;
        a->message->round = a->round;
        a->message->peer = peer;
        a->message->view = schedule->views_count;
        struct dtr_collective *collective = &schedule->collectives[a->index];
        collective->messages++;
        collective->rounds = (uint8_t)(a->round + 1);
    }
    struct dtr_view *slot = dtr_new_view(b);
    if (!slot)
        return;
    *slot = view;
    a->message->views++;
    a->message->rows += dtr_range_count(view.rows);
    a->message->values += (uint64_t)dtr_range_count(view.rows) * dtr_range_count(view.columns);
}

static int32_t assembly_end(struct assembly *a) {
    if (a->index < 0 || a->b->status)
        return -1;
    struct dtr_step *step = dtr_new_step(a->b, DTR_STEP_START);
    if (step)
        step->collective = a->index;
    return a->index;
}

void dtr_emit_wait(struct dtr_builder *b, int32_t collective) {
    if (collective < 0)
        return;
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_WAIT);
    if (step)
        step->collective = collective;
}

/* --- exchanges -------------------------------------------------------------------------------- */

static bool holds(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                  struct piece wanted) {
    struct piece held;
    for (uint32_t i = 0; held_piece(b, spread, device, &i, &held);)
        if (piece_contains(held, wanted))
            return true;
    return false;
}

/* What `source` sends to `target`, added as seen from this device, which is one of the two. */
static void exchange_pair(struct assembly *a, const struct dtr_spread *from,
                          const struct dtr_spread *to, struct dtr_range rows, uint32_t source,
                          uint32_t target) {
    struct dtr_builder *b = a->b;
    const bool sends = source == b->device;
    struct piece have, want;
    assembly_next_message(a);
    for (uint32_t i = 0; held_piece(b, from, source, &i, &have);) {
        have = source_piece(b, from, source, have);
        have.rows = dtr_range_intersect(have.rows, rows);
        for (uint32_t j = 0; held_piece(b, to, target, &j, &want);) {
            const struct piece moved = piece_intersect(have, want);
            if (piece_empty(moved) || holds(b, from, target, moved))
                continue;
            assembly_add(a, sends ? DTR_MESSAGE_SEND : DTR_MESSAGE_RECEIVE, sends ? target : source,
                         piece_view(b, sends ? from : to, moved));
        }
    }
}

/* What this device has and wants in another buffer. */
static void copy_held(struct dtr_builder *b, const struct dtr_spread *from,
                      const struct dtr_spread *to, struct dtr_range rows) {
    struct piece have, want;
    for (uint32_t i = 0; held_piece(b, from, b->device, &i, &have);) {
        have.rows = dtr_range_intersect(have.rows, rows);
        for (uint32_t j = 0; held_piece(b, to, b->device, &j, &want);) {
            const struct piece moved = piece_intersect(have, want);
            if (piece_empty(moved))
                continue;
            const struct dtr_view in = piece_view(b, from, moved), out = piece_view(b, to, moved);
            if (in.buffer != out.buffer)
                dtr_emit_copy(b, in, out);
        }
    }
}

/* The rows that travel in one tile between two devices.  What is computed by heads for those who
 * want it by tokens is cut so that each of them gets a part of its tokens with every tile. */
static struct dtr_range pair_rows(struct dtr_builder *b, const struct dtr_spread *from,
                                  uint32_t source, uint32_t target, uint32_t tile, uint32_t tiles) {
    return from->layout == DTR_LAYOUT_HEADS ? dtr_range_piece(dtr_part_rows(b, target), tile, tiles)
                                            : tile_rows(b, from, source, tile, tiles);
}

int32_t dtr_emit_exchange(struct dtr_builder *b, enum dtr_collective_kind kind,
                          const struct dtr_spread *from, const struct dtr_spread *to, uint32_t tile,
                          uint32_t tiles) {
    struct assembly a = assembly_begin(b, kind);
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t target = (b->device + step) % b->devices;
        exchange_pair(&a, from, to, pair_rows(b, from, b->device, target, tile, tiles), b->device,
                      target);
    }
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t source = (b->device + b->devices - step) % b->devices;
        exchange_pair(&a, from, to, pair_rows(b, from, source, b->device, tile, tiles), source,
                      b->device);
    }
    const int32_t collective = assembly_end(&a);
    copy_held(b, from, to, pair_rows(b, from, b->device, b->device, tile, tiles));
    return collective;
}

int32_t dtr_emit_transfer(struct dtr_builder *b, uint32_t tag, struct dtr_view view, uint32_t from,
                          uint32_t to) {
    struct assembly a = {.b = b, .index = -1, .kind = DTR_TRANSFER, .tag = tag};
    if (from == to || (b->device != from && b->device != to))
        return -1;
    if (b->device == from)
        assembly_add(&a, DTR_MESSAGE_SEND, to, view);
    else
        assembly_add(&a, DTR_MESSAGE_RECEIVE, from, view);
    return assembly_end(&a);
}

enum dtr_collective_kind dtr_exchange_kind(enum dtr_layout from, enum dtr_layout to) {
    if (to == DTR_LAYOUT_ROOT)
        return DTR_GATHER;
    if (from == DTR_LAYOUT_ROOT)
        return to == DTR_LAYOUT_WHOLE ? DTR_BROADCAST : DTR_SCATTER;
    return to == DTR_LAYOUT_WHOLE ? DTR_ALL_GATHER : DTR_ALL_TO_ALL;
}

/* --- sums ------------------------------------------------------------------------------------- */

/* A member's even share of the rows, in which it does the sums. */
static struct dtr_range member_rows(const struct dtr_team *team, uint32_t device,
                                    struct dtr_range rows) {
    if (!team->member[device])
        return (struct dtr_range){0, 0};
    return dtr_range_piece(rows, team->before[device], team->members);
}

/* Messages that bring every contribution to `mine`; the first replaces what is there when this
 * device has none of its own. */
static void receive_sums(struct assembly *a, const struct dtr_range *part, struct dtr_view mine) {
    struct dtr_builder *b = a->b;
    bool replace = dtr_range_empty(part[b->device]);
    for (uint32_t i = 0; i < b->devices; i++) {
        if (i == b->device || dtr_range_empty(part[i]) || dtr_range_empty(mine.rows))
            continue;
        assembly_next_message(a);
        assembly_add(a, replace ? DTR_MESSAGE_RECEIVE : DTR_MESSAGE_REDUCE, i, mine);
        replace = false;
    }
}

int32_t dtr_emit_all_reduce(struct dtr_builder *b, const struct dtr_team *team,
                            const struct dtr_range *part, struct dtr_view view) {
    struct assembly a = assembly_begin(b, DTR_ALL_REDUCE);
    if (!team->member[b->device])
        return -1;
    const struct dtr_view mine = dtr_view_rows(view, member_rows(team, b->device, view.rows));
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        const struct dtr_range theirs = member_rows(team, peer, view.rows);
        assembly_next_message(&a);
        if (!dtr_range_empty(theirs) && !dtr_range_empty(part[b->device]))
            assembly_add(&a, DTR_MESSAGE_SEND, peer, dtr_view_rows(view, theirs));
    }
    receive_sums(&a, part, mine);
    a.round = 1;
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        assembly_next_message(&a);
        if (team->member[peer] && !dtr_range_empty(mine.rows))
            assembly_add(&a, DTR_MESSAGE_SEND, peer, mine);
    }
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + b->devices - step) % b->devices;
        const struct dtr_range theirs = member_rows(team, peer, view.rows);
        assembly_next_message(&a);
        if (!dtr_range_empty(theirs))
            assembly_add(&a, DTR_MESSAGE_RECEIVE, peer, dtr_view_rows(view, theirs));
    }
    return assembly_end(&a);
}

int32_t dtr_emit_reduce_scatter(struct dtr_builder *b, const struct dtr_range *part,
                                struct dtr_view partial, const struct dtr_spread *to) {
    struct assembly a = assembly_begin(b, DTR_REDUCE_SCATTER);
    const bool contributes = !dtr_range_empty(part[b->device]);
    struct piece piece;
    for (uint32_t i = 0; contributes && held_piece(b, to, b->device, &i, &piece);) {
        struct dtr_view in = partial;
        in.rows = piece.rows;
        in.columns = piece.columns;
        const struct dtr_view out = piece_view(b, to, piece);
        if (in.buffer != out.buffer)
            dtr_emit_copy(b, in, out);
    }
    for (uint32_t step = 1; contributes && step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        assembly_next_message(&a);
        for (uint32_t i = 0; held_piece(b, to, peer, &i, &piece);) {
            struct dtr_view view = partial;
            view.rows = piece.rows;
            view.columns = piece.columns;
            assembly_add(&a, DTR_MESSAGE_SEND, peer, view);
        }
    }
    bool replace = !contributes;
    for (uint32_t i = 0; i < b->devices; i++) {
        if (i == b->device || dtr_range_empty(part[i]))
            continue;
        assembly_next_message(&a);
        for (uint32_t j = 0; held_piece(b, to, b->device, &j, &piece);)
            assembly_add(&a, replace ? DTR_MESSAGE_RECEIVE : DTR_MESSAGE_REDUCE, i,
                         piece_view(b, to, piece));
        replace = false;
    }
    return assembly_end(&a);
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
        ranges[count++] = tile_rows(b, &b->source, b->device, tile, b->tiles);
        return count;
    }
    for (uint32_t i = 0; i < b->devices; i++) {
        if (b->target.layout == DTR_LAYOUT_ROWS && i != b->device)
            continue;
        const struct dtr_range rows = tile_rows(b, &b->source, i, tile, b->tiles);
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

/* SPDX-License-Identifier: MIT
 *
 * relay.c -- collectives that go by the routes of an algorithm instead of straight.  What is the
 * same for all who want it (an all-gather, a broadcast) is kept where it passes; what is for one
 * alone passes through buffers of its own; sums run the routes backwards and grow on the way,
 * unless everything is exchanged.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plan/assembly.h"
#include "plan/legs.h"

/* The devices that take part in one collective. */
struct relay {
    struct dtr_assembly *a;
    enum dtr_algorithm route;
    uint32_t *devices; /* [count] by place */
    uint32_t count, me;
};

static bool relay_begin(struct relay *relay, struct dtr_assembly *a) {
    *relay = (struct relay){.a = a, .me = DTR_NO_PLACE};
    relay->devices = malloc(a->b->devices * sizeof *relay->devices);
    if (!relay->devices)
        a->b->status = DTR_E_MEMORY;
    return relay->devices != NULL;
}

static void relay_end(struct relay *relay) {
    free(relay->devices);
}

/* Which way, now that all have joined: false where it is straight, or nothing is to be done. */
static bool relay_choose(struct relay *relay, bool possible, bool any_number) {
    relay->route = dtr_assembly_algorithm(relay->a, relay->count, possible, any_number);
    return relay->route != DTR_DIRECT;
}

static void relay_join(struct relay *relay, uint32_t device) {
    if (device == relay->a->b->device)
        relay->me = relay->count;
    relay->devices[relay->count++] = device;
}

/* Calls `add` for every leg, with a message for each round, direction and peer. */
static void emit_legs(struct relay *relay, enum dtr_pattern pattern, uint32_t first_round,
                      void (*add)(struct relay *relay, const struct dtr_leg *leg, void *arg),
                      void *arg) {
    const struct dtr_legs *legs =
        dtr_legs_find(relay->a->b, pattern, relay->route, relay->count, relay->me);
    for (uint32_t i = 0; legs && i < legs->count; i++) {
        const struct dtr_leg *leg = &legs->leg[i], *last = i ? leg - 1 : NULL;
        if (!last || last->round != leg->round || last->sends != leg->sends ||
            last->peer != leg->peer)
            dtr_assembly_next_message(relay->a);
        relay->a->round = (uint16_t)(first_round + leg->round);
        add(relay, leg, arg);
    }
}

static void add_view(struct relay *relay, const struct dtr_leg *leg, bool adds,
                     struct dtr_view view) {
    dtr_assembly_add(relay->a,
                     leg->sends ? DTR_MESSAGE_SEND
                     : adds     ? DTR_MESSAGE_REDUCE
                                : DTR_MESSAGE_RECEIVE,
                     relay->devices[leg->peer], view);
}

/* Rows by share follow one another, so that what several places have of them is one rectangle: the
 * end of those from `first` that are taken together.  What is this device's own stays apart. */
static uint32_t run_end(const struct relay *relay, const struct dtr_spread *spread, uint32_t tiles,
                        uint32_t first, uint32_t end) {
    if (spread->layout != DTR_LAYOUT_ROWS || tiles > 1 || first == relay->me)
        return first + 1;
    return first < relay->me && relay->me < end ? relay->me : end;
}

/* What the places of such a run have. */
static struct dtr_rectangle run_rectangle(const struct relay *relay,
                                          const struct dtr_spread *spread, uint32_t first,
                                          uint32_t end) {
    struct dtr_builder *b = relay->a->b;
    return (struct dtr_rectangle){
        .rows = {dtr_part_rows(b, relay->devices[first]).begin,
                 dtr_part_rows(b, relay->devices[end - 1]).end},
        .columns = {0, spread->columns},
    };
}

/* --- exchanges -------------------------------------------------------------------------------- */

struct exchange {
    const struct dtr_spread *from, *to;
    uint32_t tile, tiles;
};

/* The index-th rectangle that a device is the source of, in those rows; false after the last. */
static bool source_piece(struct dtr_builder *b, const struct exchange *exchange, uint32_t device,
                         struct dtr_range rows, uint32_t *index, struct dtr_rectangle *piece) {
    if (!dtr_rectangle_held(b, exchange->from, device, index, piece))
        return false;
    *piece = dtr_rectangle_of_source(b, exchange->from, device, *piece);
    piece->rows = dtr_range_intersect(piece->rows, rows);
    return true;
}

/* A rectangle that lies on one device, or that several have together. */
static void add_piece(struct relay *relay, const struct dtr_leg *leg,
                      const struct exchange *exchange, struct dtr_rectangle piece) {
    struct dtr_builder *b = relay->a->b;
    const uint32_t receiver = leg->sends ? relay->devices[leg->peer] : b->device;
    if (dtr_rectangle_empty(piece) || dtr_rectangle_is_held(b, exchange->from, receiver, piece))
        return;
    const bool own = dtr_rectangle_is_held(b, exchange->from, b->device, piece);
    add_view(relay, leg, false, dtr_rectangle_view(b, own ? exchange->from : exchange->to, piece));
}

/* What places in a row have: slice after slice, so that the rows of one slice follow one another.
 */
static void add_pieces(struct relay *relay, const struct dtr_leg *leg,
                       const struct exchange *exchange, uint32_t first, uint32_t end) {
    struct dtr_builder *b = relay->a->b;
    const uint32_t pieces = exchange->from->layout == DTR_LAYOUT_SLICES ? b->model->divisions : 1;
    for (uint32_t i = 0; i < pieces; i++)
        for (uint32_t place = first; place < end; place++) {
            const uint32_t source = relay->devices[place];
            const struct dtr_range rows =
                dtr_tile_rows(b, exchange->from, source, exchange->tile, exchange->tiles);
            struct dtr_rectangle piece;
            uint32_t next = i;
            if (source_piece(b, exchange, source, rows, &next, &piece) && next == i + 1)
                add_piece(relay, leg, exchange, piece);
        }
}

static void add_shared(struct relay *relay, const struct dtr_leg *leg, void *arg) {
    const struct exchange *exchange = arg;
    const struct dtr_spread *from = exchange->from;
    const uint32_t last = leg->source + leg->run;
    if (from->layout == DTR_LAYOUT_SLICES) {
        add_pieces(relay, leg, exchange, leg->source, last);
        return;
    }
    for (uint32_t first = leg->source, end; first < last; first = end) {
        end = run_end(relay, from, exchange->tiles, first, last);
        if (end > first + 1)
            add_piece(relay, leg, exchange, run_rectangle(relay, from, first, end));
        else
            add_pieces(relay, leg, exchange, first, end);
    }
}

/* Where what is for others waits between two hops. */
static struct dtr_view passing_view(struct dtr_builder *b, const struct dtr_spread *to,
                                    const struct dtr_leg *leg, uint32_t index,
                                    struct dtr_rectangle piece) {
    char name[48];
    snprintf(name, sizeof name, "pass.%s.%u.%u.%u", to->name, leg->source, leg->target, index);
    return dtr_buffer_view(b, name, piece.rows, dtr_range_count(piece.columns));
}

static void add_private(struct relay *relay, const struct dtr_leg *leg, void *arg) {
    const struct exchange *exchange = arg;
    struct dtr_builder *b = relay->a->b;
    const uint32_t source = relay->devices[leg->source], target = relay->devices[leg->target];
    const struct dtr_range rows =
        dtr_pair_rows(b, exchange->from, source, target, exchange->tile, exchange->tiles);
    struct dtr_rectangle have, want;
    uint32_t index = 0;
    for (uint32_t i = 0; source_piece(b, exchange, source, rows, &i, &have);)
        for (uint32_t j = 0; dtr_rectangle_held(b, exchange->to, target, &j, &want); index++) {
            const struct dtr_rectangle moved = dtr_rectangle_intersect(have, want);
            if (dtr_rectangle_empty(moved) ||
                dtr_rectangle_is_held(b, exchange->from, target, moved))
                continue;
            add_view(relay, leg, false,
                     leg->source == relay->me   ? dtr_rectangle_view(b, exchange->from, moved)
                     : leg->target == relay->me ? dtr_rectangle_view(b, exchange->to, moved)
                                                : passing_view(b, exchange->to, leg, index, moved));
        }
}

/* Who has or wants anything; whether all of them want all of it, but for a sole source. */
static bool join_exchange(struct relay *relay, const struct exchange *exchange) {
    struct dtr_builder *b = relay->a->b;
    const uint8_t *has = dtr_holders_find(b, exchange->from);
    const uint8_t *wants = dtr_holders_find(b, exchange->to);
    uint32_t sources = 0, others = 0;
    for (uint32_t device = 0; has && wants && device < b->devices; device++) {
        if (has[device] || wants[device])
            relay_join(relay, device);
        sources += has[device];
        others += has[device] && !wants[device];
    }
    return exchange->to->layout == DTR_LAYOUT_WHOLE && (!others || sources == 1);
}

bool dtr_relay_exchange(struct dtr_assembly *a, const struct dtr_spread *from,
                        const struct dtr_spread *to, uint32_t tile, uint32_t tiles) {
    struct exchange exchange = {from, to, tile, tiles};
    struct relay relay;
    if (!relay_begin(&relay, a))
        return false;
    const bool shared = join_exchange(&relay, &exchange);
    const bool routed = relay_choose(&relay, true, false);
    if (routed && relay.me != DTR_NO_PLACE)
        emit_legs(&relay, shared ? DTR_LEGS_TO_ALL : DTR_LEGS_OF_PAIRS, 0,
                  shared ? add_shared : add_private, &exchange);
    relay_end(&relay);
    return routed;
}

/* --- sums ------------------------------------------------------------------------------------- */

struct sum {
    struct dtr_view partial;
    const struct dtr_spread *to;
};

static void add_sum(struct relay *relay, const struct dtr_leg *leg, const struct sum *sum, bool own,
                    struct dtr_rectangle piece) {
    struct dtr_view view = sum->partial;
    view.rows = piece.rows;
    view.columns = piece.columns;
    add_view(relay, leg, true, own ? dtr_rectangle_view(relay->a->b, sum->to, piece) : view);
}

static void add_scattered(struct relay *relay, const struct dtr_leg *leg, void *arg) {
    const struct sum *sum = arg;
    const uint32_t last = leg->target + leg->run;
    for (uint32_t first = leg->target, end; first < last; first = end) {
        struct dtr_rectangle piece;
        end = run_end(relay, sum->to, 1, first, last);
        if (end > first + 1) {
            piece = run_rectangle(relay, sum->to, first, end);
            if (!dtr_rectangle_empty(piece))
                add_sum(relay, leg, sum, false, piece);
            continue;
        }
        for (uint32_t i = 0;
             dtr_rectangle_held(relay->a->b, sum->to, relay->devices[first], &i, &piece);)
            add_sum(relay, leg, sum, first == relay->me, piece);
    }
}

bool dtr_relay_reduce_scatter(struct dtr_assembly *a, const struct dtr_range *part,
                              struct dtr_view partial, const struct dtr_spread *to) {
    struct dtr_builder *b = a->b;
    struct sum sum = {partial, to};
    struct relay relay;
    bool all_add = true;
    const uint8_t *takes = dtr_holders_find(b, to);
    if (!takes || !relay_begin(&relay, a))
        return false;
    for (uint32_t device = 0; device < b->devices; device++) {
        const bool adds = !dtr_range_empty(part[device]);
        if (!adds && !takes[device])
            continue;
        all_add &= adds;
        relay_join(&relay, device);
    }
    /* A device that adds nothing has nothing to add to. */
    const bool routed = relay_choose(&relay, all_add, false);
    if (routed && relay.me != DTR_NO_PLACE && relay.count > 1)
        emit_legs(&relay, DTR_LEGS_OF_SUMS, 0, add_scattered, &sum);
    relay_end(&relay);
    return routed;
}

/* Which rows of the sum are a place's: an even part, or all for the first. */
struct share {
    struct dtr_view view;
    bool adds;
    uint32_t parts;
};

static void add_share(struct relay *relay, const struct dtr_leg *leg, void *arg) {
    const struct share *share = arg;
    const uint32_t first = share->adds ? leg->target : leg->source;
    if (first >= share->parts)
        return;
    const uint32_t end = first + leg->run < share->parts ? first + leg->run : share->parts;
    const struct dtr_range rows = {
        dtr_range_piece(share->view.rows, first, share->parts).begin,
        dtr_range_piece(share->view.rows, end - 1, share->parts).end,
    };
    if (!dtr_range_empty(rows))
        add_view(relay, leg, share->adds, dtr_view_rows(share->view, rows));
}

/* Rabenseifner's way (ICCS 2004), by any route: everybody sums up a part, and gives it to all. */
static void sum_parts(struct relay *relay, struct dtr_view view) {
    const bool star = relay->route == DTR_STAR;
    struct share share = {.view = view, .adds = true, .parts = star ? 1 : relay->count};
    /* All goes to the first and back. */
    if (star)
        relay->route = DTR_DIRECT;
    emit_legs(relay, DTR_LEGS_OF_SUMS, 0, add_share, &share);
    share.adds = false;
    emit_legs(relay, DTR_LEGS_TO_ALL, dtr_route_rounds(relay->route, relay->count), add_share,
              &share);
}

static void add_all(struct relay *relay, const struct dtr_leg *leg, void *arg) {
    const struct dtr_view *view = arg;
    /* By doubling the last ones, who have no partner, are given the result. */
    add_view(relay, leg, leg->target != DTR_NO_PLACE, *view);
}

/* Where some have nothing to add, and nothing to add to: straight to those who sum up, and from
 * them by the route. */
static void sum_of_some(struct relay *relay, const struct dtr_team *team,
                        const struct dtr_range *part, struct dtr_view view) {
    struct share share = {.view = view, .parts = relay->count};
    dtr_sum_to_members(relay->a, team, part, view);
    emit_legs(relay, DTR_LEGS_TO_ALL, 1, add_share, &share);
}

bool dtr_relay_all_reduce(struct dtr_assembly *a, const struct dtr_team *team,
                          const struct dtr_range *part, struct dtr_view view) {
    const bool insists = dtr_ways_insist_on(a->b->ways, a->kind);
    struct relay relay;
    bool all_add = true;
    if (!relay_begin(&relay, a))
        return false;
    for (uint32_t device = 0; device < a->b->devices; device++)
        if (team->member[device]) {
            all_add &= !dtr_range_empty(part[device]);
            relay_join(&relay, device);
        }
    const bool some = !all_add && !insists;
    const bool routed = relay_choose(&relay, all_add || some, all_add);
    if (routed && relay.count > 1) {
        if (some)
            sum_of_some(&relay, team, part, view);
        else if (relay.route == DTR_DOUBLING)
            emit_legs(&relay, DTR_LEGS_DOUBLING, 0, add_all, &view);
        else if (relay.route == DTR_ONE_SHOT)
            emit_legs(&relay, DTR_LEGS_TO_ALL, 0, add_all, &view);
        else
            sum_parts(&relay, view);
    }
    relay_end(&relay);
    return routed;
}

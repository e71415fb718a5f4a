/* SPDX-License-Identifier: MIT
 *
 * relay.c -- collectives that go by the routes of an algorithm instead of straight.  What is the
 * same for all who want it (an all-gather, a broadcast) is kept where it passes; what is for one
 * alone passes through buffers of its own; sums run the routes backwards and grow on the way.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plan/assembly.h"
#include "plan/builder_memory.h"

/* One hop, of which this device is an end, of what goes from a source to a target. */
struct leg {
    uint32_t round, distance, peer; /* the peer's place, and how far it is */
    uint32_t source, target;        /* places */
    bool sends;
};

/* The devices that take part in one collective, and the hops of this one. */
struct relay {
    struct dtr_assembly *a;
    enum dtr_algorithm route;
    uint32_t *devices; /* [count] by place */
    uint32_t count, me;
    struct leg *legs;
    uint32_t legs_count, legs_capacity;
};

static bool relay_begin(struct relay *relay, struct dtr_assembly *a) {
    *relay = (struct relay){.a = a, .me = UINT32_MAX};
    relay->devices = malloc(a->b->devices * sizeof *relay->devices);
    if (!relay->devices)
        a->b->status = DTR_E_MEMORY;
    return relay->devices != NULL;
}

static void relay_end(struct relay *relay) {
    free(relay->devices);
    free(relay->legs);
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

static void add_leg(struct relay *relay, uint32_t round, bool sends, uint32_t peer, uint32_t source,
                    uint32_t target) {
    if (relay->legs_count == relay->legs_capacity) {
        const uint32_t capacity = relay->legs_capacity ? 2 * relay->legs_capacity : 64;
        struct leg *larger = realloc(relay->legs, capacity * sizeof *larger);
        if (!larger) {
            relay->a->b->status = DTR_E_MEMORY;
            return;
        }
        relay->legs = larger;
        relay->legs_capacity = capacity;
    }
    const uint32_t far = sends ? peer + relay->count - relay->me : relay->me + relay->count - peer;
    relay->legs[relay->legs_count++] =
        (struct leg){round, far % relay->count, peer, source, target, sends};
}

static int order(uint32_t a, uint32_t b) {
    return (a > b) - (a < b);
}

/* What goes together comes together, in an order that both ends know. */
static int compare_legs(const void *first, const void *second) {
    const struct leg *a = first, *b = second;
    if (a->round != b->round)
        return order(a->round, b->round);
    if (a->sends != b->sends)
        return a->sends ? -1 : 1;
    if (a->distance != b->distance)
        return order(a->distance, b->distance);
    return a->source != b->source ? order(a->source, b->source) : order(a->target, b->target);
}

/* Calls `add` for every leg, with a message for each round, direction and peer. */
static void emit_legs(struct relay *relay, uint32_t first_round,
                      void (*add)(struct relay *relay, const struct leg *leg, void *arg),
                      void *arg) {
    if (relay->a->b->status)
        return;
    if (relay->legs_count)
        qsort(relay->legs, relay->legs_count, sizeof *relay->legs, compare_legs);
    for (uint32_t i = 0; i < relay->legs_count; i++) {
        const struct leg *leg = &relay->legs[i], *last = i ? leg - 1 : NULL;
        if (!last || last->round != leg->round || last->sends != leg->sends ||
            last->peer != leg->peer)
            dtr_assembly_next_message(relay->a);
        relay->a->round = (uint16_t)(first_round + leg->round);
        add(relay, leg, arg);
    }
    relay->legs_count = 0;
}

static void add_view(struct relay *relay, const struct leg *leg, bool adds, struct dtr_view view) {
    dtr_assembly_add(relay->a,
                     leg->sends ? DTR_MESSAGE_SEND
                     : adds     ? DTR_MESSAGE_REDUCE
                                : DTR_MESSAGE_RECEIVE,
                     relay->devices[leg->peer], view);
}

/* --- routes ----------------------------------------------------------------------------------- */

/* What this device passes on to each of its neighbours, of what comes from every source. */
static void legs_onward(struct relay *relay) {
    const bool relays = dtr_route_relays(relay->route);
    uint32_t to;
    for (uint32_t i = 0; dtr_route_onward(relay->route, relay->count, relay->me, i, &to); i++)
        for (uint32_t n = 0; n < (relays ? relay->count : 1); n++) {
            const uint32_t source = relays ? n : relay->me;
            if (source == to)
                continue;
            const struct dtr_hop hop = dtr_route_hop(relay->route, relay->count, source, to);
            if (hop.from == relay->me)
                add_leg(relay, hop.round, true, to, source, to);
        }
}

/* From every source to everybody. */
static void legs_to_all(struct relay *relay) {
    legs_onward(relay);
    for (uint32_t source = 0; source < relay->count; source++) {
        if (source == relay->me)
            continue;
        const struct dtr_hop hop = dtr_route_hop(relay->route, relay->count, source, relay->me);
        add_leg(relay, hop.round, false, hop.from, source, relay->me);
    }
}

/* From one source to one target, along the whole route. */
static void legs_between(struct relay *relay, uint32_t source, uint32_t target) {
    for (uint32_t to = target; to != source;) {
        const struct dtr_hop hop = dtr_route_hop(relay->route, relay->count, source, to);
        if (hop.from == relay->me)
            add_leg(relay, hop.round, true, to, source, target);
        if (to == relay->me)
            add_leg(relay, hop.round, false, hop.from, source, target);
        to = hop.from;
    }
}

static void legs_of_pairs(struct relay *relay) {
    const bool relays = dtr_route_relays(relay->route);
    for (uint32_t source = 0; source < relay->count; source++)
        for (uint32_t target = 0; target < relay->count; target++)
            if (source != target && (relays || source == relay->me || target == relay->me))
                legs_between(relay, source, target);
}

/* A place as seen in a mirror. */
static uint32_t mirrored(const struct relay *relay, uint32_t place) {
    return (relay->count - place) % relay->count;
}

/* To every target from everybody: the routes from it, backwards.  Mirrored, so that sums go round
 * the same way as everything else: whoever begins the next collective early sends to a neighbour
 * that nobody else is sending to. */
static void legs_of_sums(struct relay *relay) {
    const uint32_t last = dtr_route_rounds(relay->route, relay->count) - 1;
    relay->me = mirrored(relay, relay->me);
    legs_to_all(relay);
    relay->me = mirrored(relay, relay->me);
    for (uint32_t i = 0; i < relay->legs_count; i++) {
        struct leg *leg = &relay->legs[i];
        *leg = (struct leg){
            .round = last - leg->round,
            .distance = leg->distance,
            .peer = mirrored(relay, leg->peer),
            .source = mirrored(relay, leg->target),
            .target = mirrored(relay, leg->source),
            .sends = !leg->sends,
        };
    }
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

static void add_shared(struct relay *relay, const struct leg *leg, void *arg) {
    const struct exchange *exchange = arg;
    struct dtr_builder *b = relay->a->b;
    const uint32_t receiver = leg->sends ? relay->devices[leg->peer] : b->device;
    const uint32_t source = relay->devices[leg->source];
    const struct dtr_range rows =
        dtr_tile_rows(b, exchange->from, source, exchange->tile, exchange->tiles);
    struct dtr_rectangle piece;
    for (uint32_t i = 0; source_piece(b, exchange, source, rows, &i, &piece);) {
        if (dtr_rectangle_empty(piece) || dtr_rectangle_is_held(b, exchange->from, receiver, piece))
            continue;
        const bool own = dtr_rectangle_is_held(b, exchange->from, b->device, piece);
        add_view(relay, leg, false,
                 dtr_rectangle_view(b, own ? exchange->from : exchange->to, piece));
    }
}

/* Where what is for others waits between two hops. */
static struct dtr_view passing_view(struct dtr_builder *b, const struct dtr_spread *to,
                                    const struct leg *leg, uint32_t index,
                                    struct dtr_rectangle piece) {
    char name[48];
    snprintf(name, sizeof name, "pass.%s.%u.%u.%u", to->name, leg->source, leg->target, index);
    return dtr_buffer_view(b, name, piece.rows, dtr_range_count(piece.columns));
}

static void add_private(struct relay *relay, const struct leg *leg, void *arg) {
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
    uint32_t sources = 0, others = 0;
    for (uint32_t device = 0; device < b->devices; device++) {
        struct dtr_rectangle piece;
        uint32_t i = 0, j = 0;
        const bool has = dtr_rectangle_held(b, exchange->from, device, &i, &piece);
        const bool wants = dtr_rectangle_held(b, exchange->to, device, &j, &piece);
        if (has || wants)
            relay_join(relay, device);
        sources += has;
        others += has && !wants;
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
    if (routed && relay.me != UINT32_MAX) {
        if (shared)
            legs_to_all(&relay);
        else
            legs_of_pairs(&relay);
        emit_legs(&relay, 0, shared ? add_shared : add_private, &exchange);
    }
    relay_end(&relay);
    return routed;
}

/* --- sums ------------------------------------------------------------------------------------- */

struct sum {
    struct dtr_view partial;
    const struct dtr_spread *to;
};

static void add_scattered(struct relay *relay, const struct leg *leg, void *arg) {
    const struct sum *sum = arg;
    struct dtr_builder *b = relay->a->b;
    struct dtr_rectangle piece;
    for (uint32_t i = 0; dtr_rectangle_held(b, sum->to, relay->devices[leg->target], &i, &piece);) {
        struct dtr_view view = sum->partial;
        view.rows = piece.rows;
        view.columns = piece.columns;
        add_view(relay, leg, true,
                 leg->target == relay->me ? dtr_rectangle_view(b, sum->to, piece) : view);
    }
}

bool dtr_relay_reduce_scatter(struct dtr_assembly *a, const struct dtr_range *part,
                              struct dtr_view partial, const struct dtr_spread *to) {
    struct dtr_builder *b = a->b;
    struct sum sum = {partial, to};
    struct relay relay;
    bool all_add = true;
    if (!relay_begin(&relay, a))
        return false;
    for (uint32_t device = 0; device < b->devices; device++) {
        struct dtr_rectangle piece;
        uint32_t i = 0;
        const bool adds = !dtr_range_empty(part[device]);
        if (!adds && !dtr_rectangle_held(b, to, device, &i, &piece))
            continue;
        all_add &= adds;
        relay_join(&relay, device);
    }
    /* A device that adds nothing has nothing to add to. */
    const bool routed = relay_choose(&relay, all_add, false);
    if (routed && relay.me != UINT32_MAX && relay.count > 1) {
        legs_of_sums(&relay);
        emit_legs(&relay, 0, add_scattered, &sum);
    }
    relay_end(&relay);
    return routed;
}

/* Which rows of the sum are a place's: an even part, or all for the first. */
struct share {
    struct dtr_view view;
    bool adds;
    uint32_t parts;
};

static void add_share(struct relay *relay, const struct leg *leg, void *arg) {
    const struct share *share = arg;
    const uint32_t owner = share->adds ? leg->target : leg->source;
    if (owner >= share->parts)
        return;
    const struct dtr_range rows = dtr_range_piece(share->view.rows, owner, share->parts);
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
    const uint32_t rounds = dtr_route_rounds(relay->route, relay->count);
    legs_of_sums(relay);
    emit_legs(relay, 0, add_share, &share);
    share.adds = false;
    legs_to_all(relay);
    emit_legs(relay, rounds, add_share, &share);
}

static void add_all(struct relay *relay, const struct leg *leg, void *arg) {
    const struct dtr_view *view = arg;
    /* The last ones, who have no partner, are given the result. */
    add_view(relay, leg, leg->target != UINT32_MAX, *view);
}

/* Everything to and from a partner at a distance of 1, 2, 4, ...; those beyond the largest power of
 * two give theirs to one of the others before and get the sum afterwards. */
static void sum_by_doubling(struct relay *relay, struct dtr_view view) {
    uint32_t paired = 1;
    while (2 * paired <= relay->count)
        paired *= 2;
    const uint32_t me = relay->me, left_over = relay->count - paired;
    uint32_t round = left_over ? 1 : 0;
    if (me >= paired)
        add_leg(relay, 0, true, me - paired, me, 0);
    else if (me < left_over)
        add_leg(relay, 0, false, me + paired, me, 0);
    for (uint32_t far = 1; far < paired; far *= 2, round++) {
        if (me >= paired)
            continue;
        add_leg(relay, round, true, me ^ far, me, 0);
        add_leg(relay, round, false, me ^ far, me, 0);
    }
    if (me >= paired)
        add_leg(relay, round, false, me - paired, me, UINT32_MAX);
    else if (me < left_over)
        add_leg(relay, round, true, me + paired, me, UINT32_MAX);
    emit_legs(relay, 0, add_all, &view);
}

/* Where some have nothing to add, and nothing to add to: straight to those who sum up, and from
 * them by the route. */
static void sum_of_some(struct relay *relay, const struct dtr_team *team,
                        const struct dtr_range *part, struct dtr_view view) {
    struct share share = {.view = view, .parts = relay->count};
    dtr_sum_to_members(relay->a, team, part, view);
    legs_to_all(relay);
    emit_legs(relay, 1, add_share, &share);
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
            sum_by_doubling(&relay, view);
        else
            sum_parts(&relay, view);
    }
    relay_end(&relay);
    return routed;
}

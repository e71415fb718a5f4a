/* SPDX-License-Identifier: MIT */
#include "plan/legs.h"

#include <stdlib.h>

#include "base/array.h"

/* --- lists ------------------------------------------------------------------------------------ */

/* Whether the leg only adds a source to the one before.  What comes from the first place stays
 * apart: a run has to be one in a mirror, too. */
static bool extends(const struct dtr_leg *last, const struct dtr_leg *leg) {
    return last->source && last->source + last->run == leg->source && last->target == leg->target &&
           last->round == leg->round && last->peer == leg->peer && last->sends == leg->sends;
}

static int add_leg(struct dtr_legs *legs, uint32_t round, bool sends, uint32_t peer,
                   uint32_t source, uint32_t target) {
    const uint32_t far = sends ? peer + legs->places - legs->me : legs->me + legs->places - peer;
    const struct dtr_leg leg = {round, far % legs->places, peer, source, target, 1, sends};
    if (legs->count && legs->pattern != DTR_LEGS_OF_PAIRS &&
        extends(&legs->leg[legs->count - 1], &leg)) {
        legs->leg[legs->count - 1].run++;
        return DTR_OK;
    }
    struct dtr_leg *list = dtr_array_room(legs->leg, legs->count, &legs->capacity, sizeof *list);
    if (!list)
        return DTR_E_MEMORY;
    legs->leg = list;
    legs->leg[legs->count++] = leg;
    return DTR_OK;
}

static int order(uint32_t a, uint32_t b) {
    return (a > b) - (a < b);
}

/* What goes together comes together, in an order that both ends know. */
static int compare_legs(const void *first, const void *second) {
    const struct dtr_leg *a = first, *b = second;
    if (a->round != b->round)
        return order(a->round, b->round);
    if (a->sends != b->sends)
        return a->sends ? -1 : 1;
    if (a->distance != b->distance)
        return order(a->distance, b->distance);
    return a->source != b->source ? order(a->source, b->source) : order(a->target, b->target);
}

/* --- patterns --------------------------------------------------------------------------------- */

/* What this device passes on to each of its neighbours, of what comes from every source. */
static int add_onward(struct dtr_legs *legs) {
    const bool relays = dtr_route_relays(legs->route);
    int status = DTR_OK;
    uint32_t to;
    for (uint32_t i = 0; dtr_route_onward(legs->route, legs->places, legs->me, i, &to); i++)
        for (uint32_t n = 0; n < (relays ? legs->places : 1) && !status; n++) {
            const uint32_t source = relays ? n : legs->me;
            if (source == to)
                continue;
            const struct dtr_hop hop = dtr_route_hop(legs->route, legs->places, source, to);
            if (hop.from == legs->me)
                status = add_leg(legs, hop.round, true, to, source, to);
        }
    return status;
}

static int add_to_all(struct dtr_legs *legs) {
    int status = add_onward(legs);
    for (uint32_t source = 0; source < legs->places && !status; source++) {
        if (source == legs->me)
            continue;
        const struct dtr_hop hop = dtr_route_hop(legs->route, legs->places, source, legs->me);
        status = add_leg(legs, hop.round, false, hop.from, source, legs->me);
    }
    return status;
}

/* From one source to one target, along the whole route. */
static int add_between(struct dtr_legs *legs, uint32_t source, uint32_t target) {
    int status = DTR_OK;
    for (uint32_t to = target; to != source && !status;) {
        const struct dtr_hop hop = dtr_route_hop(legs->route, legs->places, source, to);
        if (hop.from == legs->me)
            status = add_leg(legs, hop.round, true, to, source, target);
        if (to == legs->me && !status)
            status = add_leg(legs, hop.round, false, hop.from, source, target);
        to = hop.from;
    }
    return status;
}

static int add_pairs(struct dtr_legs *legs) {
    const bool relays = dtr_route_relays(legs->route);
    int status = DTR_OK;
    for (uint32_t source = 0; source < legs->places; source++)
        for (uint32_t target = 0; target < legs->places && !status; target++)
            if (source != target && (relays || source == legs->me || target == legs->me))
                status = add_between(legs, source, target);
    return status;
}

/* A place as seen in a mirror. */
static uint32_t mirrored(const struct dtr_legs *legs, uint32_t place) {
    return (legs->places - place) % legs->places;
}

/* The routes to all, backwards.  Mirrored, so that sums go round the same way as everything else:
 * whoever begins the next collective early sends to a neighbour that nobody else is sending to. */
static int add_sums(struct dtr_legs *legs) {
    const uint32_t last = dtr_route_rounds(legs->route, legs->places) - 1;
    legs->me = mirrored(legs, legs->me);
    const int status = add_to_all(legs);
    legs->me = mirrored(legs, legs->me);
    for (uint32_t i = 0; i < legs->count; i++) {
        struct dtr_leg *leg = &legs->leg[i];
        *leg = (struct dtr_leg){
            .round = last - leg->round,
            .distance = leg->distance,
            .peer = mirrored(legs, leg->peer),
            .source = mirrored(legs, leg->target),
            .target = mirrored(legs, leg->source + leg->run - 1),
            .run = leg->run,
            .sends = !leg->sends,
        };
    }
    return status;
}

/* Those beyond the largest power of two give theirs to one of the others before and get the sum
 * afterwards. */
static int add_doubling(struct dtr_legs *legs) {
    uint32_t paired = 1;
    while (2 * paired <= legs->places)
        paired *= 2;
    const uint32_t me = legs->me, left_over = legs->places - paired;
    const bool lends = me >= paired, borrows = me < left_over;
    uint32_t round = left_over ? 1 : 0;
    int status = DTR_OK;
    if (lends || borrows)
        status = add_leg(legs, 0, lends, lends ? me - paired : me + paired, me, 0);
    for (uint32_t far = 1; far < paired; far *= 2, round++)
        for (int receives = 0; receives < 2 && !lends && !status; receives++)
            status = add_leg(legs, round, !receives, me ^ far, me, 0);
    if (!status && (lends || borrows))
        status = add_leg(legs, round, borrows, lends ? me - paired : me + paired, me, DTR_NO_PLACE);
    return status;
}

static int add_pattern(struct dtr_legs *legs) {
    switch (legs->pattern) {
    case DTR_LEGS_TO_ALL:
        return add_to_all(legs);
    case DTR_LEGS_OF_SUMS:
        return add_sums(legs);
    case DTR_LEGS_OF_PAIRS:
        return add_pairs(legs);
    default:
        return add_doubling(legs);
    }
}

/* --- what was found --------------------------------------------------------------------------- */

static bool is_like(const struct dtr_legs *legs, const struct dtr_legs *wanted) {
    return legs->pattern == wanted->pattern && legs->route == wanted->route &&
           legs->places == wanted->places && legs->me == wanted->me;
}

const struct dtr_legs *dtr_legs_find(struct dtr_builder *b, enum dtr_pattern pattern,
                                     enum dtr_algorithm route, uint32_t places, uint32_t me) {
    const struct dtr_legs wanted = {
        .pattern = pattern, .route = route, .places = places, .me = me, .next = b->legs};
    for (const struct dtr_legs *known = b->legs; known; known = known->next)
        if (is_like(known, &wanted))
            return known;
    struct dtr_legs *legs = malloc(sizeof *legs);
    if (!legs) {
        b->status = DTR_E_MEMORY;
        return NULL;
    }
    *legs = wanted;
    b->legs = legs;
    if (add_pattern(legs)) {
        b->status = DTR_E_MEMORY;
        return NULL;
    }
    if (legs->count)
        qsort(legs->leg, legs->count, sizeof *legs->leg, compare_legs);
    return legs;
}

void dtr_legs_forget(struct dtr_builder *b) {
    while (b->legs) {
        struct dtr_legs *next = b->legs->next;
        free(b->legs->leg);
        free(b->legs);
        b->legs = next;
    }
}

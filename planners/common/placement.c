/* SPDX-License-Identifier: MIT */
#include "common/placement.h"

#include <string.h>

#include "common/search.h"

bool dtr_placed_by_hand(const struct dtr_problem *problem) {
    for (uint32_t i = 0; i < problem->devices; i++)
        if (dtr_problem_device(problem, i)->divisions)
            return true;
    return false;
}

static void hold(struct dtr_plan *plan, uint32_t division, uint32_t device) {
    plan->holds[(size_t)division * plan->devices + device] = 1;
}

/* The strongest device that is not given anything yet and has room; `devices` when there is none.
 */
static uint32_t strongest(const struct dtr_plan *plan, const struct dtr_room *room) {
    uint32_t best = plan->devices;
    for (uint32_t i = 0; i < plan->devices; i++)
        if (plan->share[i] > 0 && !room->given[i] && room->most[i] &&
            (best == plan->devices || plan->share[i] > plan->share[best]))
            best = i;
    return best;
}

static uint32_t count_able(const struct dtr_plan *plan, const struct dtr_room *room) {
    uint32_t able = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        able += plan->share[i] > 0 && room->most[i];
    return able;
}

/* More devices than divisions: several share one. */
static void place_many(struct dtr_plan *plan, struct dtr_room *room) {
    memset(room->sum, 0, plan->divisions * sizeof *room->sum);
    uint32_t device;
    while ((device = strongest(plan, room)) < plan->devices) {
        uint32_t least = 0;
        for (uint32_t d = 1; d < plan->divisions; d++)
            if (room->sum[d] < room->sum[least])
                least = d;
        hold(plan, least, device);
        room->sum[least] += plan->share[device];
        room->given[device] = 1;
    }
}

/* The device that would be done first with one sub-block more; of equals that with the fewest. */
static uint32_t first_done(const struct dtr_plan *plan, const struct dtr_room *room) {
    uint32_t best = plan->devices;
    double best_s = 0.0;
    for (uint32_t i = 0; i < plan->devices; i++) {
        if (!(plan->share[i] > 0) || room->given[i] >= room->most[i])
            continue;
        const double done_s = (room->given[i] + 1) / plan->share[i];
        const double same = 1e-9 * done_s;
        if (best == plan->devices || done_s < best_s - same ||
            (done_s < best_s + same && room->given[i] < room->given[best])) {
            best = i;
            best_s = done_s;
        }
    }
    return best;
}

static bool place_few(struct dtr_plan *plan, struct dtr_room *room) {
    for (uint32_t d = 0; d < plan->divisions; d++) {
        const uint32_t device = first_done(plan, room);
        if (device == plan->devices)
            return false;
        room->given[device]++;
    }
    uint32_t division = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        for (uint32_t n = 0; n < room->given[i]; n++)
            hold(plan, division++, i);
    return true;
}

bool dtr_place(struct dtr_plan *plan, struct dtr_room *room, bool shared) {
    if (!plan->divisions || room->by_hand)
        return true;
    memset(plan->holds, 0, (size_t)plan->divisions * plan->devices);
    memset(room->given, 0, plan->devices * sizeof *room->given);
    if (!shared || count_able(plan, room) <= plan->divisions)
        return place_few(plan, room);
    place_many(plan, room);
    return true;
}

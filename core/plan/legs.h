/* SPDX-License-Identifier: MIT
 *
 * legs.h -- the hops of one device on the routes of a collective, message by message.  They are the
 * same for every collective among as many devices by the same algorithm, and found once for each
 * device.
 */
#ifndef DTR_PLAN_LEGS_H
#define DTR_PLAN_LEGS_H

#include "plan/builder.h"
#include "plan/route.h"

enum dtr_pattern {
    DTR_LEGS_TO_ALL,   /* from every source to everybody                                       */
    DTR_LEGS_OF_SUMS,  /* to every target from everybody                                       */
    DTR_LEGS_OF_PAIRS, /* from every source to every target, each for itself                   */
    DTR_LEGS_DOUBLING, /* the whole sum: to and from partners at a distance of 1, 2, 4, ...    */
};

/* One hop, of which this device is an end, of what goes from a source to a target; or of what goes
 * from `run` sources one after the other (of sums: to so many targets). */
struct dtr_leg {
    uint32_t round, distance, peer; /* the peer's place, and how far it is */
    uint32_t source, target;        /* places; DTR_LEGS_DOUBLING: a target is none where what is
                                       sent is the result */
    uint32_t run;
    bool sends;
};

#define DTR_NO_PLACE UINT32_MAX

/* By message: round after round, what is sent first. */
struct dtr_legs {
    struct dtr_leg *leg;
    uint32_t count, capacity;
    enum dtr_pattern pattern;
    enum dtr_algorithm route;
    uint32_t places, me;
    struct dtr_legs *next;
};

/* The builder's, until its next device.  NULL: out of memory, as its status says. */
const struct dtr_legs *dtr_legs_find(struct dtr_builder *b, enum dtr_pattern pattern,
                                     enum dtr_algorithm route, uint32_t places, uint32_t me);

/* Frees what was found for a device. */
void dtr_legs_forget(struct dtr_builder *b);

#endif

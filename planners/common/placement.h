/* SPDX-License-Identifier: MIT
 *
 * placement.h -- which device holds the sub-blocks of which division, for given shares.
 */
#ifndef DTR_PLANNERS_PLACEMENT_H
#define DTR_PLANNERS_PLACEMENT_H

#include <detransformer/planner.h>
#include <stdbool.h>

/* What placing needs besides the shares. */
struct dtr_room {
    uint32_t *most;  /* [devices] sub-blocks of a layer that the device may hold */
    uint32_t *given; /* [devices] scratch */
    double *sum;     /* [divisions] scratch */
    bool by_hand;    /* the experiment places them: nothing is changed */
};

/* True when the experiment places the divisions. */
bool dtr_placed_by_hand(const struct dtr_problem *problem);

/* Fills in plan->holds for its shares.  Each sub-block goes to one device, so that the slowest is
 * done as early as it can be (sub-blocks are alike, so giving each to the device that is then done
 * first is exact), neighbours together.  Or, with `shared` and more devices than divisions, every
 * device is given a division, the strongest first, each that with the least share so far.  False:
 * there is no room. */
bool dtr_place(struct dtr_plan *plan, struct dtr_room *room, bool shared);

#endif

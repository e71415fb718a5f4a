/* SPDX-License-Identifier: MIT
 *
 * outlook.h -- the placement for a network that will change: the one that is best over a range of
 * bandwidths and lengths, and which strategies win anywhere in it.
 */
#ifndef DTR_PLANNERS_OUTLOOK_H
#define DTR_PLANNERS_OUTLOOK_H

#include "common/arrange.h"

/* Fills in `plan` but for its reason, which is written to it too: placement, open strategies, and
 * what is best on the network as it was measured. */
int dtr_outlook(const struct dtr_host *host, const struct dtr_problem *problem,
                const uint8_t *allowed, struct dtr_plan *plan, struct dtr_error *error);

/* The problem with other links, as predict() wants it: a copy of all its bytes, for release(). */
struct dtr_problem *dtr_problem_copy(const struct dtr_host *host,
                                     const struct dtr_problem *problem);

#endif

/* SPDX-License-Identifier: MIT
 *
 * arrange.h -- the whole offline search: which devices take part, which of them hold which
 * sub-blocks, and by what strategy the groups run.
 */
#ifndef DTR_PLANNERS_ARRANGE_H
#define DTR_PLANNERS_ARRANGE_H

#include "common/choose.h"

/* Finds the best plan for the contest's problem; it is in contest->best.  `given` is the plan that
 * the core filled in.  Devices are taken in the order of their speed, as many of them as help, and
 * then left out or added one by one where that helps.  Of up to eight devices every number
 * is tried; of more, numbers that double, with some between them, as far as the limit on work
 * goes.  When nothing fits, contest->trial.fits is false. */
int dtr_arrange(struct dtr_contest *contest, const struct dtr_plan *given, struct dtr_error *error);

/* Which strategies may be chosen: those usable, and of them those `names` lists when it lists any;
 * `allowed` is [strategies].  DTR_E_CONFIG for a name that there is not. */
int dtr_allow(const struct dtr_host *host, const struct dtr_problem *problem,
              const struct dtr_list *names, uint8_t *allowed, struct dtr_error *error);

#endif

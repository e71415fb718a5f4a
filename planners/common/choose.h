/* SPDX-License-Identifier: MIT
 *
 * choose.h -- the contest of the strategies: the best plan found for each, the tiles of the best
 * few, and groups that run better by another.
 */
#ifndef DTR_PLANNERS_CHOOSE_H
#define DTR_PLANNERS_CHOOSE_H

#include "common/search.h"

#define DTR_CONTEST_TILES 4u /* in which strategies are first compared */

/* The best plan that runs all groups by one strategy. */
struct dtr_contender {
    struct dtr_plan *plan;
    struct dtr_trial trial;
    uint32_t worse; /* trials since it was found that were no better */
    bool unplaced;  /* where the sub-blocks are makes no difference */
};

struct dtr_contest {
    struct dtr_search *search;
    struct dtr_contender *contender; /* [strategies] */
    struct dtr_plan *draft;          /* scratch */
    struct dtr_plan *best;
    struct dtr_trial trial; /* of the best */
};

/* All plans begin as copies of `like`.  DTR_E_MEMORY leaves nothing behind. */
int dtr_contest_begin(struct dtr_contest *contest, struct dtr_search *search,
                      const struct dtr_plan *like, struct dtr_error *error);
void dtr_contest_end(struct dtr_contest *contest);

/* Tries contest->draft, which runs all groups by `strategy`, and keeps it if it is better. */
int dtr_contest_try(struct dtr_contest *contest, uint32_t strategy, struct dtr_trial *trial,
                    struct dtr_error *error);

/* Every strategy that is allowed, in the placement of `plan`.  `merit` is [strategies], scores,
 * or NULL: the least goes first, for there may be no work left for the others. */
int dtr_contest_strategies(struct dtr_contest *contest, const struct dtr_plan *plan,
                           const double *merit, struct dtr_error *error);

/* Tries a plan as it is, whatever work is left, and keeps it as the one to beat. */
int dtr_contest_keep(struct dtr_contest *contest, const struct dtr_plan *plan,
                     struct dtr_error *error);

/* The strategy that comes at this place: the smallest merit first, of equals in their own order. */
uint32_t dtr_strategy_by_merit(const double *merit, uint32_t strategies, uint32_t place);

/* The best of the best few in as many tiles as suit them, then group by group.  When nothing fits,
 * contest->trial.fits is false. */
int dtr_contest_finish(struct dtr_contest *contest, struct dtr_error *error);

/* How many contenders are better than this one. */
uint32_t dtr_contest_rank(const struct dtr_contest *contest, uint32_t strategy);

/* One sentence: what was chosen over what. */
void dtr_contest_explain(const struct dtr_contest *contest, char *text, size_t bytes);

#endif

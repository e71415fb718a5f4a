/* SPDX-License-Identifier: MIT
 *
 * search.h -- what a planner that compares plans works with: drafts of plans, trials of them by the
 * core's simulator within a budget of work, and the memory that the devices may use.
 */
#ifndef DTR_PLANNERS_SEARCH_H
#define DTR_PLANNERS_SEARCH_H

#include <detransformer/planner.h>
#include <stdbool.h>

/* What a search may cost, in units of about a microsecond. */
#define DTR_SEARCH_WORK UINT64_C(450000)

/* What a plan comes to.  A smaller score is better, whatever the objective. */
struct dtr_trial {
    double score, latency_s; /* INFINITY: it cannot run, or not within the memory */
    bool fits;
};

/* The plan that came closest to fitting into memory. */
struct dtr_shortage {
    double excess; /* needed / allowed; 0: there was none */
    uint64_t needs, has;
    uint32_t device;
};

struct dtr_search {
    const struct dtr_host *host;
    const struct dtr_problem *problem;
    const uint8_t *allowed; /* [strategies] which may be chosen */
    bool weigh;             /* the devices' memory is limited, or the objective */
    bool keep_open;         /* the strategies that plans keep open are given */
    uint64_t spent, limit;  /* units of work */
    uint64_t *memory_bytes; /* [devices] of the plan that was tried last */
    double *busy_s;         /* likewise */
    struct dtr_shortage shortage;
};

/* `allowed` is borrowed.  DTR_E_MEMORY leaves nothing behind. */
int dtr_search_begin(struct dtr_search *search, const struct dtr_host *host,
                     const struct dtr_problem *problem, const uint8_t *allowed,
                     struct dtr_error *error);
void dtr_search_end(struct dtr_search *search);

const struct dtr_device_info *dtr_problem_device(const struct dtr_problem *problem,
                                                 uint32_t device);
const struct dtr_strategy_info *dtr_problem_strategy(const struct dtr_problem *problem,
                                                     uint32_t strategy);

/* A plan of our own in one piece of memory, for release(); NULL: out of memory. */
struct dtr_plan *dtr_draft_create(const struct dtr_host *host, const struct dtr_plan *like);

/* All but the reason. */
void dtr_draft_copy(struct dtr_plan *to, const struct dtr_plan *from);

/* Every group by one strategy, which alone is open unless the search keeps what is. */
void dtr_draft_run(const struct dtr_search *search, struct dtr_plan *plan, uint32_t strategy);

/* Opens what the groups use and nothing else, unless the search keeps what is open. */
void dtr_draft_open(const struct dtr_search *search, struct dtr_plan *plan);

/* Whether all groups go by that strategy. */
bool dtr_draft_is_uniform(const struct dtr_plan *plan, uint32_t strategy);

/* Devices that have a share; and those that do anything: `single`, the first strategy, leaves all
 * but device 0 idle. */
uint32_t dtr_draft_taking(const struct dtr_plan *plan);
uint32_t dtr_draft_working(const struct dtr_plan *plan);

/* Whether another trial of a plan like this is within the limit. */
bool dtr_search_affords(const struct dtr_search *search, const struct dtr_plan *plan);

/* Has the plan simulated.  A plan that the core says cannot run does not fit; an error is what ends
 * the search. */
int dtr_search_try(struct dtr_search *search, const struct dtr_plan *plan, struct dtr_trial *trial,
                   struct dtr_error *error);

bool dtr_trial_better(const struct dtr_trial *a, const struct dtr_trial *b);

extern const struct dtr_trial dtr_trial_none;

/* DTR_E_CONFIG: no plan fits, and how much the closest lacks. */
int dtr_search_nothing(const struct dtr_search *search, struct dtr_error *error);

#endif

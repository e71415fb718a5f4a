/* SPDX-License-Identifier: MIT
 *
 * planning.h -- the experiment's planner, open, with the problem that it is given: the model, the
 * devices, the request, what was measured, and a simulator to ask.
 */
#ifndef DTR_RUN_PLANNING_H
#define DTR_RUN_PLANNING_H

#include "plan/profile.h"
#include "plan/ways.h"
#include "run/device.h"

struct dtr_planning;

/* True when the planner wants a profile and the experiment names none. */
bool dtr_planning_needs_profile(const struct dtr_experiment *experiment);

/* Reads the profile that the experiment names; *profile_p is NULL where it names none.  A profile
 * of another model, number of devices or CPU is stale: DTR_E_CONFIG. */
int dtr_planning_read_profile(const struct dtr_experiment *experiment,
                              const struct dtr_model *model, struct dtr_profile **profile_p,
                              struct dtr_error *error);

/* How collectives go among so many of the experiment's devices: as it insists, as long as none is
 * missing, and for the rest as suits the links of `profile`, which is theirs; without one (NULL)
 * straight, or as suits a usual switch where messages collide.  `ways` is all 0 before. */
int dtr_planning_choose_ways(const struct dtr_experiment *experiment,
                             const struct dtr_profile *profile, uint32_t devices,
                             struct dtr_ways *ways, struct dtr_error *error);

/* The name of this machine's processor. */
void dtr_planning_cpu(char *name, size_t bytes);

/* Some of the experiment's devices, by their numbers, the leader first. */
struct dtr_members {
    const uint32_t *number; /* [count] */
    uint32_t count;
};

/* `profile`, of all devices, may be NULL; plans are made for the members, and count them by their
 * places in the list; NULL: all.  All arguments but the list outlive the planning. */
int dtr_planning_create(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                        const struct dtr_session_options *options, const struct dtr_model *model,
                        const struct dtr_profile *profile, const struct dtr_members *members,
                        const struct dtr_log *log, struct dtr_planning **planning_p,
                        struct dtr_error *error);
void dtr_planning_free(struct dtr_planning *planning);

/* Knows what weights take on the members, as far as this machine's plugins say so. */
const struct dtr_weigher *dtr_planning_weigher(const struct dtr_planning *planning);

/* The profile of the members, or NULL. */
const struct dtr_profile *dtr_planning_profile(const struct dtr_planning *planning);

/* The plan for the largest request.  The caller frees it.  Where some of the experiment's devices
 * are missing, its orders are followed as far as they can be: divisions placed by hand on the
 * missing ones, a strategy that does not fit the others' memory, give way with a warning. */
int dtr_planning_plan(struct dtr_planning *planning, struct dtr_plan **plan_p,
                      struct dtr_error *error);

/* Lets an adaptive planner choose again for this request; others leave the plan as it is. */
int dtr_planning_replan(struct dtr_planning *planning, const struct dtr_request *request,
                        struct dtr_plan *plan, struct dtr_error *error);

/* What the plan would take for this request, in seconds; 0 without a profile. */
int dtr_planning_predict(struct dtr_planning *planning, const struct dtr_request *request,
                         const struct dtr_plan *plan, double *latency_s_p, struct dtr_error *error);

/* All that the simulator says of it; there must be a profile. */
int dtr_planning_foresee(struct dtr_planning *planning, const struct dtr_request *request,
                         const struct dtr_plan *plan, struct dtr_prediction *prediction,
                         struct dtr_error *error);

/* Tells an adaptive planner what a request took, and by which factor the links were faster than
 * profiled; 0: nothing travelled. */
void dtr_planning_observe(struct dtr_planning *planning, uint64_t number, double latency_s,
                          double link_factor);

/* The profiled links, [from][to], or NULL. */
const struct dtr_link *dtr_planning_links(const struct dtr_planning *planning);

#endif

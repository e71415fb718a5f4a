/* SPDX-License-Identifier: MIT
 *
 * simulate.h -- the simulator: runs the schedules of all devices on a virtual clock.  Steps take
 * what a cost model says; messages queue at the ports they leave by and share those they enter
 * through.
 */
#ifndef DTR_PLAN_SIMULATE_H
#define DTR_PLAN_SIMULATE_H

#include <detransformer/planner.h>

#include "base/error.h"
#include "plan/schedule.h"

/* What things cost.  A message of b bytes leaves the sender's port in b / bytes_per_s, when those
 * before it have left, travels for latency_s, and gets through the receiver's port, which other
 * senders may share, while it comes in (cut-through). */
struct dtr_cost {
    void *arg;
    double (*step_s)(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step);
    const struct dtr_link *link; /* [from][to] */
    double start_s;              /* of beginning or awaiting a collective */
    double message_s;            /* what a message takes of its ports beside its bytes */
    double byte_s;  /* with that, what further parcels take of a sender slower than its port */
    double round_s; /* how much later than the latency a message is noticed */
};

struct dtr_simulation {
    double latency_s;                  /* until device 0 has the result */
    double *compute_s, *communicate_s; /* [devices]; the caller's, or NULL */
    double *port_s; /* [devices], or NULL: how long its port lets out, or in if that is longer */
};

/* `schedules`: those of all devices, for the same request.  DTR_E_PLUGIN when they do not fit
 * together: a message that nobody sends. */
int dtr_simulate(const struct dtr_schedule *const *schedules, uint32_t devices,
                 const struct dtr_cost *cost, struct dtr_simulation *simulation,
                 struct dtr_error *error);

#endif

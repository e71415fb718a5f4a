/* SPDX-License-Identifier: MIT
 *
 * collective.h -- a collective for its own sake: the schedule that runs nothing but one, to try,
 * measure and compare algorithms; and the choice among them.
 */
#ifndef DTR_PLAN_COLLECTIVE_H
#define DTR_PLAN_COLLECTIVE_H

#include "base/error.h"
#include "plan/simulate.h"
#include "plan/ways.h"

/* A matrix is moved or summed.  Rows are shared out by weight (columns for what is all-to-all);
 * sums are of a whole matrix on every device whose share is not 0; a transfer is from device 0 to
 * device 1. */
struct dtr_collective_shape {
    enum dtr_collective_kind kind;
    uint32_t devices, rows, columns;
    const double *share; /* [devices], or NULL: even */
    uint8_t wire;        /* enum dtr_dtype */
};

/* The schedule of one device.  Buffer "in" has what it begins with and "out" what it ends with; a
 * sum over all is in place, in "in".  The caller frees.  DTR_E_CONFIG where the algorithm cannot
 * do it. */
int dtr_collective_lower(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                         uint32_t device, struct dtr_schedule **schedule_p,
                         struct dtr_error *error);

/* How long it takes by the simulator until the last device has it; `cost` needs no step_s.  N^2
 * messages are simulated where N devices send straight to all.  DTR_E_CONFIG where the algorithm
 * cannot do it. */
int dtr_collective_predict(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                           const struct dtr_cost *cost, double *latency_p, struct dtr_error *error);

/* Whether an algorithm comes into question for a kind at all. */
bool dtr_collective_may(enum dtr_collective_kind kind, enum dtr_algorithm algorithm);

/* For every kind, number of devices up to `devices` and size the algorithm that the simulator finds
 * quickest.  `collides`: large messages of several devices to one take longer than the simulator
 * says.  What `ways` insists on stays. */
int dtr_collective_choose(struct dtr_ways *ways, uint32_t devices, const struct dtr_cost *cost,
                          bool collides, struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * predict.h -- what a plan would come to: its schedules, simulated with a profile and summed up.
 */
#ifndef DTR_PLAN_PREDICT_H
#define DTR_PLAN_PREDICT_H

#include "plan/lower.h"
#include "plan/profile.h"

/* `request` gives all but plan and device.  `link` [from][to] takes the place of the profile's when
 * it is not NULL.  Weights are counted for every strategy that the plan keeps open. */
int dtr_predict(const struct dtr_lowering *request, const struct dtr_plan *plan,
                const struct dtr_profile *profile, const struct dtr_link *link,
                struct dtr_prediction *prediction, struct dtr_error *error);

/* Only what every device holds: weights of all strategies that the plan keeps open, and room for
 * activations and messages.  Fills weight_bytes and memory_bytes where they are not NULL. */
int dtr_predict_memory(const struct dtr_lowering *request, const struct dtr_plan *plan,
                       struct dtr_prediction *prediction, struct dtr_error *error);

#endif

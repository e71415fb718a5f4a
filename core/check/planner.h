/* SPDX-License-Identifier: MIT
 *
 * planner.h -- the conformance suite of planner plugins: plans for clusters of all kinds, on costs
 * that are a few lines of arithmetic.
 */
#ifndef DTR_CHECK_PLANNER_H
#define DTR_CHECK_PLANNER_H

#include "base/error.h"
#include "base/log.h"
#include "check/check.h"

struct dtr_chain; /* config/experiment.h */

/* Puts the outermost plugin of the chain, over those that it wraps, through the suite.  What it
 * does wrong is told to `check`; an error means that it could not be tried: DTR_E_UNSUPPORTED, it
 * cannot run on this machine; DTR_E_CONFIG, it does not open as it is set. */
int dtr_check_planner(const struct dtr_chain *chain, const struct dtr_log *log,
                      struct dtr_check *check, struct dtr_error *error);

#endif

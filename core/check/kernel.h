/* SPDX-License-Identifier: MIT
 *
 * kernel.h -- the conformance suite of kernel plugins: every operation that one supports, compared
 * with double precision.
 */
#ifndef DTR_CHECK_KERNEL_H
#define DTR_CHECK_KERNEL_H

#include "base/error.h"
#include "base/log.h"
#include "check/check.h"

struct dtr_chain; /* config/experiment.h */

/* Puts the outermost plugin of the chain, over those that it wraps, through the suite.  What it
 * does wrong is told to `check`; an error means that it could not be tried: DTR_E_UNSUPPORTED, it
 * cannot run on this machine. */
int dtr_check_kernel(const struct dtr_chain *chain, const struct dtr_log *log,
                     struct dtr_check *check, struct dtr_error *error);

#endif

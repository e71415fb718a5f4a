/* SPDX-License-Identifier: MIT
 *
 * transport.h -- the conformance suite of transport plugins: what every one of them must do, tried
 * between real processes, from one to nine.
 */
#ifndef DTR_CHECK_TRANSPORT_H
#define DTR_CHECK_TRANSPORT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "check/check.h"

struct dtr_chain; /* config/experiment.h */

struct dtr_check_how {
    const struct dtr_log *log; /* may be NULL */
    /* The transport breaks on purpose: what a sound one does may fail, but no request and no
     * operation may hang, fail with an error that means something else, or leave anything behind.
     */
    bool faults;
    const char *only; /* cases whose name has this in it; NULL: all */
    /* A transport that launches: the command that starts as many processes as the next word says,
     * and this program's own arguments, for it to be started with.  In a process that was started
     * so, `member` is what its command line had behind them. */
    const char *launch, *member;
    char *const *argv;
};

/* Puts the outermost plugin of the chain, over those that it wraps, through the suite.  What it
 * does wrong is told to `check`; an error means that it could not be tried: DTR_E_UNSUPPORTED, it
 * cannot run on this machine. */
int dtr_check_transport(const struct dtr_chain *chain, const struct dtr_check_how *how,
                        struct dtr_check *check, struct dtr_error *error);

#endif

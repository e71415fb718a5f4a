/* SPDX-License-Identifier: MIT
 *
 * ticker.h -- a thread that does something again and again, with pauses between, until it is
 * stopped.
 */
#ifndef DTR_RUN_TICKER_H
#define DTR_RUN_TICKER_H

#include <stdint.h>

#include "base/error.h"

struct dtr_ticker;

/* `tick` returns the pause until the next, in nanoseconds; the first is at once. */
int dtr_ticker_start(uint64_t (*tick)(void *arg), void *arg, struct dtr_ticker **ticker_p,
                     struct dtr_error *error);

/* Returns when the tick that is under way has ended; NULL is allowed. */
void dtr_ticker_stop(struct dtr_ticker *ticker);

#endif

/* SPDX-License-Identifier: MIT
 *
 * ticker.h -- a thread that does something again and again, with a pause between, until it is
 * stopped.
 */
#ifndef DTR_RUN_TICKER_H
#define DTR_RUN_TICKER_H

#include <stdint.h>

#include "base/error.h"

struct dtr_ticker;

int dtr_ticker_start(void (*tick)(void *arg), void *arg, uint64_t interval_ns,
                     struct dtr_ticker **ticker_p, struct dtr_error *error);

/* Returns when the tick that is under way has ended; NULL is allowed. */
void dtr_ticker_stop(struct dtr_ticker *ticker);

/* The pause from the next one on; any thread. */
void dtr_ticker_set(struct dtr_ticker *ticker, uint64_t interval_ns);

#endif

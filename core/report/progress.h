/* SPDX-License-Identifier: MIT
 *
 * progress.h -- a line that tells how far something is, on a terminal only and only when it takes
 * more than a second.
 */
#ifndef DTR_REPORT_PROGRESS_H
#define DTR_REPORT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct dtr_progress {
    bool terminal, shown;
    uint64_t begin_ns, drawn_ns;
};

void dtr_progress_begin(struct dtr_progress *progress);

/* `what` is done `done` of `total` times; draws at most ten times a second. */
void dtr_progress_step(struct dtr_progress *progress, const char *what, uint64_t done,
                       uint64_t total);

/* Takes the line away. */
void dtr_progress_end(struct dtr_progress *progress);

#endif

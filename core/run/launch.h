/* SPDX-License-Identifier: MIT
 *
 * launch.h -- starts workers on this machine, one process a device, each with a control channel.
 * However the leader ends, its workers end with it: they lose the channel, and the kernel tells
 * them as well.
 */
#ifndef DTR_RUN_LAUNCH_H
#define DTR_RUN_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct dtr_worker_process {
    pid_t pid;
    int fd; /* the leader's end of the channel */
};

/* Starts this program again as `detransformer worker --control N`.  `plugin_path` may be NULL. */
int dtr_launch_local(const char *plugin_path, struct dtr_worker_process *process,
                     struct dtr_error *error);

/* Waits for the end of a process until the deadline (CLOCK_MONOTONIC), then ends it.  Writes how
 * it ended: "was killed by signal 9", "ended with status 1", or "" for status 0. */
void dtr_launch_reap(pid_t pid, uint64_t deadline_ns, char *how, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT
 *
 * launch.h -- gets a worker for each device, with a control channel to it: a process that is
 * started on this machine, one that listens elsewhere, or one that a transport's launcher has
 * started.  However the leader ends, its workers end their session with it: they lose the channel,
 * and what started them tells them as well.
 */
#ifndef DTR_RUN_LAUNCH_H
#define DTR_RUN_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "config/experiment.h"
#include "run/channel.h"
#include "run/world.h"

/* A worker that was started or reached. */
struct dtr_worker_process {
    pid_t pid; /* 0: not a child of this process */
    int fd;    /* the leader's end of the channel */
    bool sealed;
    struct dtr_channel_keys keys; /* of a sealed channel */
};

/* What workers can be had with, besides what the experiment says. */
struct dtr_launch {
    const char *plugin_path; /* for processes on this machine; may be NULL */
    struct dtr_world *world; /* that this process leads; NULL: it was started alone */
    const struct dtr_log *log;
};

/* Whether the experiment and how this process was started go together: DTR_OK or DTR_E_CONFIG.  An
 * experiment that is to be launched may be looked at without. */
int dtr_launch_check(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                     struct dtr_error *error);

/* The worker of a device other than 0, as the experiment's `launch` has it.  Blocks until it is
 * there, or the deadline (CLOCK_MONOTONIC). */
int dtr_launch_worker(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                      uint32_t device, uint64_t deadline_ns, struct dtr_worker_process *process,
                      struct dtr_error *error);

/* Starts this program again as `detransformer worker --control FD` with that stream, which stays
 * the caller's as well, with the keys (NULL: plain) and more arguments (ends at NULL). */
int dtr_launch_child(int fd, const struct dtr_channel_keys *keys, const char *const *more,
                     pid_t *pid_p, struct dtr_error *error);

/* The keys as the child finds them at the descriptor it is told of, which is closed. */
int dtr_launch_read_keys(int fd, struct dtr_channel_keys *keys, struct dtr_error *error);

/* Waits for the end of a process until the deadline (CLOCK_MONOTONIC), then ends it.  Writes how
 * it ended: "was killed by signal 9", "ended with status 1", or "" for status 0. */
void dtr_launch_reap(pid_t pid, uint64_t deadline_ns, char *how, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT
 *
 * world.h -- the processes that a transport's own launcher (DTR_CAP_LAUNCH) started together, of
 * which this is one.  Rank 0 leads; the others serve it, one session after the other.
 */
#ifndef DTR_RUN_WORLD_H
#define DTR_RUN_WORLD_H

#include "base/error.h"
#include "base/log.h"
#include "plugin/registry.h"

struct dtr_world;

/* Asks every transport that can launch; *world_p is NULL where this process was started alone.
 * `plugins` outlives the world. */
int dtr_world_open(struct dtr_plugins *plugins, const struct dtr_log *log,
                   struct dtr_world **world_p, struct dtr_error *error);

/* In rank 0 it tells the others that they can go; NULL is allowed. */
void dtr_world_close(struct dtr_world *world);

/* The transport's name. */
const char *dtr_world_launcher(const struct dtr_world *world);
uint32_t dtr_world_rank(const struct dtr_world *world);
uint32_t dtr_world_size(const struct dtr_world *world);

/* For rank 0: a control channel's descriptor to another rank.  Blocks until that asks for its
 * next leader, or the deadline (CLOCK_MONOTONIC). */
int dtr_world_call(struct dtr_world *world, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                   struct dtr_error *error);

/* For the other ranks: serves rank 0 until it says that this process can go.  Blocks. */
int dtr_world_serve(struct dtr_world *world, struct dtr_error *error);

#endif

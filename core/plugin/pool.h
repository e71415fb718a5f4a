/* SPDX-License-Identifier: MIT
 *
 * pool.h -- the compute threads of one device.  Soon after a job they go to sleep; the thread
 * that asks works along.
 */
#ifndef DTR_PLUGIN_POOL_H
#define DTR_PLUGIN_POOL_H

#include <pthread.h>
#include <stdint.h>

#include "base/error.h"

struct dtr_pool;

/* `threads`: at least one, the caller's included. */
int dtr_pool_create(uint32_t threads, struct dtr_pool **pool_p, struct dtr_error *error);
void dtr_pool_free(struct dtr_pool *pool);

/* Visits the pool's own threads, as number 1, 2, ...; number 0 is the caller of dtr_pool_run(). */
typedef void dtr_thread_visit(void *arg, uint32_t thread, pthread_t id);
void dtr_pool_threads(const struct dtr_pool *pool, dtr_thread_visit *visit, void *arg);

/* Runs body(arg, i) for every i in [0, count), in any order, and returns when all have returned.
 * One job at a time; not from within a body. */
void dtr_pool_run(struct dtr_pool *pool, void (*body)(void *arg, uint32_t index), void *arg,
                  uint32_t count);

#endif

/* SPDX-License-Identifier: MIT
 *
 * worker.h -- the life of a worker: it serves one leader over a control channel, from the greeting
 * to the last request.
 */
#ifndef DTR_RUN_WORKER_H
#define DTR_RUN_WORKER_H

#include "base/error.h"
#include "base/log.h"
#include "plugin/registry.h"
#include "run/channel.h"

/* What a worker has of its own. */
struct dtr_worker_options {
    const struct dtr_channel_keys *keys; /* of the stream; NULL: the leader is on this machine */
    const char *models;                  /* a folder with models, or NULL */
    const char *cache;                   /* a folder for weights that the leader sends, or NULL */
    uint64_t cache_bytes;                /* the most that it holds */
};

/* Serves the leader at the other end of the descriptor, which is taken over, until it sends the
 * end or is gone.  With keys the stream is sealed and the leader on another machine: what it says
 * of files does not hold here.  Blocks.  DTR_E_CANCELLED: it says, in place of an experiment, that
 * this process will not be needed again. */
int dtr_worker_serve(int fd, const struct dtr_worker_options *options, struct dtr_plugins *plugins,
                     const struct dtr_log *log, struct dtr_error *error);

#endif

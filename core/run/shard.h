/* SPDX-License-Identifier: MIT
 *
 * shard.h -- the part of a model's weights that a worker needs and has no file of: it asks its
 * leader for the pieces, and keeps them in its cache where it has one.
 */
#ifndef DTR_RUN_SHARD_H
#define DTR_RUN_SHARD_H

#include "run/cache.h"
#include "run/channel.h"
#include "run/message.h"

struct dtr_shard {
    struct dtr_channel *channel;
    const uint64_t *epoch;   /* of the group that the worker is in */
    struct dtr_cache *cache; /* or NULL */
    struct dtr_writer writer;
    uint64_t sent_bytes, cached_bytes; /* that came from the leader, and from the cache */
};

/* The `fetch` of a struct dtr_supply whose `arg` is the shard.  Blocks until the leader has sent
 * all that the cache has not. */
int dtr_shard_fetch(void *shard, const struct dtr_piece *piece, size_t row_bytes, uint8_t *out,
                    struct dtr_error *error);

void dtr_write_piece(struct dtr_writer *writer, const struct dtr_piece *piece);
void dtr_read_piece(struct dtr_reader *reader, struct dtr_piece *piece);

#endif

/* SPDX-License-Identifier: MIT
 *
 * cache.h -- pieces of models' weights that a worker was sent, kept in a folder for the next time:
 * a folder for each model, by its digest, and a file for each piece, with a hash of what it holds.
 */
#ifndef DTR_RUN_CACHE_H
#define DTR_RUN_CACHE_H

#include "base/log.h"
#include "model/supply.h"

struct dtr_cache;

/* Makes the folder where there is none, and says whether it can be written.  DTR_E_CONFIG. */
int dtr_cache_check(const char *folder, struct dtr_error *error);

/* Makes the model's folder where it is not there yet.  Models that were used longest ago go first
 * when there would be more than `bytes_max`.  DTR_E_SYSTEM. */
int dtr_cache_open(const char *folder, uint64_t bytes_max, const uint8_t digest[32],
                   const struct dtr_log *log, struct dtr_cache **cache_p, struct dtr_error *error);
void dtr_cache_close(struct dtr_cache *cache);

/* True: the piece was there, whole, and is in `out`.  One that is not whole is removed. */
bool dtr_cache_load(struct dtr_cache *cache, const struct dtr_piece *piece, uint8_t *out,
                    size_t length);

/* Keeps a piece if there is room; a cache that cannot be written to is no failure. */
void dtr_cache_store(struct dtr_cache *cache, const struct dtr_piece *piece, const uint8_t *bytes,
                     size_t length);

#endif

/* SPDX-License-Identifier: MIT
 *
 * random.h -- numbers that depend only on (key, row, column): any rectangle of a matrix can be made
 * alone, on any machine, and is the same there.  The generator is SplitMix64 (Steele, Lea and Flood
 * 2014), one stream a row, each of its outputs giving the numbers of two columns.
 */
#ifndef DTR_MODEL_RANDOM_H
#define DTR_MODEL_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* A key of its own for each (key, value). */
uint64_t dtr_random_key(uint64_t key, uint64_t value);

/* base + scale u, u uniform in [-1, 1), for columns [column, column + count) of one row.  The same
 * to the last bit everywhere if base is 0 or scale is a power of two. */
void dtr_random_row(uint64_t key, uint32_t row, uint32_t column, size_t count, float base,
                    float scale, float *out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * ways.h -- which algorithm each collective takes, by its kind, by how many devices take part and
 * by its size: part of a plan, so that all devices agree on it.
 */
#ifndef DTR_PLAN_WAYS_H
#define DTR_PLAN_WAYS_H

#include "plan/route.h"
#include "plan/schedule.h"

/* A class for each power of two of bytes of the whole matrix that is moved. */
#define DTR_SIZE_CLASSES 32u

/* A class for 2 devices, up to 4, up to 8 and so on; the last for all beyond. */
#define DTR_COUNT_CLASSES 6u

/* Direct everywhere when all is 0. */
struct dtr_ways {
    uint8_t way[DTR_COLLECTIVE_KINDS][DTR_COUNT_CLASSES][DTR_SIZE_CLASSES];
};

uint32_t dtr_size_class(uint64_t bytes);
uint32_t dtr_count_class(uint32_t devices);

/* `ways` may be NULL: direct. */
enum dtr_algorithm dtr_ways_algorithm(const struct dtr_ways *ways, enum dtr_collective_kind kind,
                                      uint32_t devices, uint64_t bytes);
void dtr_ways_set(struct dtr_ways *ways, enum dtr_collective_kind kind, uint32_t count_class,
                  uint32_t size_class, enum dtr_algorithm algorithm);

/* That algorithm among any number at every size, and an error where it cannot be; and whether that
 * was said. */
void dtr_ways_insist(struct dtr_ways *ways, enum dtr_collective_kind kind,
                     enum dtr_algorithm algorithm);
bool dtr_ways_insist_on(const struct dtr_ways *ways, enum dtr_collective_kind kind);

/* False when it holds what is no algorithm. */
bool dtr_ways_check(const struct dtr_ways *ways);

#endif

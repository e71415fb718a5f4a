/* SPDX-License-Identifier: MIT */
#include "plan/ways.h"

#include <string.h>

/* Beside an algorithm that the experiment insists on. */
static const uint8_t insisted = 0x80;

uint32_t dtr_size_class(uint64_t bytes) {
    uint32_t size_class = 0;
    for (; bytes > 1 && size_class + 1 < DTR_SIZE_CLASSES; bytes >>= 1)
        size_class++;
    return size_class;
}

uint32_t dtr_count_class(uint32_t devices) {
    uint32_t count_class = 0;
    while (count_class + 1 < DTR_COUNT_CLASSES && devices > 2u << count_class)
        count_class++;
    return count_class;
}

static enum dtr_algorithm algorithm_of(uint8_t way) {
    return (enum dtr_algorithm)(way & ~insisted);
}

enum dtr_algorithm dtr_ways_algorithm(const struct dtr_ways *ways, enum dtr_collective_kind kind,
                                      uint32_t devices, uint64_t bytes) {
    return ways ? algorithm_of(ways->way[kind][dtr_count_class(devices)][dtr_size_class(bytes)])
                : DTR_DIRECT;
}

void dtr_ways_set(struct dtr_ways *ways, enum dtr_collective_kind kind, uint32_t count_class,
                  uint32_t size_class, enum dtr_algorithm algorithm) {
    ways->way[kind][count_class][size_class] = (uint8_t)algorithm;
}

void dtr_ways_insist(struct dtr_ways *ways, enum dtr_collective_kind kind,
                     enum dtr_algorithm algorithm) {
    memset(ways->way[kind], insisted | (int)algorithm, sizeof ways->way[kind]);
}

bool dtr_ways_insist_on(const struct dtr_ways *ways, enum dtr_collective_kind kind) {
    return ways && ways->way[kind][0][0] & insisted;
}

bool dtr_ways_check(const struct dtr_ways *ways) {
    const uint8_t *way = &ways->way[0][0][0];
    for (size_t i = 0; i < sizeof ways->way; i++)
        if (algorithm_of(way[i]) >= DTR_ALGORITHMS)
            return false;
    return true;
}

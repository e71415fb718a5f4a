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

static enum dtr_algorithm algorithm_of(uint8_t way) {
    return (enum dtr_algorithm)(way & ~insisted);
}

enum dtr_algorithm dtr_ways_algorithm(const struct dtr_ways *ways, enum dtr_collective_kind kind,
                                      uint64_t bytes) {
    return ways ? algorithm_of(ways->way[kind][dtr_size_class(bytes)]) : DTR_DIRECT;
}

void dtr_ways_set(struct dtr_ways *ways, enum dtr_collective_kind kind, uint32_t size_class,
                  enum dtr_algorithm algorithm) {
    ways->way[kind][size_class] = (uint8_t)algorithm;
}

void dtr_ways_insist(struct dtr_ways *ways, enum dtr_collective_kind kind,
                     enum dtr_algorithm algorithm) {
    memset(ways->way[kind], insisted | (int)algorithm, DTR_SIZE_CLASSES);
}

bool dtr_ways_insist_on(const struct dtr_ways *ways, enum dtr_collective_kind kind) {
    return ways && ways->way[kind][0] & insisted;
}

bool dtr_ways_check(const struct dtr_ways *ways) {
    for (uint32_t kind = 0; kind < DTR_COLLECTIVE_KINDS; kind++)
        for (uint32_t i = 0; i < DTR_SIZE_CLASSES; i++)
            if (algorithm_of(ways->way[kind][i]) >= DTR_ALGORITHMS)
                return false;
    return true;
}

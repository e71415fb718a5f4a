/* SPDX-License-Identifier: MIT */
#include "plan/split.h"

#include <math.h>

struct dtr_range dtr_range_intersect(struct dtr_range a, struct dtr_range b) {
    const uint32_t begin = a.begin > b.begin ? a.begin : b.begin;
    const uint32_t end = a.end < b.end ? a.end : b.end;
    return (struct dtr_range){begin, end > begin ? end : begin};
}

struct dtr_range dtr_range_piece(struct dtr_range range, uint32_t index, uint32_t count) {
    const uint64_t size = dtr_range_count(range);
    return (struct dtr_range){range.begin + (uint32_t)(size * index / count),
                              range.begin + (uint32_t)(size * (index + 1) / count)};
}

/* The fraction that taker i was left short of by rounding down; below zero once it was given one
 * more, or when it takes nothing. */
static double remainder_of(double quota, uint32_t given, double weight) {
    return weight > 0 ? quota - (double)given : -1.0;
}

void dtr_split(uint32_t total, uint32_t unit, const double *weight, uint32_t count,
               struct dtr_range *ranges) {
    const uint32_t units = (total + unit - 1) / unit;
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += weight[i];
    uint32_t left = units;
    for (uint32_t i = 0; i < count; i++) {
        /* `end` holds the count until the bounds are known. */
        ranges[i].end = (uint32_t)floor((double)units * weight[i] / sum + 1e-9);
        if (ranges[i].end > left)
            ranges[i].end = left;
        left -= ranges[i].end;
    }
    while (left) {
        uint32_t best = 0;
        double most = -2.0;
        for (uint32_t i = 0; i < count; i++) {
            const double short_of =
                remainder_of((double)units * weight[i] / sum, ranges[i].end, weight[i]);
            if (short_of > most + 1e-9) {
                most = short_of;
                best = i;
            }
        }
        ranges[best].end++;
        left--;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t end = (uint64_t)at + (uint64_t)ranges[i].end * unit;
        ranges[i] = (struct dtr_range){at, end < total ? (uint32_t)end : total};
        at = ranges[i].end;
    }
}

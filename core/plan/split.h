/* SPDX-License-Identifier: MIT
 *
 * split.h -- dividing a whole number of things by weights.
 */
#ifndef DTR_PLAN_SPLIT_H
#define DTR_PLAN_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

/* A half-open range. */
struct dtr_range {
    uint32_t begin, end;
};

static inline uint32_t dtr_range_count(struct dtr_range range) {
    return range.end - range.begin;
}

static inline bool dtr_range_empty(struct dtr_range range) {
    return range.begin >= range.end;
}

struct dtr_range dtr_range_intersect(struct dtr_range a, struct dtr_range b);

/* Divides [0, total) among `count` takers in proportion to their weights, by the largest
 * remainder; equal remainders go to the first.  Every bound but the last is a multiple of `unit`.
 * A weight of zero gets an empty range.  At least one weight must be positive. */
void dtr_split(uint32_t total, uint32_t unit, const double *weight, uint32_t count,
               struct dtr_range *ranges);

/* The index-th of `count` nearly equal pieces of a range; pieces may be empty. */
struct dtr_range dtr_range_piece(struct dtr_range range, uint32_t index, uint32_t count);

#endif

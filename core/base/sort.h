/* SPDX-License-Identifier: MIT
 *
 * sort.h -- numbers in order, for medians and quartiles of what was measured.
 */
#ifndef DTR_BASE_SORT_H
#define DTR_BASE_SORT_H

#include <stddef.h>
#include <stdlib.h>

static inline int dtr_compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest first. */
static inline void dtr_sort_doubles(double *values, size_t count) {
    qsort(values, count, sizeof *values, dtr_compare_doubles);
}

#endif

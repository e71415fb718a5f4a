/* SPDX-License-Identifier: MIT
 *
 * metrics.h -- what predictions are worth, as GLUE's tasks count it (Wang et al. 2018).  Labels are
 * whole numbers from 0 on; of two, 1 is the positive one.
 */
#ifndef DTR_EVAL_METRICS_H
#define DTR_EVAL_METRICS_H

#include <stddef.h>

#include "base/error.h"

/* The share of predictions that are the gold label.  `count` is at least 1 here and below. */
double dtr_metric_accuracy(const double *predicted, const double *gold, size_t count);

/* F1 of the positive label; 0 when it is neither predicted nor gold. */
double dtr_metric_f1(const double *predicted, const double *gold, size_t count);

/* Matthews' correlation of two labels; 0 when one side has only one of them. */
double dtr_metric_matthews(const double *predicted, const double *gold, size_t count);

/* Pearson's correlation; NaN when one side is constant. */
double dtr_metric_pearson(const double *predicted, const double *gold, size_t count);

/* Spearman's: Pearson's of the ranks, equal values sharing the mean of theirs.  DTR_E_MEMORY. */
int dtr_metric_spearman(const double *predicted, const double *gold, size_t count, double *value_p,
                        struct dtr_error *error);

#endif

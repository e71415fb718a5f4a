/* SPDX-License-Identifier: MIT */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

double dtr_metric_accuracy(const double *predicted, const double *gold, size_t count) {
    size_t right = 0;
    for (size_t i = 0; i < count; i++)
        right += predicted[i] == gold[i];
    return (double)right / (double)count;
}

/* How often each gold label (row) was given each label (column). */
struct confusion {
    double of[2][2];
};

static struct confusion confuse(const double *predicted, const double *gold, size_t count) {
    struct confusion confusion = {0};
    for (size_t i = 0; i < count; i++)
        confusion.of[gold[i] == 1][predicted[i] == 1]++;
    return confusion;
}

double dtr_metric_f1(const double *predicted, const double *gold, size_t count) {
    const struct confusion confusion = confuse(predicted, gold, count);
    const double right = 2 * confusion.of[1][1];
    const double all = right + confusion.of[0][1] + confusion.of[1][0];
    return all > 0 ? right / all : 0;
}

double dtr_metric_matthews(const double *predicted, const double *gold, size_t count) {
    const struct confusion n = confuse(predicted, gold, count);
    const double product = (n.of[1][1] + n.of[0][1]) * (n.of[1][1] + n.of[1][0]) *
                           (n.of[0][0] + n.of[0][1]) * (n.of[0][0] + n.of[1][0]);
    return product > 0 ? (n.of[1][1] * n.of[0][0] - n.of[0][1] * n.of[1][0]) / sqrt(product) : 0;
}

static double mean(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

double dtr_metric_pearson(const double *predicted, const double *gold, size_t count) {
    const double middle = mean(predicted, count), gold_middle = mean(gold, count);
    double both = 0, square = 0, gold_square = 0;
    for (size_t i = 0; i < count; i++) {
        const double a = predicted[i] - middle, b = gold[i] - gold_middle;
        both += a * b;
        square += a * a;
        gold_square += b * b;
    }
    return square > 0 && gold_square > 0 ? both / (sqrt(square) * sqrt(gold_square)) : NAN;
}

struct placed {
    double value;
    size_t at;
};

static int compare_placed(const void *a, const void *b) {
    const double left = ((const struct placed *)a)->value,
                 right = ((const struct placed *)b)->value;
    return (left > right) - (left < right);
}

static void rank(const double *values, size_t count, struct placed *sorted, double *ranks) {
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct placed){values[i], i};
    qsort(sorted, count, sizeof *sorted, compare_placed);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && sorted[end].value == sorted[begin].value;)
            end++;
        for (size_t i = begin; i < end; i++)
            ranks[sorted[i].at] = (double)(begin + end - 1) / 2;
    }
}

int dtr_metric_spearman(const double *predicted, const double *gold, size_t count, double *value_p,
                        struct dtr_error *error) {
    struct placed *sorted = calloc(count, sizeof *sorted);
    double *ranks = calloc(2 * count, sizeof *ranks);
    int status = sorted && ranks ? DTR_OK : dtr_fail_memory(error);
    if (!status) {
        rank(predicted, count, sorted, ranks);
        rank(gold, count, sorted, ranks + count);
        *value_p = dtr_metric_pearson(ranks, ranks + count, count);
    }
    free(sorted);
    free(ranks);
    return status;
}

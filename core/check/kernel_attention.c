/* SPDX-License-Identifier: MIT
 *
 * kernel_attention.c -- attention over one and several sequences, over all queries and some.
 */
#include "check/kernel_rig.h"

#include <math.h>
#include <stdlib.h>

#include "base/dtype.h"

static const struct dtr_span one[] = {{0, 1, 0, 1}};
static const struct dtr_span two[] = {{0, 2, 0, 2}};
static const struct dtr_span odd[] = {{0, 15, 0, 15}};
static const struct dtr_span tile[] = {{0, 16, 0, 16}};
static const struct dtr_span past_tile[] = {{0, 25, 0, 25}};
static const struct dtr_span edge[] = {{0, 63, 0, 63}};
static const struct dtr_span past_edge[] = {{0, 65, 0, 65}};
static const struct dtr_span longer[] = {{0, 130, 0, 130}};
static const struct dtr_span first_query[] = {{0, 1, 0, 70}};
static const struct dtr_span some_queries[] = {{3, 9, 0, 33}};
static const struct dtr_span unequal[] = {{0, 5, 0, 5}, {5, 17, 5, 17}, {22, 1, 22, 1}};
static const struct dtr_span first_of_each[] = {{0, 1, 0, 12}, {1, 1, 12, 31}, {2, 1, 43, 2}};
static const struct dtr_span apart[] = {
    {1, 4, 2, 9}, {7, 0, 12, 3}, {9, 8, 20, 24}, {20, 2, 50, 1}};

#define LIST(_spans) _spans, sizeof _spans / sizeof *_spans
static const struct {
    uint32_t heads, head_size, gap;
    float size; /* of the queries: large ones make a sharp softmax */
    const struct dtr_span *spans;
    uint32_t spans_count;
} cases[] = {
    {1, 1, 0, 1.0f, LIST(one)},
    {1, 4, 1, 1.0f, LIST(two)},
    {2, 8, 0, 1.0f, LIST(odd)},
    {3, 16, 5, 1.0f, LIST(tile)},
    {2, 17, 1, 1.0f, LIST(past_tile)},
    {12, 32, 0, 1.0f, LIST(edge)},
    {1, 33, 3, 1.0f, LIST(past_edge)},
    {2, 64, 0, 1.0f, LIST(longer)},
    {1, 65, 1, 1.0f, LIST(past_tile)},
    {2, 80, 16, 1.0f, LIST(edge)},
    {1, 128, 0, 1.0f, LIST(past_edge)},
    {3, 24, 1, 1.0f, LIST(first_query)},
    {2, 64, 1, 1.0f, LIST(some_queries)},
    {4, 32, 0, 1.0f, LIST(unequal)},
    {2, 64, 7, 1.0f, LIST(first_of_each)},
    {5, 12, 1, 1.0f, LIST(apart)},
    {2, 64, 0, 300.0f, LIST(longer)},
    {1, 31, 1, 1e-3f, LIST(edge)},
};

#define BF16_ROUNDING 0x1p-8 /* half a unit in the last place of 1 */
#define BF16_SIZE 8.0f       /* of the largest queries: beyond it rounding may do anything */

/* Whether factors of the products may be rounded to bfloat16. */
static bool may_round(uint32_t dtype) {
    return dtype == DTR_BF16 || dtype == DTR_INT8;
}

struct matrices {
    struct kernel_grid q, k, v, context;
};

static void free_matrices(struct matrices *m) {
    dtr_kernel_grid_free(&m->q);
    dtr_kernel_grid_free(&m->k);
    dtr_kernel_grid_free(&m->v);
    dtr_kernel_grid_free(&m->context);
}

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static bool make_matrices(struct matrices *m, const struct dtr_attention *a, uint32_t gap,
                          float size) {
    uint32_t queries = 0, keys = 0;
    const uint32_t columns = a->heads * a->head_size;
    for (uint32_t s = 0; s < a->spans_count; s++) {
        const struct dtr_span *span = &a->spans[s];
        queries = larger(queries, span->query_first + span->query_rows);
        keys = larger(keys, span->key_first + span->key_rows);
    }
    *m = (struct matrices){0};
    if (!dtr_kernel_grid_make(&m->q, queries, columns, gap) ||
        !dtr_kernel_grid_make(&m->k, keys, columns, gap + 2) ||
        !dtr_kernel_grid_make(&m->v, keys, columns, gap) ||
        !dtr_kernel_grid_make(&m->context, queries, columns, gap + 1))
        return false;
    dtr_kernel_grid_fill(&m->q, 1, size);
    dtr_kernel_grid_fill(&m->k, 2, 1.0f);
    dtr_kernel_grid_fill(&m->v, 3, 1.0f);
    return true;
}

/* Softmax over the span's keys in double precision; *limit_p is what the context may be off. */
static void weigh(const struct dtr_attention *a, const struct dtr_span *span, const float *q,
                  const float *k, double *weight, double *limit_p) {
    double highest = -INFINITY, sum = 0.0, magnitude = 0.0;
    for (uint32_t j = 0; j < span->key_rows; j++) {
        double dot = 0.0, size = 0.0;
        for (uint32_t i = 0; i < a->head_size; i++) {
            const double term = (double)q[i] * (double)k[j * a->k_stride + i];
            dot += term;
            size += fabs(term);
        }
        weight[j] = dot * (double)a->scale;
        highest = fmax(highest, weight[j]);
        magnitude = fmax(magnitude, size * (double)a->scale);
    }
    for (uint32_t j = 0; j < span->key_rows; j++)
        sum += weight[j] = exp(weight[j] - highest);
    for (uint32_t j = 0; j < span->key_rows; j++)
        weight[j] /= sum;
    *limit_p = KERNEL_ROUNDING * (16.0 + 8.0 * magnitude);
    /* A weight is off by as much as its product and the sum of all are. */
    if (may_round(a->dtype))
        *limit_p += expm1(4.0 * BF16_ROUNDING * magnitude) + 2.0 * BF16_ROUNDING;
}

static void compare_query(const struct dtr_attention *a, const struct dtr_span *span, uint32_t head,
                          uint32_t query, double *weight, struct kernel_verdict *verdict) {
    const size_t column = (size_t)head * a->head_size;
    const float *v = a->v + span->key_first * a->v_stride + column;
    double limit;
    weigh(a, span, a->q + query * a->q_stride + column,
          a->k + span->key_first * a->k_stride + column, weight, &limit);
    for (uint32_t i = 0; i < a->head_size; i++) {
        double expected = 0.0;
        for (uint32_t j = 0; j < span->key_rows; j++)
            expected += weight[j] * (double)v[j * a->v_stride + i];
        dtr_kernel_verdict_value(verdict, "context", query, (uint32_t)column + i,
                                 (double)a->context[query * a->context_stride + column + i],
                                 expected, limit);
    }
}

static void compare(const struct dtr_attention *a, const struct kernel_grid *context,
                    struct kernel_verdict *verdict) {
    uint32_t keys = 1;
    for (uint32_t s = 0; s < a->spans_count; s++)
        keys = larger(keys, a->spans[s].key_rows);
    double *weight = calloc(keys, sizeof *weight);
    bool *covered = calloc(context->rows + 1u, sizeof *covered);
    if (!weight || !covered) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        goto out;
    }
    for (uint32_t s = 0; s < a->spans_count; s++)
        for (uint32_t i = 0; i < a->spans[s].query_rows; i++) {
            const uint32_t query = a->spans[s].query_first + i;
            covered[query] = true;
            for (uint32_t head = 0; head < a->heads; head++)
                compare_query(a, &a->spans[s], head, query, weight, verdict);
        }
    for (uint32_t row = 0; row < context->rows; row++)
        for (uint32_t column = 0; column < context->columns; column++)
            if (!covered[row] && !dtr_kernel_grid_is_marked(context, row, column))
                dtr_kernel_verdict_fail(verdict, "attention() wrote to row %u, which is no query's",
                                        row);
out:
    free(weight);
    free(covered);
}

static void try_attention(struct kernel_rig *rig, const struct dtr_attention *shape, uint32_t gap,
                          float size, struct kernel_verdict *verdict) {
    struct dtr_attention a = *shape;
    struct matrices m;
    if (!make_matrices(&m, &a, gap, size)) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        free_matrices(&m);
        return;
    }
    a.q = m.q.at;
    a.k = m.k.at;
    a.v = m.v.at;
    a.context = m.context.at;
    a.q_stride = m.q.stride;
    a.k_stride = m.k.stride;
    a.v_stride = m.v.stride;
    a.context_stride = m.context.stride;
    int status = rig->ops->attention(rig->self, &a);
    if (!status)
        compare(&a, &m.context, verdict);
    const uint64_t allocations = dtr_kernel_rig_allocations(rig);
    if (!status)
        status = rig->ops->attention(rig->self, &a);
    if (status)
        dtr_kernel_verdict_fail(verdict, "attention() failed with %d", status);
    if (dtr_kernel_rig_allocations(rig) != allocations)
        dtr_kernel_verdict_fail(verdict, "the second run of attention() allocates");
    if (!dtr_kernel_grid_is_intact(&m.context))
        dtr_kernel_verdict_fail(verdict, "attention() wrote outside of the context");
    free_matrices(&m);
}

static void try_dtype(struct kernel_rig *rig, uint32_t dtype, struct dtr_check *check) {
    struct kernel_verdict verdict = {.worst = 0.0};
    char name[60];
    bool any = false;
    snprintf(name, sizeof name, "attention %s, threads %u", dtr_dtype_name(dtype), rig->threads);
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !*verdict.why; i++) {
        const struct dtr_attention attention = {.size = sizeof attention,
                                                .heads = cases[i].heads,
                                                .head_size = cases[i].head_size,
                                                .scale = 1.0f / sqrtf((float)cases[i].head_size),
                                                .spans = cases[i].spans,
                                                .spans_count = cases[i].spans_count,
                                                .dtype = dtype};
        const struct dtr_op_shape op = {.size = sizeof op,
                                        .op = DTR_OP_ATTENTION,
                                        .heads = cases[i].heads,
                                        .head_size = cases[i].head_size};
        if (!rig->ops->attention || rig->ops->supports(rig->self, &op) <= 0)
            continue;
        any = true;
        dtr_kernel_verdict_shape(&verdict,
                                 "%u heads of %u, %u spans, the first with %u queries and "
                                 "%u keys, gap %u",
                                 cases[i].heads, cases[i].head_size, cases[i].spans_count,
                                 cases[i].spans->query_rows, cases[i].spans->key_rows,
                                 cases[i].gap);
        const float size = may_round(dtype) ? fminf(cases[i].size, BF16_SIZE) : cases[i].size;
        try_attention(rig, &attention, cases[i].gap, size, &verdict);
    }
    if (any)
        dtr_kernel_verdict_report(&verdict, check, name);
    else
        dtr_check_skip(check, "not supported", "%s", name);
}

void dtr_kernel_check_attention(struct kernel_rig *rig, struct dtr_check *check) {
    for (uint32_t dtype = DTR_F32; dtype <= DTR_INT8; dtype++)
        try_dtype(rig, dtype, check);
}

/* SPDX-License-Identifier: MIT
 *
 * kernel_rig.h -- what the conformance suite of kernels works with: an open instance whose
 * allocations are counted, matrices that notice writes outside of them, and a verdict that
 * compares with what double precision gives.
 */
#ifndef DTR_CHECK_KERNEL_RIG_H
#define DTR_CHECK_KERNEL_RIG_H

#include <detransformer/kernel.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "check/check.h"
#include "config/experiment.h"
#include "plugin/host.h"

#define KERNEL_ROUNDING 0x1p-24 /* half a unit in the last place of 1.0f */

struct kernel_host {
    struct dtr_services services;     /* first: the plugin hands it back */
    atomic_uint_fast64_t allocations; /* calls of allocate() */
    atomic_int_fast64_t live;         /* those not released yet */
};

/* An open plugin with all that it wraps. */
struct kernel_rig {
    const struct dtr_kernel_ops *ops; /* of the outermost */
    void *self;
    uint32_t threads;
    struct dtr_pool *pool;
    uint32_t count;
    struct dtr_instance instance[DTR_CHAIN_MAX];
    struct kernel_host host[DTR_CHAIN_MAX];
};

int dtr_kernel_rig_open(struct kernel_rig *rig, const struct dtr_chain *chain,
                        const struct dtr_log *log, uint32_t threads, struct dtr_error *error);

/* Returns how many pieces of memory were not released. */
int64_t dtr_kernel_rig_close(struct kernel_rig *rig);

uint64_t dtr_kernel_rig_allocations(const struct kernel_rig *rig);
int64_t dtr_kernel_rig_live(const struct kernel_rig *rig);

/* A matrix of floats with a margin on all sides, filled with a mark that a write destroys. */
struct kernel_grid {
    float *memory;
    size_t floats;
    float *at; /* [0][0]; off by one float from any alignment where `gap` is odd */
    uint32_t rows, columns;
    size_t stride;
};

/* `gap`: floats between two rows.  False: out of memory. */
bool dtr_kernel_grid_make(struct kernel_grid *grid, uint32_t rows, uint32_t columns, uint32_t gap);
void dtr_kernel_grid_free(struct kernel_grid *grid);

/* Values in [-size, size) that depend on nothing but `seed`. */
void dtr_kernel_grid_fill(struct kernel_grid *grid, uint64_t seed, float size);

/* The mark in every cell: what is still there afterwards was not written. */
void dtr_kernel_grid_clear(struct kernel_grid *grid);
bool dtr_kernel_grid_is_marked(const struct kernel_grid *grid, uint32_t row, uint32_t column);

/* No write went outside the rows and columns. */
bool dtr_kernel_grid_is_intact(const struct kernel_grid *grid);

bool dtr_kernel_grid_copy(const struct kernel_grid *grid, struct kernel_grid *copy);
bool dtr_kernel_grid_is_equal(const struct kernel_grid *a, const struct kernel_grid *b);

/* The worst of many comparisons.  `why` is empty as long as all is well. */
struct kernel_verdict {
    char shape[100]; /* what is being compared now */
    double worst;    /* error divided by its limit */
    char worst_shape[100];
    char why[300];
};

__attribute__((format(printf, 2, 3))) void dtr_kernel_verdict_shape(struct kernel_verdict *verdict,
                                                                    const char *format, ...);

/* Keeps the first. */
__attribute__((format(printf, 2, 3))) void dtr_kernel_verdict_fail(struct kernel_verdict *verdict,
                                                                   const char *format, ...);

/* A value beyond its limit, or not a number, is a failure. */
void dtr_kernel_verdict_value(struct kernel_verdict *verdict, const char *what, uint32_t row,
                              uint32_t column, double value, double expected, double limit);

/* One case made of all comparisons; a remark when the error came near its limit. */
void dtr_kernel_verdict_report(const struct kernel_verdict *verdict, struct dtr_check *check,
                               const char *name);

/* The groups of cases. */
void dtr_kernel_check_linear(struct kernel_rig *rig, struct dtr_check *check);
void dtr_kernel_check_attention(struct kernel_rig *rig, struct dtr_check *check);
void dtr_kernel_check_norms(struct kernel_rig *rig, struct dtr_check *check);

/* A linear layer with known weights, compared with the double-precision result. */
struct kernel_linear_case {
    uint32_t rows_max, in, out, dtype, activation, gap;
    bool bias;
};
struct kernel_linear {
    struct kernel_linear_case shape;
    struct kernel_grid weight, bias;
    void *packed;
};
bool dtr_kernel_linear_make(struct kernel_rig *rig, const struct kernel_linear_case *shape,
                            struct kernel_linear *linear, struct kernel_verdict *verdict);
void dtr_kernel_linear_free(struct kernel_rig *rig, struct kernel_linear *linear);
void dtr_kernel_linear_try(struct kernel_rig *rig, const struct kernel_linear *linear,
                           uint32_t rows, uint32_t flags, struct kernel_verdict *verdict);
bool dtr_kernel_linear_is_supported(struct kernel_rig *rig, const struct kernel_linear_case *shape);

#endif

/* SPDX-License-Identifier: MIT
 *
 * bench_work.h -- the work that kernels are measured with: the operations of BERT's layers, or any
 * linear layer, in one type and with a number of rows.
 */
#ifndef DTR_CLI_BENCH_WORK_H
#define DTR_CLI_BENCH_WORK_H

#include <detransformer/kernel.h>

#include "base/error.h"

struct dtr_bench_shape {
    char name[40];
    uint32_t op;               /* DTR_OP_LINEAR, _ATTENTION or _ADD_NORM */
    uint32_t out, in;          /* linear; `out` is the number of columns of a norm */
    uint32_t activation;       /* linear */
    uint32_t heads, head_size; /* attention */
};

/* The index-th shape of BERT-Base, then of BERT-Large; NULL from the end on.  Their names begin
 * with "base-" and "large-". */
const struct dtr_bench_shape *dtr_bench_shape(size_t index);

/* What one run takes: operations, and bytes that it has to read or write. */
double dtr_bench_flops(const struct dtr_bench_shape *shape, uint32_t rows);
double dtr_bench_bytes(const struct dtr_bench_shape *shape, uint32_t rows, uint32_t dtype);

/* Operands for one shape and kernel. */
struct dtr_bench_work;

/* Prepares as many weights as a model has layers, or as overflow the caches; they take turns.
 * DTR_E_UNSUPPORTED when the kernel does not do it. */
int dtr_bench_work_create(const struct dtr_instance *kernel, const struct dtr_bench_shape *shape,
                          uint32_t rows, uint32_t dtype, struct dtr_bench_work **work_p,
                          struct dtr_error *error);
void dtr_bench_work_free(struct dtr_bench_work *work);

/* Runs once more, on the next weight. */
int dtr_bench_work_run(struct dtr_bench_work *work);

#endif

/* SPDX-License-Identifier: MIT */
#include "cli/bench_work.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define LINEAR(_name, _out, _in, _activation) \
    { .name = _name, .op = DTR_OP_LINEAR, .out = _out, .in = _in, .activation = _activation }

static const struct dtr_bench_shape shapes[] = {
    LINEAR("base-qkv", 2304, 768, DTR_ACT_NONE),
    LINEAR("base-projection", 768, 768, DTR_ACT_NONE),
    LINEAR("base-feed-forward-1", 3072, 768, DTR_ACT_GELU),
    LINEAR("base-feed-forward-2", 768, 3072, DTR_ACT_NONE),
    {.name = "base-attention", .op = DTR_OP_ATTENTION, .heads = 12, .head_size = 64},
    {.name = "base-norm", .op = DTR_OP_ADD_NORM, .out = 768},
    LINEAR("large-qkv", 3072, 1024, DTR_ACT_NONE),
    LINEAR("large-projection", 1024, 1024, DTR_ACT_NONE),
    LINEAR("large-feed-forward-1", 4096, 1024, DTR_ACT_GELU),
    LINEAR("large-feed-forward-2", 1024, 4096, DTR_ACT_NONE),
    {.name = "large-attention", .op = DTR_OP_ATTENTION, .heads = 16, .head_size = 64},
    {.name = "large-norm", .op = DTR_OP_ADD_NORM, .out = 1024},
};

const struct dtr_bench_shape *dtr_bench_shape(size_t index) {
    return index < sizeof shapes / sizeof *shapes ? &shapes[index] : NULL;
}

double dtr_bench_flops(const struct dtr_bench_shape *shape, uint32_t rows) {
    const double m = rows;
    if (shape->op == DTR_OP_LINEAR)
        return 2 * m * shape->out * shape->in;
    if (shape->op == DTR_OP_ATTENTION)
        return 4 * m * m * shape->heads * shape->head_size;
    return 0;
}

double dtr_bench_bytes(const struct dtr_bench_shape *shape, uint32_t rows, uint32_t dtype) {
    static const double element[] = {[DTR_F32] = 4, [DTR_F16] = 2, [DTR_BF16] = 2, [DTR_INT8] = 1};
    const double m = rows;
    if (shape->op == DTR_OP_LINEAR)
        return element[dtype % 4] * shape->out * shape->in + 4 * m * (shape->out + shape->in);
    if (shape->op == DTR_OP_ATTENTION)
        return 4 * 4 * m * shape->heads * shape->head_size;
    return 3 * 4 * m * shape->out;
}

enum { COPIES_MOST = 64 };
static const double copies_bytes = 128 << 20;

struct dtr_bench_work {
    const struct dtr_kernel_ops *ops;
    void *self;
    struct dtr_bench_shape shape;
    uint32_t rows, dtype;
    float *x, *y, *gamma; /* gamma and beta */
    void *packed[COPIES_MOST];
    uint32_t copies, next;
};

static bool is_supported(const struct dtr_kernel_ops *ops, void *self,
                         const struct dtr_bench_shape *shape, const struct dtr_linear *linear) {
    const struct dtr_op_shape asked = {.size = sizeof asked,
                                       .op = shape->op,
                                       .linear = shape->op == DTR_OP_LINEAR ? linear : NULL,
                                       .heads = shape->heads,
                                       .head_size = shape->head_size,
                                       .columns = shape->out};
    return ops->supports(self, &asked) > 0;
}

/* Weights as a trained model has them: small, around zero. */
static float value(size_t i) {
    return (float)((i * 2654435761u) >> 8 & 0xffff) * 0x1p-20f - 0x1p-5f;
}

static int prepare(struct dtr_bench_work *work, const struct dtr_linear *linear, double bytes,
                   struct dtr_error *error) {
    const size_t count = (size_t)linear->out * linear->in;
    float *weight = malloc((count + linear->out) * sizeof *weight);
    if (!weight)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < count + linear->out; i++)
        weight[i] = value(i);
    const double wanted = ceil(copies_bytes / bytes);
    const uint32_t copies = wanted < COPIES_MOST ? (uint32_t)wanted : COPIES_MOST;
    int status = DTR_OK;
    for (; work->copies < copies && !status; work->copies += !status)
        status = work->ops->prepare(work->self, linear, weight, linear->in, weight + count,
                                    &work->packed[work->copies], error);
    free(weight);
    return status;
}

static int make_operands(struct dtr_bench_work *work, struct dtr_error *error) {
    const struct dtr_bench_shape *shape = &work->shape;
    const size_t hidden = (size_t)shape->heads * shape->head_size;
    const size_t out = shape->op == DTR_OP_ATTENTION ? hidden : shape->out;
    const size_t in = shape->op == DTR_OP_LINEAR      ? shape->in
                      : shape->op == DTR_OP_ATTENTION ? 3 * hidden
                                                      : shape->out;
    work->x = malloc(work->rows * in * sizeof *work->x);
    work->y = malloc(work->rows * out * sizeof *work->y);
    work->gamma = malloc(2 * out * sizeof *work->gamma);
    if (!work->x || !work->y || !work->gamma)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < work->rows * in; i++)
        work->x[i] = 16 * value(i);
    for (size_t i = 0; i < work->rows * out; i++)
        work->y[i] = 0;
    for (size_t i = 0; i < 2 * out; i++)
        work->gamma[i] = i < out;
    return DTR_OK;
}

int dtr_bench_work_create(const struct dtr_instance *kernel, const struct dtr_bench_shape *shape,
                          uint32_t rows, uint32_t dtype, struct dtr_bench_work **work_p,
                          struct dtr_error *error) {
    const struct dtr_linear linear = {.size = sizeof linear,
                                      .out = shape->out,
                                      .in = shape->in,
                                      .rows_max = rows,
                                      .dtype = dtype,
                                      .activation = shape->activation};
    if (!is_supported(kernel->plugin->ops, kernel->self, shape, &linear))
        return DTR_E_UNSUPPORTED;
    struct dtr_bench_work *work = calloc(1, sizeof *work);
    if (!work)
        return dtr_fail_memory(error);
    work->ops = kernel->plugin->ops;
    work->self = kernel->self;
    work->shape = *shape;
    work->rows = rows;
    work->dtype = dtype;
    int status = make_operands(work, error);
    if (!status && shape->op == DTR_OP_LINEAR)
        status = prepare(work, &linear, dtr_bench_bytes(shape, 0, dtype), error);
    if (status)
        dtr_bench_work_free(work);
    else
        *work_p = work;
    return status;
}

void dtr_bench_work_free(struct dtr_bench_work *work) {
    if (!work)
        return;
    for (uint32_t i = 0; i < work->copies; i++)
        work->ops->unprepare(work->self, work->packed[i]);
    free(work->x);
    free(work->y);
    free(work->gamma);
    free(work);
}

static int attend(struct dtr_bench_work *work) {
    const struct dtr_bench_shape *shape = &work->shape;
    const size_t hidden = (size_t)shape->heads * shape->head_size;
    const struct dtr_span span = {.query_rows = work->rows, .key_rows = work->rows};
    const struct dtr_attention attention = {.size = sizeof attention,
                                            .heads = shape->heads,
                                            .head_size = shape->head_size,
                                            .scale = 1 / sqrtf((float)shape->head_size),
                                            .q = work->x,
                                            .k = work->x + hidden,
                                            .v = work->x + 2 * hidden,
                                            .context = work->y,
                                            .q_stride = 3 * hidden,
                                            .k_stride = 3 * hidden,
                                            .v_stride = 3 * hidden,
                                            .context_stride = hidden,
                                            .spans_count = 1,
                                            .spans = &span,
                                            .dtype = work->dtype};
    return work->ops->attention(work->self, &attention);
}

int dtr_bench_work_run(struct dtr_bench_work *work) {
    const struct dtr_bench_shape *shape = &work->shape;
    if (shape->op == DTR_OP_ATTENTION)
        return attend(work);
    if (shape->op == DTR_OP_LINEAR) {
        void *packed = work->packed[work->next++ % work->copies];
        return work->ops->linear(work->self, packed, work->rows, work->x, shape->in, work->y,
                                 shape->out, 0);
    }
    const struct dtr_norm norm = {.size = sizeof norm,
                                  .rows = work->rows,
                                  .columns = shape->out,
                                  .x = work->x,
                                  .x_stride = shape->out,
                                  .residual = work->y,
                                  .residual_stride = shape->out,
                                  .y = work->y,
                                  .y_stride = shape->out,
                                  .gamma = work->gamma,
                                  .beta = work->gamma + shape->out,
                                  .epsilon = 1e-12f};
    return work->ops->add_norm(work->self, &norm);
}

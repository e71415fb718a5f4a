/* SPDX-License-Identifier: MIT
 *
 * kernel_linear.c -- linear layers of every type and activation, around the edges of tiles.
 */
#include "check/kernel_rig.h"

#include <math.h>

#include "base/dtype.h"

static const char *const activation_name[] = {"", " with GELU", " with tanh GELU", " with tanh"};

static const struct {
    uint32_t rows_max, in, out, gap;
} shapes[] = {
    {1, 1, 1, 0},      {2, 3, 5, 1},      {3, 7, 9, 0},     {4, 8, 8, 3},     {5, 15, 17, 1},
    {6, 16, 16, 0},    {7, 17, 15, 5},    {8, 31, 33, 1},   {9, 32, 32, 16},  {11, 33, 31, 1},
    {12, 47, 48, 0},   {13, 48, 47, 7},   {14, 63, 65, 1},  {15, 64, 64, 0},  {16, 65, 63, 1},
    {17, 127, 49, 2},  {23, 128, 128, 8}, {24, 129, 97, 1}, {25, 255, 24, 0}, {31, 256, 12, 1},
    {33, 257, 6, 3},   {48, 96, 192, 64}, {63, 40, 127, 1}, {64, 300, 2, 0},  {40, 512, 33, 1},
    {41, 405, 101, 3}, /* many rows, a sum done in pieces, whole panels and the start of one */
};

static double activate(uint32_t activation, double z) {
    switch (activation) {
    case DTR_ACT_GELU:
        return 0.5 * z * erfc(-z * sqrt(0.5));
    case DTR_ACT_GELU_TANH:
        return 0.5 * z * (1.0 + tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z)));
    case DTR_ACT_TANH:
        return tanh(z);
    default:
        return z;
    }
}

/* x . w, and how far it may be off.  f32: a few roundings of the sum of magnitudes, since with
 * signs at random errors cancel as the terms do.  Narrow types: what rounding every factor can do
 * at worst, less what cancels in a long sum. */
static double product(const float *x, const float *w, uint32_t in, uint32_t dtype,
                      double *limit_p) {
    double sum = 0.0, magnitude = 0.0, x_sum = 0.0, w_sum = 0.0, x_far = 0.0, w_far = 0.0;
    for (uint32_t k = 0; k < in; k++) {
        const double a = (double)x[k], b = (double)w[k];
        sum += a * b;
        magnitude += fabs(a * b);
        if (dtype == DTR_INT8) {
            x_sum += fabs(a);
            w_sum += fabs(b);
            x_far = fmax(x_far, fabs(a));
            w_far = fmax(w_far, fabs(b));
        }
    }
    const double cancel = fmin(1.0, 8.0 / sqrt(in ? in : 1));
    const double x_error = x_far / 254.0, w_error = w_far / 254.0; /* half a step each */
    *limit_p = 16.0 * KERNEL_ROUNDING * magnitude;
    if (dtype == DTR_F16)
        *limit_p += 0x1p-10 * magnitude * cancel;
    else if (dtype == DTR_BF16)
        *limit_p += 0x1p-7 * magnitude * cancel;
    else if (dtype == DTR_INT8)
        *limit_p += 1.01 * (x_sum * w_error + w_sum * x_error + in * x_error * w_error) * cancel;
    return sum;
}

/* `before`: what y held when the product is added to it, or NULL. */
static void compare(const struct kernel_linear *linear, const struct kernel_grid *x,
                    const struct kernel_grid *before, const struct kernel_grid *y,
                    struct kernel_verdict *verdict) {
    const struct kernel_linear_case *shape = &linear->shape;
    for (uint32_t row = 0; row < y->rows; row++)
        for (uint32_t column = 0; column < y->columns; column++) {
            const float *a = x->at + row * x->stride;
            const float *w = linear->weight.at + column * linear->weight.stride;
            const double bias = shape->bias ? (double)linear->bias.at[column] : 0.0;
            const double old = before ? (double)before->at[row * before->stride + column] : 0.0;
            double limit;
            const double z = bias + product(a, w, shape->in, shape->dtype, &limit);
            limit += 4.0 * KERNEL_ROUNDING * (fabs(bias) + fabs(old) + fabs(z));
            if (shape->activation != DTR_ACT_NONE)
                limit = 1.13 * limit + 1e-6 * fmax(1.0, fabs(z));
            dtr_kernel_verdict_value(verdict, "y", row, column,
                                     (double)y->at[row * y->stride + column],
                                     activate(shape->activation, z) + old, limit);
        }
}

bool dtr_kernel_linear_is_supported(struct kernel_rig *rig,
                                    const struct kernel_linear_case *shape) {
    const struct dtr_linear linear = {.size = sizeof linear,
                                      .out = shape->out,
                                      .in = shape->in,
                                      .rows_max = shape->rows_max,
                                      .dtype = shape->dtype,
                                      .activation = shape->activation};
    const struct dtr_op_shape op = {.size = sizeof op, .op = DTR_OP_LINEAR, .linear = &linear};
    return rig->ops->supports(rig->self, &op) > 0;
}

bool dtr_kernel_linear_make(struct kernel_rig *rig, const struct kernel_linear_case *shape,
                            struct kernel_linear *linear, struct kernel_verdict *verdict) {
    const struct dtr_linear how = {.size = sizeof how,
                                   .out = shape->out,
                                   .in = shape->in,
                                   .rows_max = shape->rows_max,
                                   .dtype = shape->dtype,
                                   .activation = shape->activation};
    struct dtr_error error = {.status = DTR_OK};
    *linear = (struct kernel_linear){.shape = *shape};
    if (!dtr_kernel_grid_make(&linear->weight, shape->out, shape->in, shape->gap) ||
        !dtr_kernel_grid_make(&linear->bias, 1, shape->out, shape->gap)) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        return false;
    }
    dtr_kernel_grid_fill(&linear->weight, shape->out * 1000u + shape->in, 1.0f);
    dtr_kernel_grid_fill(&linear->bias, shape->out, 1.0f);
    if (rig->ops->prepare(rig->self, &how, linear->weight.at, linear->weight.stride,
                          shape->bias ? linear->bias.at : NULL, &linear->packed, &error)) {
        dtr_kernel_verdict_fail(verdict, "prepare() failed: %s", error.text);
        return false;
    }
    const double numbers = (double)shape->out * shape->in;
    const double bytes = (double)rig->ops->packed_bytes(rig->self, linear->packed);
    if (bytes < numbers || bytes > 8.0 * (shape->out + 64.0) * (shape->in + 64.0) + 65536.0)
        dtr_kernel_verdict_fail(verdict, "packed_bytes() is %.0f for %.0f numbers", bytes, numbers);
    if (DTR_HAS(rig->ops, struct dtr_kernel_ops, prepared_bytes)) {
        const double told = (double)rig->ops->prepared_bytes(rig->self, &how, shape->bias);
        if (told != 0 && told != bytes)
            dtr_kernel_verdict_fail(verdict, "prepared_bytes() is %.0f, packed_bytes() %.0f", told,
                                    bytes);
    }
    return true;
}

void dtr_kernel_linear_free(struct kernel_rig *rig, struct kernel_linear *linear) {
    if (linear->packed)
        rig->ops->unprepare(rig->self, linear->packed);
    dtr_kernel_grid_free(&linear->weight);
    dtr_kernel_grid_free(&linear->bias);
}

static int run(struct kernel_rig *rig, const struct kernel_linear *linear,
               const struct kernel_grid *x, struct kernel_grid *y, uint32_t flags) {
    return rig->ops->linear(rig->self, linear->packed, x->rows, x->at, x->stride, y->at, y->stride,
                            flags);
}

/* The second run must allocate nothing and give the same bits. */
static void run_again(struct kernel_rig *rig, const struct kernel_linear *linear,
                      const struct kernel_grid *x, const struct kernel_grid *before,
                      const struct kernel_grid *y, uint32_t flags, struct kernel_verdict *verdict) {
    struct kernel_grid again;
    if (!dtr_kernel_grid_copy(before, &again)) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        return;
    }
    const uint64_t allocations = dtr_kernel_rig_allocations(rig);
    const int status = run(rig, linear, x, &again, flags);
    if (status)
        dtr_kernel_verdict_fail(verdict, "linear() fails the second time with %d", status);
    else if (!dtr_kernel_grid_is_equal(&again, y))
        dtr_kernel_verdict_fail(verdict, "the second run of linear() gives other numbers");
    if (dtr_kernel_rig_allocations(rig) != allocations)
        dtr_kernel_verdict_fail(verdict, "the second run of linear() allocates");
    dtr_kernel_grid_free(&again);
}

void dtr_kernel_linear_try(struct kernel_rig *rig, const struct kernel_linear *linear,
                           uint32_t rows, uint32_t flags, struct kernel_verdict *verdict) {
    const struct kernel_linear_case *shape = &linear->shape;
    const bool accumulate = flags & DTR_LINEAR_ACCUMULATE;
    struct kernel_grid x = {0}, x_before = {0}, y = {0}, y_before = {0};
    dtr_kernel_verdict_shape(verdict, "%u rows, in %u, out %u, gap %u%s%s", rows, shape->in,
                             shape->out, shape->gap, shape->bias ? "" : ", no bias",
                             accumulate ? ", accumulate" : "");
    if (!dtr_kernel_grid_make(&x, rows, shape->in, shape->gap) ||
        !dtr_kernel_grid_make(&y, rows, shape->out, shape->gap)) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        goto out;
    }
    dtr_kernel_grid_fill(&x, rows, 2.0f);
    if (accumulate)
        dtr_kernel_grid_fill(&y, rows + 1, 1.0f);
    if (!dtr_kernel_grid_copy(&x, &x_before) || !dtr_kernel_grid_copy(&y, &y_before)) {
        dtr_kernel_verdict_fail(verdict, "the test is out of memory");
        goto out;
    }
    const int status = run(rig, linear, &x, &y, flags);
    if (status) {
        dtr_kernel_verdict_fail(verdict, "linear() failed with %d", status);
        goto out;
    }
    if (!dtr_kernel_grid_is_intact(&y))
        dtr_kernel_verdict_fail(verdict, "linear() wrote outside of y");
    if (!dtr_kernel_grid_is_equal(&x, &x_before))
        dtr_kernel_verdict_fail(verdict, "linear() changed x");
    compare(linear, &x, accumulate ? &y_before : NULL, &y, verdict);
    run_again(rig, linear, &x, &y_before, &y, flags, verdict);
out:
    dtr_kernel_grid_free(&x);
    dtr_kernel_grid_free(&x_before);
    dtr_kernel_grid_free(&y);
    dtr_kernel_grid_free(&y_before);
}

/* As many rows as announced, one, none, and more. */
static void try_shape(struct kernel_rig *rig, const struct kernel_linear_case *shape,
                      struct kernel_verdict *verdict) {
    struct kernel_linear linear;
    dtr_kernel_verdict_shape(verdict, "in %u, out %u", shape->in, shape->out);
    if (dtr_kernel_linear_make(rig, shape, &linear, verdict)) {
        dtr_kernel_linear_try(rig, &linear, shape->rows_max, 0, verdict);
        if (shape->bias) {
            dtr_kernel_linear_try(rig, &linear, 1, 0, verdict);
            dtr_kernel_linear_try(rig, &linear, 0, 0, verdict);
            dtr_kernel_linear_try(rig, &linear, shape->rows_max + 3, 0, verdict);
        }
        if (shape->activation == DTR_ACT_NONE)
            dtr_kernel_linear_try(rig, &linear, shape->rows_max, DTR_LINEAR_ACCUMULATE, verdict);
    }
    dtr_kernel_linear_free(rig, &linear);
}

static void try_activation(struct kernel_rig *rig, uint32_t dtype, uint32_t activation,
                           struct dtr_check *check) {
    struct kernel_verdict verdict = {.worst = 0.0};
    char name[100];
    bool any = false;
    snprintf(name, sizeof name, "linear %s%s, threads %u", dtr_dtype_name(dtype),
             activation_name[activation], rig->threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !*verdict.why; i++) {
        struct kernel_linear_case shape = {.rows_max = shapes[i].rows_max,
                                           .in = shapes[i].in,
                                           .out = shapes[i].out,
                                           .gap = shapes[i].gap,
                                           .dtype = dtype,
                                           .activation = activation,
                                           .bias = true};
        if (!dtr_kernel_linear_is_supported(rig, &shape))
            continue;
        any = true;
        try_shape(rig, &shape, &verdict);
        shape.bias = false;
        try_shape(rig, &shape, &verdict);
    }
    if (any)
        dtr_kernel_verdict_report(&verdict, check, name);
    else
        dtr_check_skip(check, "not supported", "%s", name);
}

void dtr_kernel_check_linear(struct kernel_rig *rig, struct dtr_check *check) {
    for (uint32_t dtype = DTR_F32; dtype <= DTR_INT8; dtype++)
        for (uint32_t activation = DTR_ACT_NONE; activation <= DTR_ACT_TANH; activation++)
            try_activation(rig, dtype, activation, check);
}

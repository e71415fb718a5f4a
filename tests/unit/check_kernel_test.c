/* SPDX-License-Identifier: MIT
 *
 * check_kernel_test.c -- the conformance suite of kernels finds what is wrong with kernels that are
 * wrong on purpose, and nothing with the same kernel when it is right.
 */
#include "unit.h"

#include "check/kernel.h"
#include "config/experiment.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum fault {
    NONE,
    LINEAR_FAILS,
    LINEAR_WRITES_PAST_THE_ROW,
    LINEAR_LEAVES_THE_LAST_COLUMN,
    LINEAR_IGNORES_STRIDES,
    LINEAR_FORGETS_BIAS,
    LINEAR_FORGETS_TO_ACCUMULATE,
    LINEAR_IS_ROUGH,
    LINEAR_HAS_THE_OTHER_GELU,
    LINEAR_GIVES_NAN,
    LINEAR_CHANGES_INPUT,
    LINEAR_ALLOCATES,
    LINEAR_WAVERS,
    PACKED_BYTES_IS_ZERO,
    PREPARE_LEAKS,
    CLOSE_LEAKS,
    SUPPORTS_EVERYTHING,
    ATTENTION_FORGETS_SCALE,
    ATTENTION_OVERFLOWS,
    ATTENTION_SEES_ONE_KEY_LESS,
    ATTENTION_ROUNDS_FLOATS,
    ATTENTION_ROUNDS_TOO_COARSELY,
    NORM_FORGETS_RESIDUAL,
    NORM_CANCELS,
    MOMENTS_GIVE_VARIANCE,
    NORMALISE_COUNTS_COLUMNS,
    FAULTS
};

struct params {
    int32_t fault;
};

struct naive {
    const struct dtr_host *host;
    enum fault fault;
    uint32_t calls;
    void *leak;
};

struct packed {
    struct dtr_linear linear;
    float *weight, *bias;
};

static int naive_supports(void *self, const struct dtr_op_shape *shape) {
    const struct naive *naive = self;
    if (shape->op == DTR_OP_LINEAR)
        return shape->linear->dtype == DTR_F32 && shape->linear->activation <= DTR_ACT_GELU_TANH;
    return shape->op <= DTR_OP_NORMALISE || naive->fault == SUPPORTS_EVERYTHING;
}

static int naive_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                         size_t stride, const float *bias, void **packed_p,
                         struct dtr_error *error) {
    struct naive *naive = self;
    const struct dtr_host *host = naive->host;
    const size_t floats = (size_t)linear->out * (linear->in + 1);
    (void)error;
    struct packed *packed =
        host->allocate(host, _Alignof(struct packed), sizeof *packed + floats * sizeof(float));
    packed->linear = *linear;
    packed->weight = (float *)(packed + 1);
    packed->bias = packed->weight + (size_t)linear->out * linear->in;
    for (uint32_t n = 0; n < linear->out; n++) {
        memcpy(packed->weight + (size_t)n * linear->in, weight + n * stride,
               linear->in * sizeof(float));
        packed->bias[n] = bias && naive->fault != LINEAR_FORGETS_BIAS ? bias[n] : 0.0f;
    }
    if (naive->fault == PREPARE_LEAKS) {
        void **lost = host->allocate(host, sizeof(void *), sizeof *lost);
        *lost = naive->leak;
        naive->leak = lost;
    }
    *packed_p = packed;
    return DTR_OK;
}

static void naive_unprepare(void *self, void *packed) {
    struct naive *naive = self;
    naive->host->release(naive->host, packed);
}

static size_t naive_packed_bytes(void *self, const void *opaque) {
    const struct naive *naive = self;
    const struct packed *packed = opaque;
    if (naive->fault == PACKED_BYTES_IS_ZERO)
        return 0;
    return (size_t)packed->linear.out * (packed->linear.in + 1) * sizeof(float);
}

static double activate(enum fault fault, uint32_t activation, double z) {
    if (activation == DTR_ACT_NONE)
        return z;
    if ((activation == DTR_ACT_GELU) != (fault == LINEAR_HAS_THE_OTHER_GELU))
        return 0.5 * z * (1.0 + erf(z * sqrt(0.5)));
    return 0.5 * z * (1.0 + tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z)));
}

static float round_off(float x) {
    return (float)((int)(x * 4096.0f)) / 4096.0f;
}

static float one_value(const struct naive *naive, const struct packed *packed, const float *x,
                       uint32_t n) {
    double z = (double)packed->bias[n];
    for (uint32_t k = 0; k < packed->linear.in; k++) {
        const float w = packed->weight[(size_t)n * packed->linear.in + k];
        z += (double)x[k] * (double)(naive->fault == LINEAR_IS_ROUGH ? round_off(w) : w);
    }
    if (naive->fault == LINEAR_WAVERS)
        z += naive->calls % 2 ? 1e-7 : 0.0;
    if (naive->fault == LINEAR_GIVES_NAN && n == packed->linear.out / 2)
        z = (double)NAN;
    return (float)activate(naive->fault, packed->linear.activation, z);
}

static int naive_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride,
                        float *y, size_t y_stride, uint32_t flags) {
    struct naive *naive = self;
    const struct packed *packed = opaque;
    const uint32_t out = packed->linear.out, in = packed->linear.in;
    naive->calls++;
    if (naive->fault == LINEAR_FAILS)
        return DTR_E_UNSUPPORTED;
    if (naive->fault == LINEAR_IGNORES_STRIDES)
        x_stride = in;
    if (naive->fault == LINEAR_ALLOCATES)
        naive->host->release(naive->host, naive->host->allocate(naive->host, 8, 8));
    for (uint32_t r = 0; r < rows; r++, x += x_stride, y += y_stride) {
        for (uint32_t n = 0; n < out; n++) {
            if (naive->fault == LINEAR_LEAVES_THE_LAST_COLUMN && n && n + 1 == out)
                continue;
            const bool add =
                (flags & DTR_LINEAR_ACCUMULATE) && naive->fault != LINEAR_FORGETS_TO_ACCUMULATE;
            const float value = one_value(naive, packed, x, n);
            y[n] = add ? y[n] + value : value;
        }
        if (naive->fault == LINEAR_WRITES_PAST_THE_ROW)
            y[out] = 0.0f;
        if (naive->fault == LINEAR_CHANGES_INPUT)
            *(float *)(uintptr_t)x += 1.0f;
    }
    return DTR_OK;
}

/* Of a product in the attention. */
static double factor(const struct naive *naive, const struct dtr_attention *a, float x) {
    const bool pairs = a->dtype == DTR_BF16 || a->dtype == DTR_INT8;
    if (naive->fault == ATTENTION_ROUNDS_FLOATS && !pairs)
        return (double)x * (1 + 0x1p-9);
    if (naive->fault == ATTENTION_ROUNDS_TOO_COARSELY && pairs)
        return (double)x * (1 + 0x1p-3);
    return (double)x;
}

static void attend_query(const struct naive *naive, const struct dtr_attention *a,
                         const struct dtr_span *span, uint32_t query, size_t column) {
    const float *q = a->q + query * a->q_stride + column;
    const uint32_t keys =
        span->key_rows - (naive->fault == ATTENTION_SEES_ONE_KEY_LESS && span->key_rows > 1);
    double weight[200], highest = -1e300, sum = 0.0;
    for (uint32_t j = 0; j < keys; j++) {
        const float *k = a->k + (span->key_first + j) * a->k_stride + column;
        weight[j] = 0.0;
        for (uint32_t i = 0; i < a->head_size; i++)
            weight[j] += factor(naive, a, q[i]) * factor(naive, a, k[i]);
        weight[j] *= naive->fault == ATTENTION_FORGETS_SCALE ? 1.0 : (double)a->scale;
        highest = fmax(highest, weight[j]);
    }
    if (naive->fault == ATTENTION_OVERFLOWS)
        highest = 0.0;
    for (uint32_t j = 0; j < keys; j++)
        sum += weight[j] = (double)expf((float)(weight[j] - highest));
    for (uint32_t i = 0; i < a->head_size; i++) {
        double value = 0.0;
        for (uint32_t j = 0; j < keys; j++)
            value +=
                weight[j] / sum * (double)a->v[(span->key_first + j) * a->v_stride + column + i];
        a->context[query * a->context_stride + column + i] = (float)value;
    }
}

static int naive_attention(void *self, const struct dtr_attention *a) {
    for (uint32_t s = 0; s < a->spans_count; s++)
        for (uint32_t i = 0; i < a->spans[s].query_rows; i++)
            for (uint32_t head = 0; head < a->heads; head++)
                attend_query(self, a, &a->spans[s], a->spans[s].query_first + i,
                             (size_t)head * a->head_size);
    return DTR_OK;
}

static void add_row(const struct naive *naive, const struct dtr_norm *n, uint32_t row,
                    double *mean_p, double *m2_p) {
    float *y = n->y + row * n->y_stride;
    const bool add = n->residual && naive->fault != NORM_FORGETS_RESIDUAL;
    double mean = 0.0, m2 = 0.0;
    for (uint32_t i = 0; i < n->columns; i++) {
        y[i] =
            n->x[row * n->x_stride + i] + (add ? n->residual[row * n->residual_stride + i] : 0.0f);
        mean += (double)y[i] / n->columns;
    }
    for (uint32_t i = 0; i < n->columns; i++)
        m2 += ((double)y[i] - mean) * ((double)y[i] - mean);
    if (naive->fault == NORM_CANCELS) { /* E(x^2) - E(x)^2 in float */
        float square = 0.0f;
        for (uint32_t i = 0; i < n->columns; i++)
            square += y[i] * y[i] / (float)n->columns;
        m2 = fmax(0.0, (double)(square - (float)mean * (float)mean)) * n->columns;
    }
    *mean_p = mean;
    *m2_p = m2;
}

static void scale_row(const struct dtr_norm *n, const float *x, float *y, double mean,
                      double variance) {
    for (uint32_t i = 0; i < n->columns; i++)
        y[i] = (float)(((double)x[i] - mean) / sqrt(variance + (double)n->epsilon) *
                           (double)n->gamma[i] +
                       (double)n->beta[i]);
}

static int naive_add_norm(void *self, const struct dtr_norm *n) {
    for (uint32_t row = 0; row < n->rows; row++) {
        float *y = n->y + row * n->y_stride;
        double mean, m2;
        add_row(self, n, row, &mean, &m2);
        scale_row(n, y, y, mean, m2 / n->columns);
    }
    return DTR_OK;
}

static int naive_moments(void *self, const struct dtr_norm *n) {
    const struct naive *naive = self;
    for (uint32_t row = 0; row < n->rows; row++) {
        double mean, m2;
        add_row(self, n, row, &mean, &m2);
        n->moments[2 * row] = (float)mean;
        n->moments[2 * row + 1] =
            (float)(naive->fault == MOMENTS_GIVE_VARIANCE ? m2 / n->columns : m2);
    }
    return DTR_OK;
}

static int naive_normalise(void *self, const struct dtr_norm *n) {
    const struct naive *naive = self;
    const uint32_t count = naive->fault == NORMALISE_COUNTS_COLUMNS ? n->columns : n->count;
    for (uint32_t row = 0; row < n->rows; row++)
        scale_row(n, n->x + row * n->x_stride, n->y + row * n->y_stride,
                  (double)n->moments[2 * row], (double)n->moments[2 * row + 1] / count);
    return DTR_OK;
}

static int naive_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host, (void)error;
    return 1;
}

static int naive_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                      struct dtr_error *error) {
    const struct params *given = how->params;
    struct naive *naive = host->allocate(host, _Alignof(struct naive), sizeof *naive);
    (void)error;
    *naive = (struct naive){.host = host, .fault = (enum fault)given->fault};
    *self_p = naive;
    return DTR_OK;
}

/* The leaks of the test are only counted by the suite; they are freed behind its back. */
static void naive_close(void *self) {
    struct naive *naive = self;
    const struct dtr_host *host = naive->host;
    while (naive->leak) {
        void *next = *(void **)naive->leak;
        free(naive->leak);
        naive->leak = next;
    }
    if (naive->fault == CLOSE_LEAKS)
        free(naive);
    else
        host->release(host, naive);
}

static const struct dtr_kernel_ops naive_ops = {
    .size = sizeof naive_ops,
    .supports = naive_supports,
    .prepare = naive_prepare,
    .unprepare = naive_unprepare,
    .packed_bytes = naive_packed_bytes,
    .linear = naive_linear,
    .attention = naive_attention,
    .add_norm = naive_add_norm,
    .moments = naive_moments,
    .normalise = naive_normalise,
};

static const struct dtr_plugin naive_plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof naive_plugin,
    .kind = DTR_KERNEL,
    .name = "naive",
    .version = "1",
    .summary = "right, or wrong on purpose",
    .probe = naive_probe,
    .open = naive_open,
    .close = naive_close,
    .ops = &naive_ops,
};

/* Runs the suite; what it printed is in `text`. */
static uint32_t failures(enum fault fault, char *text, size_t bytes) {
    const struct params given = {.fault = fault};
    const struct dtr_chain chain = {.count = 1, .plugin = {&naive_plugin}, .params = {&given}};
    struct dtr_error error = {.status = DTR_OK};
    struct dtr_check check = {.out = fmemopen(text, bytes, "w")};
    assert_non_null(check.out);
    assert_int_equal(dtr_check_kernel(&chain, NULL, &check, &error), DTR_OK);
    dtr_check_end(&check);
    fclose(check.out);
    assert_true(check.cases > 20);
    return check.failed;
}

static void test_right(void **state) {
    static char text[1 << 16];
    (void)state;
    assert_int_equal(failures(NONE, text, sizeof text), 0);
    assert_null(strstr(text, "not ok"));
    assert_non_null(strstr(text, "linear bf16, threads 1 # SKIP not supported"));
}

static void test_wrong(void **state) {
    static char text[1 << 16];
    (void)state;
    for (int fault = NONE + 1; fault < FAULTS; fault++) {
        if (!failures((enum fault)fault, text, sizeof text))
            fail_msg("fault %d is not found", fault);
        assert_non_null(strstr(text, "not ok"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * vector_test.c -- the kernels' vector code, for each instruction set that this machine has: the
 * conformance suite, and the activations at every point that matters.
 */
#include "unit.h"

#include "check/kernel.h"
#include "common/packed.h"
#include "config/experiment.h"

#include <math.h>
#include <string.h>

/* Inputs of the activations: a fine grid around zero, and far out. */
#define POINTS 40001u
#define STEP 5e-4

static int vector_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    return shape->op == DTR_OP_LINEAR ? dtr_packed_supports(self, shape->linear)
                                      : shape->op <= DTR_OP_NORMALISE;
}

static int vector_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host, (void)error;
    return 1;
}

/* The parameter is the table of the instruction set. */
static int vector_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                       struct dtr_error *error) {
    struct dtr_common *common = host->allocate(host, _Alignof(struct dtr_common), sizeof *common);
    (void)error;
    dtr_common_open(common, host, how->threads);
    common->vector = how->params;
    *self_p = common;
    return DTR_OK;
}

static void vector_close(void *self) {
    struct dtr_common *common = self;
    const struct dtr_host *host = common->host;
    dtr_common_close(common);
    host->release(host, common);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = vector_supports,
    .prepare = dtr_packed_prepare,
    .unprepare = dtr_common_unprepare,
    .packed_bytes = dtr_packed_bytes,
    .linear = dtr_packed_linear,
    .attention = dtr_common_attention,
    .add_norm = dtr_common_add_norm,
    .moments = dtr_common_moments,
    .normalise = dtr_common_normalise,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "vector",
    .version = "1",
    .summary = "one instruction set",
    .probe = vector_probe,
    .open = vector_open,
    .close = vector_close,
    .ops = &ops,
};

static void test_conformance(void **state) {
    const struct dtr_vector *const *list = dtr_vector_list();
    (void)state;
    assert_non_null(list[0]);
    for (size_t i = 0; list[i]; i++) {
        static char text[1 << 16];
        const struct dtr_chain chain = {.count = 1, .plugin = {&plugin}, .params = {list[i]}};
        struct dtr_error error = {.status = DTR_OK};
        struct dtr_check check = {.out = fmemopen(text, sizeof text, "w")};
        assert_non_null(check.out);
        assert_int_equal(dtr_check_kernel(&chain, NULL, &check, &error), DTR_OK);
        fclose(check.out);
        if (check.failed)
            fail_msg("%s: %s", list[i]->name, strstr(text, "not ok"));
    }
}

static double expected(uint32_t activation, double x) {
    switch (activation) {
    case DTR_ACT_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case DTR_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case DTR_ACT_TANH:
        return tanh(x);
    default:
        return x;
    }
}

static void check_point(const struct dtr_vector *vector, uint32_t activation, float x, float y) {
    const double wanted = expected(activation, (double)x);
    if (!(fabs((double)y - wanted) <= 3e-7 * fmax(1.0, fabs((double)x))))
        fail_msg("%s, activation %u: f(%.9g) is %.9g and should be %.9g", vector->name, activation,
                 (double)x, (double)y, wanted);
}

static void test_activations(void **state) {
    static const float far[] = {0.0f,    -0.0f, 1e-30f, -1e-30f, 20.0f,  -20.0f, 100.0f,
                                -100.0f, 1e6f,  -1e6f,  1e18f,   -1e18f, 5.4f,   -5.4f};
    const struct dtr_vector *const *list = dtr_vector_list();
    float *y = malloc(POINTS * sizeof *y);
    (void)state;
    assert_non_null(y);
    for (size_t i = 0; list[i]; i++)
        for (uint32_t activation = DTR_ACT_NONE; activation <= DTR_ACT_TANH; activation++) {
            float few[sizeof far / sizeof *far + 1];
            const uint32_t count = sizeof far / sizeof *far;
            for (uint32_t j = 0; j < POINTS; j++)
                y[j] = (float)((j - (double)(POINTS / 2)) * STEP);
            list[i]->activate(activation, POINTS, NULL, y);
            for (uint32_t j = 0; j < POINTS; j++)
                check_point(list[i], activation, (float)((j - (double)(POINTS / 2)) * STEP), y[j]);
            memcpy(few, far, sizeof far);
            few[count] = NAN;
            list[i]->activate(activation, count + 1, NULL, few);
            for (uint32_t j = 0; j < count; j++)
                check_point(list[i], activation, far[j], few[j]);
            assert_true(isnan(few[count]));
        }
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * throttle_test.c -- the plugin `throttle` over a kernel that only passes the time, on a clock that
 * moves when it is told to.
 */
#include "unit.h"

#include <detransformer/kernel.h>
#include <dlfcn.h>
#include <string.h>

/* What the plugin's table of parameters describes; found through the table. */
static void set_real(const struct dtr_plugin *plugin, void *params, const char *key, double value) {
    for (const struct dtr_param *row = plugin->params; row->key; row++)
        if (!strcmp(row->key, key)) {
            memcpy((char *)params + row->offset, &value, sizeof value);
            return;
        }
    fail_msg("no parameter %s", key);
}

struct fixture {
    struct dtr_host host; /* first */
    uint64_t now_ns;
    uint32_t looks;        /* at the clock, which moves for those that do nothing else */
    uint64_t overslept_ns; /* how late the next sleep ends */
    uint32_t sleeps;
    uint64_t work_ns; /* what a call of the kernel below takes */
    struct dtr_plugin lower;
    struct dtr_instance lower_instance;
    const struct dtr_plugin *plugin;
    const struct dtr_kernel_ops *ops;
    char params[64];
    void *self, *packed;
};

static struct fixture *fixture_of(const struct dtr_host *host) {
    return (struct fixture *)(uintptr_t)host;
}

static void *allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    (void)host;
    (void)align;
    return malloc(bytes);
}

static void release(const struct dtr_host *host, void *memory) {
    (void)host;
    free(memory);
}

static uint64_t now_ns(const struct dtr_host *host) {
    struct fixture *f = fixture_of(host);
    if (++f->looks > 8) {
        f->now_ns++;
        f->looks = 0;
    }
    return f->now_ns;
}

static void sleep_until(const struct dtr_host *host, uint64_t deadline_ns) {
    struct fixture *f = fixture_of(host);
    assert_true(deadline_ns > f->now_ns);
    f->now_ns = deadline_ns + f->overslept_ns;
    f->overslept_ns = 0;
    f->looks = 0;
    f->sleeps++;
}

static int lower_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    return shape->op == DTR_OP_MOMENTS ? 0 : 7;
}

static int lower_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                         size_t weight_stride, const float *bias, void **packed_p,
                         struct dtr_error *error) {
    (void)linear, (void)weight, (void)weight_stride, (void)bias, (void)error;
    *packed_p = self;
    return DTR_OK;
}

static void lower_unprepare(void *self, void *packed) {
    assert_ptr_equal(self, packed);
}

static size_t lower_packed_bytes(void *self, const void *packed) {
    assert_ptr_equal(self, packed);
    return 12345;
}

static size_t lower_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    (void)self;
    return linear->out + (biased ? 1 : 0);
}

static int lower_linear(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride,
                        float *y, size_t y_stride, uint32_t flags) {
    struct fixture *f = self;
    (void)packed, (void)x, (void)x_stride, (void)y, (void)y_stride;
    f->now_ns += f->work_ns;
    return flags ? DTR_E_UNSUPPORTED : rows ? DTR_OK : DTR_E_PLUGIN;
}

static int lower_attention(void *self, const struct dtr_attention *attention) {
    struct fixture *f = self;
    f->now_ns += f->work_ns;
    return attention->heads ? DTR_OK : DTR_E_PLUGIN;
}

static int lower_norm(void *self, const struct dtr_norm *norm) {
    struct fixture *f = self;
    f->now_ns += f->work_ns;
    return norm->rows ? DTR_OK : DTR_E_PLUGIN;
}

static const struct dtr_kernel_ops lower_ops = {
    .size = sizeof lower_ops,
    .supports = lower_supports,
    .prepare = lower_prepare,
    .unprepare = lower_unprepare,
    .packed_bytes = lower_packed_bytes,
    .prepared_bytes = lower_prepared_bytes,
    .linear = lower_linear,
    .attention = lower_attention,
    .add_norm = lower_norm,
    .moments = lower_norm,
    .normalise = lower_norm,
};

static const struct dtr_plugin *load(void) {
    char path[4096];
    const char *build = getenv("DTR_BUILD");
    snprintf(path, sizeof path, "%s/modules/.libs/throttle.so", build ? build : ".");
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return NULL;
    const struct dtr_plugin *(*entry)(void) = NULL;
    void *address = dlsym(handle, "dtr_plugin");
    memcpy(&entry, &address, sizeof address);
    dlclose(handle);
    return entry();
}

/* 2 GFLOP/s and 4 GB/s: a nanosecond is two operations or four bytes. */
static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->plugin = load();
    if (!f->plugin)
        return 0;
    f->host = (struct dtr_host){.size = sizeof f->host,
                                .allocate = allocate,
                                .release = release,
                                .now_ns = now_ns,
                                .sleep_until = sleep_until};
    f->now_ns = 1000000;
    f->lower.ops = &lower_ops;
    f->lower_instance = (struct dtr_instance){.plugin = &f->lower, .self = f};
    f->ops = f->plugin->ops;
    assert_true(f->plugin->params_size <= sizeof f->params);
    set_real(f->plugin, f->params, "gflops", 2.0);
    set_real(f->plugin, f->params, "gbyte_s", 4.0);
    const struct dtr_open how = {.size = sizeof how,
                                 .params = f->params,
                                 .lower = &f->lower_instance,
                                 .threads = 1,
                                 .devices = 1};
    assert_int_equal(f->plugin->open(&f->host, &how, &f->self, NULL), DTR_OK);
    /* 1000 in, 500 out: a row takes 500 us of arithmetic; the weights take 500 us to read. */
    const struct dtr_linear linear = {
        .size = sizeof linear, .out = 500, .in = 1000, .rows_max = 10, .dtype = DTR_F32};
    assert_int_equal(f->ops->prepare(f->self, &linear, NULL, 1000, NULL, &f->packed, NULL), DTR_OK);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->plugin) {
        f->ops->unprepare(f->self, f->packed);
        f->plugin->close(f->self);
    }
    free(f);
    return 0;
}

static struct fixture *begin(void **state) {
    struct fixture *f = *state;
    if (!f->plugin)
        skip_because("throttle was not built");
    return f;
}

#define ROW_NS UINT64_C(500000)

static void multiply(struct fixture *f, uint32_t rows) {
    assert_int_equal(f->ops->linear(f->self, f->packed, rows, NULL, 1000, NULL, 500, 0), DTR_OK);
}

static void test_passes_through(void **state) {
    struct fixture *f = begin(state);
    const struct dtr_op_shape yes = {.size = sizeof yes, .op = DTR_OP_ADD_NORM};
    const struct dtr_op_shape no = {.size = sizeof no, .op = DTR_OP_MOMENTS};
    assert_int_equal(f->ops->supports(f->self, &yes), 7);
    assert_int_equal(f->ops->supports(f->self, &no), 0);
    assert_int_equal(f->ops->packed_bytes(f->self, f->packed), 12345);
    const struct dtr_linear linear = {.size = sizeof linear, .out = 6};
    assert_int_equal(f->ops->prepared_bytes(f->self, &linear, 1), 7);
    assert_int_equal(f->ops->linear(f->self, f->packed, 1, NULL, 0, NULL, 0, 1), DTR_E_UNSUPPORTED);
}

static void test_a_fast_call_is_stretched(void **state) {
    struct fixture *f = begin(state);
    const uint64_t start = f->now_ns;
    f->work_ns = 1000;
    multiply(f, 10);
    assert_int_equal(f->now_ns - start, 10 * ROW_NS);
    assert_int_equal(f->sleeps, 1);
}

static void test_memory_bounds_one_row(void **state) {
    struct fixture *f = begin(state);
    const uint64_t start = f->now_ns;
    multiply(f, 1); /* 2 MB of weights, 6 kB of activations */
    assert_int_equal(f->now_ns - start, (2000000 + 6000) / 4);
}

static void test_attention_and_norms_cost_time(void **state) {
    struct fixture *f = begin(state);
    const struct dtr_span spans[] = {{0, 100, 0, 100}, {100, 1, 100, 50}};
    const struct dtr_attention attention = {
        .size = sizeof attention, .heads = 2, .head_size = 64, .spans = spans, .spans_count = 2};
    uint64_t start = f->now_ns;
    assert_int_equal(f->ops->attention(f->self, &attention), DTR_OK);
    assert_int_equal(f->now_ns - start, 4 * (100 * 100 + 50) * 128 / 2);

    struct dtr_norm norm = {.size = sizeof norm, .rows = 100, .columns = 300};
    start = f->now_ns;
    assert_int_equal(f->ops->add_norm(f->self, &norm), DTR_OK);
    assert_int_equal(f->now_ns - start, 2 * 100 * 300);
    norm.residual = (const float *)f->params;
    start = f->now_ns;
    assert_int_equal(f->ops->moments(f->self, &norm), DTR_OK);
    assert_int_equal(f->now_ns - start, 3 * 100 * 300);
    start = f->now_ns;
    assert_int_equal(f->ops->normalise(f->self, &norm), DTR_OK);
    assert_int_equal(f->now_ns - start, 2 * 100 * 300);
}

static void test_a_late_call_is_made_up_for(void **state) {
    struct fixture *f = begin(state);
    uint64_t late, due;
    const uint64_t start = f->now_ns;
    f->overslept_ns = 60000;
    multiply(f, 10);
    f->now_ns += 2000; /* the caller's own time, less than the plugin was late */
    multiply(f, 10);
    assert_int_equal(f->now_ns - start, 20 * ROW_NS + 2000);
    f->ops->lateness(f->self, &late, &due);
    assert_int_equal(late, 0);
    assert_int_equal(due, 20 * ROW_NS);
}

static void test_work_that_takes_too_long_does_not_sleep(void **state) {
    struct fixture *f = begin(state);
    uint64_t late, due;
    f->work_ns = 10 * ROW_NS + 70000;
    multiply(f, 10);
    assert_int_equal(f->sleeps, 0);
    f->ops->lateness(f->self, &late, &due);
    assert_int_equal(late, 70000);
    assert_int_equal(due, 10 * ROW_NS);
    f->ops->lateness(f->self, &late, &due);
    assert_int_equal(late, 0);
    assert_int_equal(due, 0);
}

static void test_nothing_is_made_up_for_after_idling(void **state) {
    struct fixture *f = begin(state);
    uint64_t late, due;
    f->overslept_ns = 60000;
    multiply(f, 10);
    f->now_ns += 3000000;
    const uint64_t start = f->now_ns;
    multiply(f, 10);
    assert_int_equal(f->now_ns - start, 10 * ROW_NS);
    f->ops->lateness(f->self, &late, &due);
    assert_int_equal(late, 60000);
    assert_int_equal(due, 20 * ROW_NS);
}

static void test_what_a_wake_up_takes_is_allowed_for(void **state) {
    struct fixture *f = begin(state);
    for (uint32_t i = 0; i < 30; i++) {
        f->overslept_ns = 20500;
        multiply(f, 10);
    }
    f->now_ns += 3000000;
    const uint64_t start = f->now_ns;
    f->overslept_ns = 20500;
    multiply(f, 10);
    assert_true(f->now_ns - start <= 10 * ROW_NS + 3500);
    assert_true(f->now_ns - start >= 10 * ROW_NS);
    f->overslept_ns = 0; /* too early: what is left is waited for */
    f->now_ns += 3000000;
    const uint64_t again = f->now_ns;
    multiply(f, 10);
    assert_int_equal(f->now_ns - again, 10 * ROW_NS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passes_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fast_call_is_stretched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_bounds_one_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attention_and_norms_cost_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_late_call_is_made_up_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_work_that_takes_too_long_does_not_sleep, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_made_up_for_after_idling, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_wake_up_takes_is_allowed_for, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

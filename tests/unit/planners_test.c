/* SPDX-License-Identifier: MIT
 *
 * planners_test.c -- the planners `static` and `adaptive` on a cluster whose costs are a few lines
 * of arithmetic: unequal devices, little memory, networks that step and networks that are only
 * noisy.
 */
#include "unit.h"

#include <detransformer/planner.h>
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "plugin/registry.h"
#include "plan/plan.h"
#include "plugin/host.h"

enum { MOST = 64, DIVISIONS = 4, GROUPS = 4, MIB = 1 << 20 };
enum { SINGLE, TP, BP_GATHER, BP_TOKENS, UNUSABLE, STRATEGIES };

static const struct dtr_strategy_info strategies[STRATEGIES] = {
    {.name = "single", .usable = 1},
    {.name = "tp", .usable = 1},
    {.name = "bp+ag", .usable = 1},
    {.name = "bp+sp", .usable = 1},
    {.name = "unusable", .reason = "not for this model"},
};

struct cluster {
    struct dtr_problem problem;
    struct dtr_model_shape model;
    struct dtr_device_info device[MOST];
    struct dtr_link link[MOST * MOST];
    struct dtr_request_shape request;
    uint32_t length;
    struct dtr_error error;
    struct dtr_services services;
    const struct dtr_plugin *plugin;
    const struct dtr_planner_ops *ops;
    void *params, *self;
    struct dtr_plan *plan;
    uint32_t predictions;
    bool refuses; /* predict() fails */
};

static struct cluster *cluster_of(const struct dtr_problem *problem) {
    return (struct cluster *)(uintptr_t)problem->service;
}

/* --- what things cost ------------------------------------------------------------------------- */

static uint32_t held(const struct dtr_plan *plan, uint32_t device) {
    uint32_t count = 0;
    for (uint32_t d = 0; d < plan->divisions; d++)
        count += plan->holds[d * plan->devices + device];
    return count;
}

/* The time in which the devices, by their shares, do work that takes `seconds` at 1 GFLOP/s. */
static double by_share_s(const struct dtr_problem *problem, const struct dtr_plan *plan,
                         double seconds) {
    double sum = 0, most = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        sum += plan->share[i];
    for (uint32_t i = 0; i < plan->devices; i++)
        most = fmax(most, seconds * plan->share[i] / sum / problem->device[i].gflops);
    return most;
}

/* Every division takes as long as its devices together need; a device with several, one after the
 * other. */
static double by_division_s(const struct dtr_problem *problem, const struct dtr_plan *plan,
                            double seconds) {
    double device_s[MOST] = {0}, most = 0;
    for (uint32_t d = 0; d < plan->divisions; d++) {
        double speed = 0;
        for (uint32_t i = 0; i < plan->devices; i++)
            speed += plan->holds[d * plan->devices + i] * problem->device[i].gflops;
        for (uint32_t i = 0; i < plan->devices; i++)
            device_s[i] += plan->holds[d * plan->devices + i] * seconds / DIVISIONS / speed;
    }
    for (uint32_t i = 0; i < plan->devices; i++)
        most = fmax(most, device_s[i]);
    return most;
}

/* An exchange in which every device sends and receives so many bytes, over the slowest link. */
static double exchange_s(const struct dtr_problem *problem, const struct dtr_plan *plan,
                         double bytes) {
    double most = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        for (uint32_t j = 0; j < plan->devices; j++)
            if (i != j && (plan->share[i] > 0 || i == 0) && (plan->share[j] > 0 || j == 0)) {
                const struct dtr_link *link = &problem->link[i * problem->devices + j];
                most = fmax(most, link->latency_s + bytes / link->bytes_per_s);
            }
    return most;
}

/* The seconds of one group at 1 GFLOP/s, and the bytes of a hidden state. */
static double group_s(const struct dtr_problem *problem, const struct dtr_plan *plan,
                      uint32_t group) {
    const double tokens = problem->request->tokens, work_s = 0.023 * tokens;
    const double bytes = 3072.0 * tokens;
    const double exposed = 0.7 + 0.3 / plan->tiles + 0.01 * plan->tiles;
    switch (plan->strategy[group]) {
    case SINGLE:
        return work_s / problem->device[0].gflops;
    case TP:
        return by_share_s(problem, plan, work_s) + 12 * exchange_s(problem, plan, bytes);
    case BP_GATHER:
        return by_division_s(problem, plan, 0.67 * work_s) +
               0.33 * work_s / problem->device[0].gflops +
               exposed * exchange_s(problem, plan, 0.4 * bytes);
    default:
        return by_division_s(problem, plan, 0.67 * work_s) +
               by_share_s(problem, plan, 0.33 * work_s) +
               exposed * 3 * exchange_s(problem, plan, 0.4 * bytes);
    }
}

/* 400 MiB of weights, three quarters of them in sub-blocks. */
static double memory_mib(const struct dtr_plan *plan, uint32_t strategy, uint32_t device) {
    double sum = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        sum += plan->share[i];
    switch (strategy) {
    case SINGLE:
        return device == 0 ? 400 : 0;
    case TP:
        return 400 * plan->share[device] / sum;
    default:
        return 300.0 * held(plan, device) / DIVISIONS + (plan->share[device] > 0 ? 100 : 0);
    }
}

static int predict(const struct dtr_problem *problem, const struct dtr_plan *plan,
                   struct dtr_prediction *prediction, struct dtr_error *error) {
    struct cluster *c = cluster_of(problem);
    c->predictions++;
    if (c->refuses)
        return dtr_fail(error, DTR_E_SYSTEM, "refused");
    const int status = dtr_plan_check(plan, error);
    assert_int_equal(status, DTR_OK);
    prediction->latency_s = 0;
    for (uint32_t g = 0; g < plan->groups; g++) {
        assert_true(strategies[plan->strategy[g]].usable);
        prediction->latency_s += group_s(problem, plan, g);
    }
    for (uint32_t i = 0; prediction->memory_bytes && i < plan->devices; i++) {
        double most = 0;
        for (uint32_t s = 0; s < STRATEGIES; s++)
            if (plan->open[s])
                most = fmax(most, memory_mib(plan, s, i));
        prediction->memory_bytes[i] = (uint64_t)(most * MIB);
    }
    return DTR_OK;
}

/* --- the cluster ------------------------------------------------------------------------------ */

static void set_mbit(struct cluster *c, double mbit) {
    for (uint32_t i = 0; i < c->problem.devices * c->problem.devices; i++)
        c->link[i] = (struct dtr_link){2e-4, mbit * 125e3};
}

static const struct dtr_plugin *load(const char *name) {
    char path[4096];
    const char *build = getenv("DTR_BUILD");
    snprintf(path, sizeof path, "%s/modules/.libs/%s.so", build ? build : ".", name);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        return NULL;
    const struct dtr_plugin *(*entry)(void) = NULL;
    void *address = dlsym(handle, "dtr_plugin");
    memcpy(&entry, &address, sizeof address);
    dlclose(handle);
    return entry();
}

/* Equal devices of 15 GFLOP/s on links of 500 Mbit/s. */
static struct cluster *cluster_create(const char *planner, uint32_t devices) {
    struct cluster *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->model = (struct dtr_model_shape){.size = sizeof c->model,
                                        .layers = 24,
                                        .hidden = 768,
                                        .heads = 12,
                                        .intermediate = 3072,
                                        .divisions = DIVISIONS,
                                        .groups = GROUPS,
                                        .group_layers = 6};
    c->length = 128;
    c->request = (struct dtr_request_shape){
        .size = sizeof c->request, .sequences = 1, .lengths = &c->length, .tokens = 128};
    for (uint32_t i = 0; i < devices; i++)
        c->device[i] =
            (struct dtr_device_info){.size = sizeof c->device[i], .share = 1.0, .gflops = 15.0};
    c->problem = (struct dtr_problem){.size = sizeof c->problem,
                                      .model = &c->model,
                                      .devices = devices,
                                      .device = c->device,
                                      .device_stride = sizeof c->device[0],
                                      .link = c->link,
                                      .request = &c->request,
                                      .strategies = STRATEGIES,
                                      .strategy = strategies,
                                      .strategy_stride = sizeof strategies[0],
                                      .predict = predict,
                                      .service = c};
    set_mbit(c, 500);
    c->plugin = load(planner);
    if (!c->plugin)
        skip_because("the planner was not built");
    assert_int_equal(dtr_params_defaults(c->plugin, &c->params, &c->error), DTR_OK);
    dtr_services_init(&c->services, planner, NULL, NULL);
    const struct dtr_open how = {
        .size = sizeof how, .params = c->params, .threads = 1, .devices = devices};
    assert_int_equal(c->plugin->open(&c->services.host, &how, &c->self, &c->error), DTR_OK);
    c->ops = c->plugin->ops;
    return c;
}

static int make_plan(struct cluster *c) {
    c->error = (struct dtr_error){0};
    dtr_plan_free(c->plan);
    c->plan = dtr_plan_create(&c->model, c->problem.devices, STRATEGIES, &c->error);
    assert_non_null(c->plan);
    assert_int_equal(dtr_plan_place(c->plan, c->device, sizeof c->device[0], &c->error), DTR_OK);
    const int status = c->ops->plan(c->self, &c->problem, c->plan, &c->error);
    if (!status)
        assert_int_equal(dtr_plan_check(c->plan, &c->error), DTR_OK);
    return status;
}

static void cluster_free(struct cluster *c) {
    c->plugin->close(c->self);
    dtr_params_free(c->plugin, c->params);
    dtr_plan_free(c->plan);
    free(c);
}

static bool runs(const struct cluster *c, uint32_t strategy) {
    for (uint32_t g = 0; g < c->plan->groups; g++)
        if (c->plan->strategy[g] != strategy)
            return false;
    return true;
}

static double latency_s(struct cluster *c) {
    struct dtr_prediction prediction = {.size = sizeof prediction};
    assert_int_equal(predict(&c->problem, c->plan, &prediction, NULL), DTR_OK);
    return prediction.latency_s;
}

/* --- static ----------------------------------------------------------------------------------- */

static void test_equal_devices(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(runs(c, BP_TOKENS));
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(held(c->plan, i), 1);
        assert_true(c->plan->share[i] > 0);
    }
    assert_true(c->plan->tiles > 1);
    assert_non_null(strstr(c->plan->reason, "bp+sp in"));
    assert_non_null(strstr(c->plan->reason, "; "));
    assert_non_null(strstr(c->plan->reason, "single "));
    cluster_free(c);
}

static void test_slow_network(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    set_mbit(c, 1);
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(runs(c, SINGLE));
    cluster_free(c);
}

static void test_fast_and_slow_devices(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    c->device[0].gflops = c->device[2].gflops = 30;
    c->device[1].gflops = 0.1;
    assert_int_equal(make_plan(c), DTR_OK);
    /* The slow one would hold the others up; of the other three one is half as fast. */
    assert_int_equal(held(c->plan, 1), 0);
    assert_int_equal(held(c->plan, 0) + held(c->plan, 2) + held(c->plan, 3), DIVISIONS);
    assert_true(held(c->plan, 3) <= 1);
    cluster_free(c);
}

static void test_slow_link(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    for (uint32_t i = 0; i < 4; i++)
        c->link[2 * 4 + i] = c->link[i * 4 + 2] = (struct dtr_link){2e-4, 1e4};
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(c->plan->share[2] <= 0);
    assert_true(c->plan->share[1] > 0 && c->plan->share[3] > 0);
    assert_false(runs(c, SINGLE));
    cluster_free(c);
}

static void test_more_devices_than_divisions(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 8);
    set_mbit(c, 10000);
    assert_int_equal(make_plan(c), DTR_OK);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(held(c->plan, i), 1);
    cluster_free(c);
}

static void test_excluded_device(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    c->device[1].share = 0;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(c->plan->share[1] <= 0);
    assert_int_equal(held(c->plan, 1), 0);
    cluster_free(c);
}

static void test_placed_by_hand(void **state) {
    (void)state;
    static const uint8_t first[] = {1, 1, 1, 0}, second[] = {0, 0, 0, 1};
    struct cluster *c = cluster_create("static", 3);
    c->device[1].divisions = first;
    c->device[2].divisions = second;
    c->device[2].gflops = 1;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_int_equal(held(c->plan, 0), 0);
    assert_int_equal(held(c->plan, 1), 3);
    assert_int_equal(held(c->plan, 2), 1);
    cluster_free(c);
}

static void test_little_memory(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    c->device[0].gflops = 60;
    c->device[0].memory = (uint64_t)180 * MIB;
    assert_int_equal(make_plan(c), DTR_OK);
    for (uint32_t s = 0; s < STRATEGIES; s++)
        if (c->plan->open[s])
            assert_true(memory_mib(c->plan, s, 0) <= 180);
    assert_false(runs(c, SINGLE));
    cluster_free(c);
}

static void test_no_memory(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 2);
    c->device[0].memory = c->device[1].memory = (uint64_t)100 * MIB;
    assert_int_equal(make_plan(c), DTR_E_CONFIG);
    assert_non_null(
        strstr(c->error.text, "no plan fits into memory; the closest needs 200 MiB on device "));
    assert_non_null(strstr(c->error.text, "of 100 MiB"));
    c->device[0].memory = c->device[1].memory = 5000;
    assert_int_equal(make_plan(c), DTR_E_CONFIG);
    assert_non_null(strstr(c->error.text, "of 4 KiB"));
    cluster_free(c);
}

static void test_least_memory(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    c->problem.objective = DTR_MEMORY;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(runs(c, TP));
    cluster_free(c);
}

static void test_no_profile(void **state) {
    (void)state;
    static const char *const planners[] = {"static", "adaptive"};
    for (uint32_t i = 0; i < 2; i++) {
        struct cluster *c = cluster_create(planners[i], 4);
        c->problem.predict = NULL;
        assert_int_equal(make_plan(c), DTR_E_CONFIG);
        assert_string_equal(c->error.text, "planning needs a profile of devices and links");
        cluster_free(c);
    }
}

static void test_predictions_fail(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 4);
    c->refuses = true;
    assert_int_equal(make_plan(c), DTR_E_SYSTEM);
    cluster_free(c);
}

/* What a plan costs to make is bounded by predictions, which grow with the square of the devices.
 */
static void test_many_devices(void **state) {
    (void)state;
    struct cluster *c = cluster_create("static", 64);
    for (uint32_t i = 0; i < 64; i++)
        c->device[i].gflops = 5 + i % 7;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(c->predictions < 1500);
    assert_true(latency_s(c) < 0.023 * 128 * GROUPS / 11 / 4);
    cluster_free(c);
}

/* --- adaptive --------------------------------------------------------------------------------- */

/* One request on the network as it is: decides, runs and observes what was sent. */
static void request(struct cluster *c, double mbit, double noise) {
    const uint32_t devices = c->problem.devices;
    struct dtr_link *seen = calloc((size_t)devices * devices, sizeof *seen);
    assert_non_null(seen);
    assert_int_equal(c->ops->replan(c->self, &c->problem, c->plan, &c->error), DTR_OK);
    for (uint32_t i = 0; i < devices * devices; i++)
        if (!runs(c, SINGLE))
            seen[i] = (struct dtr_link){2e-4, mbit * 125e3 * (1 + noise)};
    const struct dtr_observation observation = {
        .size = sizeof observation, .latency_s = 0.5, .devices = devices, .link = seen};
    assert_int_equal(c->ops->observe(c->self, &observation), DTR_OK);
    free(seen);
}

/* What static would choose on such a network. */
static double best_s(double mbit) {
    struct cluster *c = cluster_create("static", 4);
    set_mbit(c, mbit);
    assert_int_equal(make_plan(c), DTR_OK);
    const double best = latency_s(c);
    cluster_free(c);
    return best;
}

/* What the next request would take on that network, against the best. */
static double regret(struct cluster *c, double mbit) {
    const double best = best_s(mbit);
    struct dtr_link before[16];
    memcpy(before, c->link, sizeof before);
    set_mbit(c, mbit);
    const double own = latency_s(c);
    memcpy(c->link, before, sizeof before);
    return own / best;
}

static void test_steps(void **state) {
    (void)state;
    static const double trace[] = {1000, 1000, 50, 50, 50, 1000, 1000, 20, 20};
    struct cluster *c = cluster_create("adaptive", 4);
    set_mbit(c, 1000);
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(c->plan->open[SINGLE]);
    for (uint32_t i = 0; i < sizeof trace / sizeof trace[0]; i++) {
        const bool settled = i == 0 || trace[i] == trace[i - 1];
        request(c, trace[i], 0);
        if (settled)
            assert_true(regret(c, trace[i]) < 1.05);
    }
    cluster_free(c);
}

/* What the reason says the plan takes, in milliseconds. */
static double said_ms(const struct cluster *c) {
    const char *predicted = strstr(c->plan->reason, " ms predicted");
    assert_non_null(predicted);
    while (predicted[-1] != ' ')
        predicted--;
    return strtod(predicted, NULL);
}

/* Where there is work for a few trials only, a plan is still what is said of it, and deciding
 * anew, with less work yet, falls back on nothing worse. */
static void test_little_work(void **state) {
    (void)state;
    static const uint32_t layers[] = {12, 24, 48}, devices[] = {24, 32, 48, 56, 64};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (size_t j = 0; j < sizeof devices / sizeof devices[0]; j++) {
            struct cluster *decided = cluster_create("static", devices[j]);
            decided->model.layers = layers[i];
            assert_int_equal(make_plan(decided), DTR_OK);
            assert_true(fabs(said_ms(decided) - 1e3 * latency_s(decided)) <
                        1e-3 * said_ms(decided));
            cluster_free(decided);
            struct cluster *c = cluster_create("adaptive", devices[j]);
            c->model.layers = layers[i];
            assert_int_equal(make_plan(c), DTR_OK);
            const double before = latency_s(c);
            request(c, 500, 0);
            assert_true(latency_s(c) <= before * (1 + 1e-9));
            assert_true(fabs(said_ms(c) - 1e3 * latency_s(c)) < 1e-3 * said_ms(c));
            cluster_free(c);
        }
}

/* The network steps down and up again while it is noisy: the right plan from the second request
 * after each step, and no other change of plan. */
static void test_steps_in_noise(void **state) {
    (void)state;
    static const double levels[] = {1000, 50, 1000};
    struct cluster *c = cluster_create("adaptive", 4);
    set_mbit(c, 1000);
    assert_int_equal(make_plan(c), DTR_OK);
    uint32_t seed = 7, switches = 0, before = c->plan->strategy[0];
    for (uint32_t level = 0; level < 3; level++)
        for (uint32_t i = 0; i < 25; i++) {
            seed = seed * 1664525u + 1013904223u;
            request(c, levels[level], 0.2 * ((seed >> 8) / 16777216.0 - 0.5));
            if (i > 0)
                assert_true(regret(c, levels[level]) < 1.05);
            switches += c->plan->strategy[0] != before;
            before = c->plan->strategy[0];
        }
    assert_true(switches <= 2);
    assert_non_null(strstr(c->plan->reason, "Mbit/s"));
    cluster_free(c);
}

static void test_noise(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 4);
    set_mbit(c, 100);
    assert_int_equal(make_plan(c), DTR_OK);
    uint32_t seed = 1, switches = 0;
    request(c, 100, 0);
    uint32_t before = c->plan->strategy[0];
    for (uint32_t i = 0; i < 300; i++) {
        seed = seed * 1664525u + 1013904223u;
        request(c, 100, 0.4 * ((seed >> 8) / 16777216.0 - 0.5));
        switches += c->plan->strategy[0] != before;
        before = c->plan->strategy[0];
    }
    assert_int_equal(switches, 0);
    cluster_free(c);
}

/* A single request that was late on one link. */
static void test_outlier(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 4);
    assert_int_equal(make_plan(c), DTR_OK);
    for (uint32_t i = 0; i < 6; i++)
        request(c, 500, 0);
    const uint32_t predictions = c->predictions;
    struct dtr_link seen[16];
    for (uint32_t i = 0; i < 16; i++)
        seen[i] = (struct dtr_link){2e-4, 500 * 125e3};
    seen[1] = (struct dtr_link){0.5, 1e3};
    const struct dtr_observation observation = {
        .size = sizeof observation, .latency_s = 2, .devices = 4, .link = seen};
    assert_int_equal(c->ops->observe(c->self, &observation), DTR_OK);
    request(c, 500, 0);
    assert_int_equal(c->predictions, predictions);
    cluster_free(c);
}

static void test_decisions_are_remembered(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 4);
    assert_int_equal(make_plan(c), DTR_OK);
    for (uint32_t round = 0; round < 3; round++) {
        const uint32_t predictions = c->predictions;
        for (uint32_t length = 16; length <= 512; length *= 2) {
            c->length = c->request.tokens = length;
            request(c, 500, 0);
        }
        assert_true(round == 0 || c->predictions == predictions);
    }
    cluster_free(c);
}

/* On one device nothing is seen of the network: probes find out that it is fast again, and are
 * rare while it is not. */
static void test_probes(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 4);
    assert_int_equal(make_plan(c), DTR_OK);
    request(c, 1, 0);
    request(c, 1, 0);
    assert_true(runs(c, SINGLE));
    set_mbit(c, 1);
    double usual_s = 0, extra_s = 0;
    const double single_s = latency_s(c);
    for (uint32_t i = 0; i < 20000; i++) {
        request(c, 1, 0);
        usual_s += single_s;
        extra_s += latency_s(c) - single_s;
    }
    assert_true(extra_s > 0);
    assert_true(extra_s <= 0.011 * usual_s);
    uint32_t needed = 0;
    while (runs(c, SINGLE) && needed < 20000) {
        request(c, 1000, 0);
        needed++;
    }
    assert_true(needed < 20000);
    request(c, 1000, 0);
    request(c, 1000, 0);
    assert_true(regret(c, 1000) < 1.05);
    cluster_free(c);
}

static void test_alone(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 1);
    c->problem.link = NULL;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_true(runs(c, SINGLE));
    for (uint32_t i = 0; i < 50; i++)
        request(c, 1, 0);
    assert_true(runs(c, SINGLE));
    cluster_free(c);
}

/* single needs 400 MiB on device 0; what is open fits. */
static void test_open_within_memory(void **state) {
    (void)state;
    struct cluster *c = cluster_create("adaptive", 4);
    c->device[0].memory = (uint64_t)250 * MIB;
    assert_int_equal(make_plan(c), DTR_OK);
    assert_false(c->plan->open[SINGLE]);
    for (uint32_t s = 0; s < STRATEGIES; s++)
        if (c->plan->open[s])
            assert_true(memory_mib(c->plan, s, 0) <= 250);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_devices),
        cmocka_unit_test(test_slow_network),
        cmocka_unit_test(test_fast_and_slow_devices),
        cmocka_unit_test(test_slow_link),
        cmocka_unit_test(test_more_devices_than_divisions),
        cmocka_unit_test(test_excluded_device),
        cmocka_unit_test(test_placed_by_hand),
        cmocka_unit_test(test_little_memory),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_least_memory),
        cmocka_unit_test(test_no_profile),
        cmocka_unit_test(test_predictions_fail),
        cmocka_unit_test(test_many_devices),
        cmocka_unit_test(test_little_work),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_steps_in_noise),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_outlier),
        cmocka_unit_test(test_decisions_are_remembered),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_open_within_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

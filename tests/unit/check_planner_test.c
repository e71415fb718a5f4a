/* SPDX-License-Identifier: MIT
 *
 * check_planner_test.c -- the conformance suite of planners finds what is wrong: a planner that
 * passes, and the same with one fault at a time.  (cmocka has a macro `fail`.)
 */
#include "unit.h"

#include <detransformer/planner.h>
#include <string.h>

#include "check/planner.h"
#include "config/experiment.h"

enum fault {
    NONE,
    SHARE,     /* below zero */
    EXCLUDED,  /* gives work to a device with share 0 */
    DIVISION,  /* leaves one on no device */
    CLOSED,    /* runs by a strategy that is not open */
    UNUSABLE,  /* ... that is not for the model */
    FORGETFUL, /* another plan each time */
    GREEDY,    /* more memory than there is */
    BLIND,     /* plans without a profile */
    DEAF,      /* goes on when predictions fail */
    LEAK,
    CARELESS, /* says nothing when memory runs out */
    MOVING,   /* replan() changes the placement */
    FAULTS
};

struct params {
    int64_t fault;
};

struct planner {
    const struct dtr_host *host;
    enum fault fault;
    uint32_t plans;
};

static int probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static int open_it(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                   struct dtr_error *error) {
    const struct params *params = how->params;
    struct planner *planner = host->allocate(host, _Alignof(struct planner), sizeof *planner);
    if (!planner)
        return (host->fail)(error, DTR_E_MEMORY, "out of memory");
    *planner = (struct planner){.host = host, .fault = (enum fault)params->fault};
    *self_p = planner;
    return DTR_OK;
}

static void close_it(void *self) {
    struct planner *planner = self;
    planner->host->release(planner->host, planner);
}

static void spoil(struct planner *planner, const struct dtr_problem *problem,
                  struct dtr_plan *plan) {
    const uint32_t last = plan->devices - 1;
    switch (planner->fault) {
    case SHARE:
        plan->share[0] = -1;
        break;
    case EXCLUDED:
        plan->share[last] = 1;
        break;
    case DIVISION:
        memset(plan->holds, 0, plan->divisions ? plan->devices : 0);
        break;
    case CLOSED:
        plan->open[plan->strategy[0]] = 0;
        break;
    case UNUSABLE:
        for (uint32_t s = 0; s < problem->strategies; s++)
            plan->open[s] = 1;
        break;
    case FORGETFUL:
        plan->tiles += planner->plans++;
        break;
    default:
        break;
    }
}

/* Everything by a strategy that needs all devices, which is the least memory. */
static int plan_it(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                   struct dtr_error *error) {
    struct planner *planner = self;
    const struct dtr_host *host = planner->host;
    if (!problem->predict && planner->fault != BLIND)
        return (host->fail)(error, DTR_E_CONFIG, "no profile");
    void *memory = host->allocate(host, 1, 1);
    if (!memory && planner->fault != CARELESS)
        return (host->fail)(error, DTR_E_MEMORY, "out of memory");
    if (!memory)
        return DTR_E_MEMORY;
    if (planner->fault == LEAK)
        free(memory); /* behind the host's back: as if lost */
    else
        host->release(host, memory);
    for (uint32_t g = 0; g < plan->groups; g++)
        plan->strategy[g] = planner->fault == GREEDY ? 0 : 1;
    plan->open[plan->strategy[0]] = 1;
    spoil(planner, problem, plan);
    uint64_t bytes[64];
    struct dtr_prediction prediction = {.size = sizeof prediction, .memory_bytes = bytes};
    if (!problem->predict)
        return DTR_OK;
    if (planner->fault < FORGETFUL && planner->fault != NONE)
        return DTR_OK;
    const int status = problem->predict(problem, plan, &prediction, error);
    if (status)
        return planner->fault == DEAF ? DTR_OK : status;
    for (uint32_t i = 0; i < plan->devices && planner->fault != GREEDY; i++) {
        const uint64_t has = problem->device[i].memory;
        if (has && bytes[i] > has)
            return (host->fail)(error, DTR_E_CONFIG, "no memory");
    }
    return DTR_OK;
}

static int observe_it(void *self, const struct dtr_observation *observation) {
    (void)self;
    (void)observation;
    return DTR_OK;
}

static int replan_it(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                     struct dtr_error *error) {
    const struct planner *planner = self;
    (void)problem;
    (void)error;
    plan->share[0] += planner->fault == MOVING;
    return DTR_OK;
}

static const struct dtr_planner_ops ops = {
    .size = sizeof ops, .plan = plan_it, .observe = observe_it, .replan = replan_it};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_PLANNER,
    .name = "subject",
    .version = "1.0",
    .summary = "has one fault",
    .caps = DTR_CAP_ADAPTIVE | DTR_CAP_PREDICTS,
    .probe = probe,
    .open = open_it,
    .close = close_it,
    .ops = &ops,
};

/* How many cases fail, and of which the sentences tell. */
static uint32_t failures(enum fault fault, char *text, size_t bytes) {
    const struct params params = {fault};
    const struct dtr_chain chain = {.count = 1, .plugin = {&plugin}, .params = {&params}};
    struct dtr_error error = {0};
    FILE *out = fmemopen(text, bytes, "w");
    assert_non_null(out);
    struct dtr_check check = {.out = out};
    assert_int_equal(dtr_check_planner(&chain, NULL, &check, &error), DTR_OK);
    assert_true(check.cases > 15);
    fclose(out);
    return check.failed;
}

static void test_faults(void **state) {
    (void)state;
    static const char *const wanted[FAULTS] = {
        [SHARE] = "the share -1",
        [EXCLUDED] = "has share 0 in the experiment and 1 in the plan",
        [DIVISION] = "on no device",
        [CLOSED] = "does not keep open",
        [UNUSABLE] = "is not for this model",
        [FORGETFUL] = "another plan the second time",
        [GREEDY] = "more than it may use",
        [BLIND] = "it returns 0 where the experiment asks for the impossible",
        [DEAF] = "predictions that fail are as good",
        [LEAK] = "leaves memory behind",
        [CARELESS] = "without memory it does not say so",
        [MOVING] = "changed the placement",
    };
    static char text[20000];
    for (enum fault fault = SHARE; fault < FAULTS; fault++) {
        if (!failures(fault, text, sizeof text) || !strstr(text, wanted[fault]))
            fail_msg("fault %d: no '%s' in:\n%s", (int)fault, wanted[fault], text);
    }
}

static void test_no_fault(void **state) {
    (void)state;
    static char text[20000];
    if (failures(NONE, text, sizeof text))
        fail_msg("%s", text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_fault),
                                       cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * planner.c -- the conformance suite of planner plugins.  A plan can be run, keeps what the
 * experiment demands, fits into memory, and is the same when asked for again; what cannot be
 * planned is said in a sentence; memory that runs out is survived.
 */
#include "check/planner.h"
#include "check/planner_rig.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

#define ALLOCATIONS_MOST 2000 /* how many of them are made to fail, one after another */

static const struct planner_case cases[] = {
    {.name = "one device", .devices = 1, .decoupled = true, .mbit = 500},
    {.name = "two devices, plain model", .devices = 2, .mbit = 500},
    {.name = "three devices, fewer than divisions", .devices = 3, .decoupled = true, .mbit = 500},
    {.name = "four devices", .devices = 4, .decoupled = true, .mbit = 500},
    {.name = "four unequal devices", .devices = 4, .decoupled = true, .unequal = true, .mbit = 500},
    {.name = "four devices, slow network", .devices = 4, .decoupled = true, .mbit = 1},
    {.name = "five devices, one with share 0",
     .devices = 5,
     .decoupled = true,
     .excluded = true,
     .mbit = 500},
    {.name = "divisions placed by hand",
     .devices = 3,
     .decoupled = true,
     .unequal = true,
     .by_hand = true,
     .mbit = 500},
    {.name = "eight unequal devices, little memory",
     .devices = 8,
     .decoupled = true,
     .unequal = true,
     .mbit = 500,
     .memory_mib = 200},
    {.name = "least memory", .devices = 4, .decoupled = true, .mbit = 500, .objective = DTR_MEMORY},
    {.name = "throughput",
     .devices = 4,
     .decoupled = true,
     .mbit = 500,
     .objective = DTR_THROUGHPUT},
    {.name = "17 devices, plain model", .devices = 17, .unequal = true, .mbit = 100},
    {.name = "64 unequal devices", .devices = 64, .decoupled = true, .unequal = true, .mbit = 1000},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static const struct planner_case ordinary = {
    .name = "ordinary", .devices = 4, .decoupled = true, .unequal = true, .mbit = 300};

/* What the suite carries through its cases. */
struct suite {
    const struct dtr_chain *chain;
    const struct dtr_log *log;
    struct dtr_check *check;
    struct planner_rig *rig;
    uint64_t caps;
    struct dtr_error why; /* of the case at hand; empty: all is well */
};

/* Keeps the first. */
__attribute__((format(printf, 2, 3))) static void wrong(struct suite *suite, const char *format,
                                                        ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dtr_fail(&suite->why, DTR_E_PLUGIN, "%s", text);
}

static void report(struct suite *suite, const char *name, const char *which) {
    dtr_check_case(suite->check, suite->why.status ? suite->why.text : NULL, "%s, %s", name, which);
    suite->why = (struct dtr_error){0};
}

static bool begin(struct suite *suite, const struct planner_case *what, int64_t allocations) {
    struct dtr_error error = {0};
    if (!dtr_planner_rig_open(suite->rig, suite->chain, suite->log, what, allocations, &error))
        return true;
    if (allocations < 0)
        wrong(suite, "it does not open: %s", error.text);
    return false;
}

static void end(struct suite *suite) {
    const uint32_t refused = suite->rig->refused;
    if (dtr_planner_rig_close(suite->rig))
        wrong(suite, "close() leaves memory behind");
    if (refused)
        wrong(suite, "it has asked %u times what a plan would take that cannot be run", refused);
}

/* --- what every plan must be ------------------------------------------------------------------ */

static void inspect_strategies(struct suite *suite) {
    const struct planner_rig *rig = suite->rig;
    for (uint32_t g = 0; g < rig->plan->groups; g++) {
        const struct dtr_strategy_info *info = &rig->strategy[rig->plan->strategy[g]];
        if (!info->usable)
            wrong(suite, "group %u runs by '%s', which is not for this model", g, info->name);
    }
    for (uint32_t s = 0; s < rig->plan->strategies; s++)
        if (rig->plan->open[s] && !rig->strategy[s].usable)
            wrong(suite, "'%s' is kept open, and is not for this model", rig->strategy[s].name);
}

static void inspect_placement(struct suite *suite) {
    const struct planner_rig *rig = suite->rig;
    for (uint32_t i = 0; i < rig->plan->devices; i++) {
        if (rig->device[i].share <= 0 && rig->plan->share[i] > 0)
            wrong(suite, "device %u has share 0 in the experiment and %g in the plan", i,
                  rig->plan->share[i]);
        for (uint32_t d = 0; rig->what->by_hand && d < rig->plan->divisions; d++)
            if (dtr_plan_holds(rig->plan, d, i) != (rig->divisions[i][d] != 0))
                wrong(suite, "division %u is not where the experiment places it", d);
    }
}

static void inspect(struct suite *suite) {
    struct dtr_error error = {0};
    if (dtr_plan_check(suite->rig->plan, &error)) {
        wrong(suite, "%s", error.text);
        return;
    }
    inspect_strategies(suite);
    inspect_placement(suite);
    if (suite->caps & DTR_CAP_PREDICTS && dtr_planner_rig_excess(suite->rig))
        wrong(suite, "a device needs %llu bytes more than it may use",
              (unsigned long long)dtr_planner_rig_excess(suite->rig));
    const struct dtr_plan *plan = suite->rig->plan;
    if (memchr(plan->reason, '\0', plan->reason_bytes) == NULL)
        wrong(suite, "the reason has no end");
}

static bool is_same(const struct dtr_plan *a, const struct dtr_plan *b) {
    uint8_t *bytes[2] = {NULL, NULL};
    size_t length[2];
    const bool same = !dtr_plan_encode(a, &bytes[0], &length[0], NULL) &&
                      !dtr_plan_encode(b, &bytes[1], &length[1], NULL) && length[0] == length[1] &&
                      !memcmp(bytes[0], bytes[1], length[0]) && !strcmp(a->reason, b->reason);
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

static void try_plan(struct suite *suite) {
    struct dtr_error error = {0};
    if (dtr_planner_rig_plan(suite->rig, &error)) {
        wrong(suite, "no plan: %s", error.text);
        return;
    }
    inspect(suite);
    struct dtr_plan *first = dtr_plan_copy(suite->rig->plan, NULL);
    if (first && (dtr_planner_rig_plan(suite->rig, &error) || !is_same(first, suite->rig->plan)))
        wrong(suite, "the same problem has another plan the second time");
    dtr_plan_free(first);
}

static void check_plans(struct suite *suite) {
    for (uint32_t i = 0; i < CASES; i++) {
        if (begin(suite, &cases[i], -1)) {
            try_plan(suite);
            end(suite);
        }
        report(suite, "plans", cases[i].name);
    }
}

/* --- what cannot be planned ------------------------------------------------------------------- */

static void expect_refusal(struct suite *suite, const char *name, const char *which) {
    struct dtr_error error = {0};
    const int status = dtr_planner_rig_plan(suite->rig, &error);
    if (status != DTR_E_CONFIG)
        wrong(suite, "it returns %d where the experiment asks for the impossible", status);
    else if (!error.status || !error.text[0])
        wrong(suite, "it does not say why");
    end(suite);
    report(suite, name, which);
}

static void check_refusals(struct suite *suite) {
    struct planner_case what = ordinary;
    if (!(suite->caps & DTR_CAP_PREDICTS)) {
        dtr_check_skip(suite->check, "not promised", "refuses what it cannot predict");
        return;
    }
    if (begin(suite, &what, -1)) {
        suite->rig->problem.predict = NULL;
        expect_refusal(suite, "refuses", "no profile");
    }
    what.memory_mib = 1;
    if (begin(suite, &what, -1))
        expect_refusal(suite, "refuses", "no memory");
}

static int refuse(const struct dtr_problem *problem, const struct dtr_plan *plan,
                  struct dtr_prediction *prediction, struct dtr_error *error) {
    (void)problem;
    (void)plan;
    (void)prediction;
    return dtr_fail(error, DTR_E_SYSTEM, "refused");
}

static void check_broken_predictions(struct suite *suite) {
    if (!(suite->caps & DTR_CAP_PREDICTS) || !begin(suite, &ordinary, -1))
        return;
    suite->rig->problem.predict = refuse;
    if (!dtr_planner_rig_plan(suite->rig, NULL))
        wrong(suite, "predictions that fail are as good to it as others");
    end(suite);
    report(suite, "passes errors on", "predict() fails");
}

/* --- planning again --------------------------------------------------------------------------- */

static bool places_alike(const struct dtr_plan *a, const struct dtr_plan *b) {
    return !memcmp(a->share, b->share, a->devices * sizeof *a->share) &&
           !memcmp(a->holds, b->holds, (size_t)a->divisions * a->devices) &&
           !memcmp(a->open, b->open, a->strategies);
}

/* One request on links that are `link` everywhere, of another length each time. */
static void try_request(struct suite *suite, uint64_t number, struct dtr_link link) {
    struct planner_rig *rig = suite->rig;
    struct dtr_link seen[16];
    struct dtr_error error = {0};
    rig->length = rig->request.tokens = 1 + (uint32_t)(number * 37 % 200);
    const int status = rig->ops->replan(rig->self, &rig->problem, rig->plan, &error);
    if (status || dtr_plan_check(rig->plan, &error))
        wrong(suite, "request %u: %s", (unsigned)number, error.text);
    for (uint32_t i = 0; i < 16; i++)
        seen[i] = link;
    const struct dtr_observation observation = {.size = sizeof observation,
                                                .request = number,
                                                .latency_s = 0.1,
                                                .devices = rig->problem.devices,
                                                .link = seen};
    if (rig->ops->observe(rig->self, &observation))
        wrong(suite, "request %u: what it showed is refused", (unsigned)number);
}

static void check_requests(struct suite *suite) {
    static const struct dtr_link links[] = {
        {2e-4, 37.5e6}, {2e-4, 37.5e6}, {2e-4, 1e5}, {0, 0},          {0, 0},
        {5e-3, 1e9},    {NAN, NAN},     {-1, -1},    {INFINITY, 1e6}, {0, INFINITY},
    };
    const char *name = "plans again for every request";
    if (!(suite->caps & DTR_CAP_ADAPTIVE)) {
        dtr_check_skip(suite->check, "not promised", "%s", name);
        return;
    }
    struct dtr_plan *first = NULL;
    if (begin(suite, &ordinary, -1)) {
        if (!dtr_planner_rig_plan(suite->rig, NULL) &&
            (first = dtr_plan_copy(suite->rig->plan, NULL)))
            for (uint64_t i = 0; i < 200; i++)
                try_request(suite, i, links[i / 20]);
        if (!first)
            wrong(suite, "no plan");
        else if (!places_alike(first, suite->rig->plan))
            wrong(suite, "it has changed the placement, which only plan() may");
        dtr_plan_free(first);
        end(suite);
    }
    report(suite, name, "whatever is observed");
}

/* --- memory that runs out --------------------------------------------------------------------- */

/* Every allocation fails once.  False: this one was not made any more. */
static bool try_without(struct suite *suite, int64_t allocations) {
    struct planner_rig *rig = suite->rig;
    struct dtr_error error = {0};
    if (!begin(suite, &ordinary, allocations)) {
        end(suite);
        return true;
    }
    const int status = dtr_planner_rig_plan(rig, &error);
    const bool short_of = rig->host[rig->count - 1].left == 0;
    if (status && status != DTR_E_MEMORY)
        wrong(suite, "without memory it returns %d", status);
    if (status && !error.status)
        wrong(suite, "without memory it does not say so");
    if (!status && suite->caps & DTR_CAP_ADAPTIVE &&
        rig->ops->replan(rig->self, &rig->problem, rig->plan, &error) &&
        dtr_plan_check(rig->plan, NULL))
        wrong(suite, "without memory it leaves a plan that cannot be run");
    end(suite);
    return short_of;
}

static void check_memory(struct suite *suite) {
    int64_t allocations = 0;
    while (allocations < ALLOCATIONS_MOST && try_without(suite, allocations) && !suite->why.status)
        allocations++;
    report(suite, "survives", "each of its allocations failing");
}

int dtr_check_planner(const struct dtr_chain *chain, const struct dtr_log *log,
                      struct dtr_check *check, struct dtr_error *error) {
    struct planner_rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return dtr_fail_memory(error);
    struct suite suite = {
        .chain = chain, .log = log, .check = check, .rig = rig, .caps = chain->plugin[0]->caps};
    const int status = dtr_planner_rig_open(rig, chain, log, &ordinary, -1, error);
    dtr_planner_rig_close(rig);
    if (!status) {
        check_plans(&suite);
        check_refusals(&suite);
        check_broken_predictions(&suite);
        check_requests(&suite);
        check_memory(&suite);
    }
    free(rig);
    return status;
}

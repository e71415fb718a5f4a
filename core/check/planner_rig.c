/* SPDX-License-Identifier: MIT */
#include "check/planner_rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "plan/strategy.h"

#define MIB 1048576.0
#define WEIGHTS_MIB 400.0
#define WORK 2.0 /* GFLOP of one token */

/* --- services that count ---------------------------------------------------------------------- */

static void *counting_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    struct planner_host *counting = (struct planner_host *)(uintptr_t)host;
    void *memory = NULL;
    if (!counting->left)
        return NULL;
    counting->left -= counting->left > 0;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes ? bytes : 1))
        return NULL;
    counting->live++;
    return memory;
}

static void counting_release(const struct dtr_host *host, void *memory) {
    struct planner_host *counting = (struct planner_host *)(uintptr_t)host;
    counting->live -= memory != NULL;
    free(memory);
}

/* --- costs ------------------------------------------------------------------------------------ */

static double sum_of_shares(const struct dtr_plan *plan) {
    double sum = 0.0;
    for (uint32_t i = 0; i < plan->devices; i++)
        sum += plan->share[i];
    return sum;
}

static uint32_t held(const struct dtr_plan *plan, uint32_t device) {
    uint32_t count = 0;
    for (uint32_t d = 0; d < plan->divisions; d++)
        count += dtr_plan_holds(plan, d, device);
    return count;
}

/* The part of the work that a device does. */
static double part_of(const struct planner_rig *rig, const struct dtr_plan *plan, uint32_t strategy,
                      uint32_t device) {
    const double by_share = plan->share[device] / sum_of_shares(plan);
    switch (dtr_strategy_at(strategy)->needs) {
    case DTR_LAYOUT_ROOT:
        return device == 0;
    case DTR_LAYOUT_SLICES:
        return 0.3 * by_share + 0.7 * held(plan, device) / rig->model.divisions;
    default:
        return by_share;
    }
}

/* Seconds of one group.  How much travels depends on the strategy, and how much of it is seen on
 * the tiles. */
static double group_s(const struct dtr_problem *problem, const struct dtr_plan *plan,
                      uint32_t strategy) {
    const struct planner_rig *rig = problem->service;
    const double bytes = 4.0 * problem->request->tokens * rig->model.hidden * (1 + strategy % 3);
    double most = 0.0, slowest = 0.0;
    for (uint32_t i = 0; i < plan->devices; i++) {
        const double work = WORK * problem->request->tokens / plan->groups;
        most = fmax(most, work * part_of(rig, plan, strategy, i) / rig->device[i].gflops);
        const struct dtr_link *link = &problem->link[(size_t)i * plan->devices];
        if (i && (plan->share[i] > 0 || held(plan, i)))
            slowest = fmax(slowest, link->latency_s + bytes / link->bytes_per_s);
    }
    const double seen = 0.5 + 0.5 / plan->tiles + 0.02 * plan->tiles;
    return dtr_strategy_at(strategy)->needs == DTR_LAYOUT_ROOT ? most : most + seen * slowest;
}

static uint64_t memory_of(const struct planner_rig *rig, const struct dtr_plan *plan,
                          uint32_t device) {
    double most = 0.0;
    for (uint32_t s = 0; s < plan->strategies; s++)
        if (plan->open[s])
            most = fmax(most, part_of(rig, plan, s, device));
    return (uint64_t)(most * WEIGHTS_MIB * MIB);
}

static int predict(const struct dtr_problem *problem, const struct dtr_plan *plan,
                   struct dtr_prediction *prediction, struct dtr_error *error) {
    struct planner_rig *rig = (struct planner_rig *)(uintptr_t)problem->service;
    int status = dtr_plan_check(plan, error);
    for (uint32_t g = 0; !status && g < plan->groups; g++)
        if (!rig->strategy[plan->strategy[g]].usable)
            status = dtr_fail(error, DTR_E_CONFIG, "strategy '%s' is not for this model",
                              rig->strategy[plan->strategy[g]].name);
    if (status) {
        rig->refused++;
        return status;
    }
    prediction->latency_s = 0.0;
    for (uint32_t g = 0; g < plan->groups; g++)
        prediction->latency_s += group_s(problem, plan, plan->strategy[g]);
    for (uint32_t i = 0; i < plan->devices; i++) {
        const uint64_t bytes = memory_of(rig, plan, i);
        if (prediction->memory_bytes)
            prediction->memory_bytes[i] = bytes;
        if (prediction->weight_bytes)
            prediction->weight_bytes[i] = bytes;
    }
    return DTR_OK;
}

uint64_t dtr_planner_rig_excess(const struct planner_rig *rig) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < rig->problem.devices; i++) {
        const uint64_t has = rig->device[i].memory, needs = memory_of(rig, rig->plan, i);
        if (has && needs > has && needs - has > most)
            most = needs - has;
    }
    return most;
}

/* --- the problem ------------------------------------------------------------------------------ */

static void describe_devices(struct planner_rig *rig) {
    const struct planner_case *what = rig->what;
    for (uint32_t i = 0; i < what->devices; i++) {
        rig->device[i] = (struct dtr_device_info){
            .size = sizeof rig->device[i],
            .share = what->excluded && i + 1 == what->devices ? 0.0 : 1.0,
            .memory = what->memory_mib << 20,
            .gflops = what->unequal ? 5.0 + 5.0 * (i * 3 % 6) : 15.0,
        };
        if (what->by_hand)
            rig->device[i].divisions = rig->divisions[i];
    }
    for (uint32_t d = 0; d < PLANNER_DIVISIONS; d++)
        rig->divisions[(d * 2 + 1) % what->devices][d] = 1;
    for (uint32_t i = 0; i < what->devices * what->devices; i++)
        rig->link[i] = (struct dtr_link){2e-4, what->mbit * 125e3};
}

static void describe(struct planner_rig *rig, const struct planner_case *what) {
    *rig = (struct planner_rig){.what = what, .length = 128};
    rig->model = (struct dtr_model_shape){
        .size = sizeof rig->model,
        .layers = 12,
        .hidden = 768,
        .heads = 12,
        .intermediate = 3072,
        .divisions = what->decoupled ? PLANNER_DIVISIONS : 0,
        .groups = what->decoupled ? 4 : 12,
        .group_layers = what->decoupled ? 3 : 1,
    };
    rig->request = (struct dtr_request_shape){.size = sizeof rig->request,
                                              .sequences = 1,
                                              .lengths = &rig->length,
                                              .tokens = rig->length};
    describe_devices(rig);
    dtr_strategy_infos(&rig->model, rig->strategy);
    rig->problem = (struct dtr_problem){
        .size = sizeof rig->problem,
        .model = &rig->model,
        .devices = what->devices,
        .device = rig->device,
        .device_stride = sizeof rig->device[0],
        .link = rig->link,
        .request = &rig->request,
        .strategies = dtr_strategy_count(),
        .strategy = rig->strategy,
        .strategy_stride = sizeof rig->strategy[0],
        .predict = predict,
        .objective = what->objective,
        .service = rig,
    };
}

/* --- the instance ----------------------------------------------------------------------------- */

static int open_one(struct planner_rig *rig, const struct dtr_plugin *plugin, const void *params,
                    const struct dtr_log *log, int64_t allocations, struct dtr_error *error) {
    struct planner_host *host = &rig->host[rig->count];
    dtr_services_init(&host->services, plugin->name, log, NULL);
    host->services.host.allocate = counting_allocate;
    host->services.host.release = counting_release;
    host->live = 0;
    host->left = allocations;
    if (plugin->probe(&host->services.host, error) <= 0)
        return dtr_fail(error, DTR_E_UNSUPPORTED, "it cannot run here and does not say why");
    const struct dtr_open how = {.size = sizeof how,
                                 .params = params,
                                 .lower = rig->count ? &rig->instance[rig->count - 1] : NULL,
                                 .threads = 1,
                                 .devices = rig->problem.devices};
    void *self = NULL;
    const int status = plugin->open(&host->services.host, &how, &self, error);
    if (status)
        return dtr_fail(error, status, "it does not open and does not say why");
    rig->instance[rig->count++] = (struct dtr_instance){.plugin = plugin, .self = self};
    return DTR_OK;
}

int dtr_planner_rig_open(struct planner_rig *rig, const struct dtr_chain *chain,
                         const struct dtr_log *log, const struct planner_case *what,
                         int64_t allocations, struct dtr_error *error) {
    describe(rig, what);
    int status = DTR_OK;
    for (uint32_t i = chain->count; !status && i-- > 0;)
        status = open_one(rig, chain->plugin[i], chain->params[i], log, allocations, error);
    if (status)
        return status;
    rig->ops = chain->plugin[0]->ops;
    rig->self = rig->instance[rig->count - 1].self;
    return DTR_OK;
}

int64_t dtr_planner_rig_close(struct planner_rig *rig) {
    int64_t live = 0;
    for (uint32_t i = rig->count; i-- > 0;)
        rig->instance[i].plugin->close(rig->instance[i].self);
    for (uint32_t i = 0; i < DTR_CHAIN_MAX; i++)
        live += rig->host[i].live;
    dtr_plan_free(rig->plan);
    rig->plan = NULL;
    rig->count = 0;
    return live;
}

int dtr_planner_rig_plan(struct planner_rig *rig, struct dtr_error *error) {
    dtr_plan_free(rig->plan);
    rig->plan = dtr_plan_create(&rig->model, rig->problem.devices, rig->problem.strategies, error);
    int status = rig->plan ? dtr_plan_place(rig->plan, rig->device, sizeof rig->device[0], error)
                           : DTR_E_MEMORY;
    return status ? status : rig->ops->plan(rig->self, &rig->problem, rig->plan, error);
}

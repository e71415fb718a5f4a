/* SPDX-License-Identifier: MIT
 *
 * static -- the planner that decides once, before the first request: devices, placement, strategies
 * and tiles with the least predicted cost.
 */
#include <detransformer/planner.h>

#include "common/arrange.h"

struct params {
    struct dtr_list strategies;
};

struct decider {
    const struct dtr_host *host;
    const struct params *params;
};

static const struct dtr_param params[] = {
    {.key = "strategies",
     .fallback = "",
     .help = "The strategies that may be chosen; none named: all that the model allows.",
     .type = DTR_LIST,
     .offset = offsetof(struct params, strategies)},
    {.key = NULL},
};

static int static_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                       struct dtr_error *error) {
    struct decider *self = host->allocate(host, _Alignof(struct decider), sizeof *self);
    if (!self)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *self = (struct decider){.host = host, .params = how->params};
    *self_p = self;
    return DTR_OK;
}

static void static_close(void *self) {
    struct decider *decider = self;
    decider->host->release(decider->host, decider);
}

static int search_plan(const struct decider *decider, const struct dtr_problem *problem,
                       const uint8_t *allowed, struct dtr_plan *plan, struct dtr_error *error) {
    struct dtr_search search;
    struct dtr_contest contest;
    int status = dtr_search_begin(&search, decider->host, problem, allowed, error);
    if (status)
        return status;
    status = dtr_contest_begin(&contest, &search, plan, error);
    if (status)
        goto out_search;
    status = dtr_arrange(&contest, plan, error);
    if (!status && !contest.trial.fits)
        status = dtr_search_nothing(&search, error);
    if (!status) {
        dtr_draft_copy(plan, contest.best);
        dtr_contest_explain(&contest, plan->reason, plan->reason_bytes);
    }
    dtr_contest_end(&contest);
out_search:
    dtr_search_end(&search);
    return status;
}

static int static_plan(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                       struct dtr_error *error) {
    const struct decider *decider = self;
    const struct dtr_host *host = decider->host;
    if (!problem->predict)
        return host->fail(error, DTR_E_CONFIG, "planning needs a profile of devices and links");
    uint8_t *allowed = host->allocate(host, 1, problem->strategies);
    if (!allowed)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    int status = dtr_allow(host, problem, &decider->params->strategies, allowed, error);
    if (!status)
        status = search_plan(decider, problem, allowed, plan, error);
    host->release(host, allowed);
    return status;
}

static const struct dtr_planner_ops ops = {
    .size = sizeof ops,
    .plan = static_plan,
};

static int static_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 2;
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_PLANNER,
    .name = "static",
    .version = "1.0",
    .summary = "decides once: devices, placement, strategies and tiles of the least predicted cost",
    .caps = DTR_CAP_PREDICTS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = static_probe,
    .open = static_open,
    .close = static_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

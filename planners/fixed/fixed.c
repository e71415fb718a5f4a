/* SPDX-License-Identifier: MIT
 *
 * fixed -- the planner that does what the experiment says.
 */
#include <detransformer/planner.h>

#include <string.h>

struct params {
    struct dtr_list strategy;
    int64_t tiles;
};

struct fixed {
    const struct dtr_host *host;
    const struct params *params;
};

static const struct dtr_param params[] = {
    {.key = "strategy",
     .fallback = NULL,
     .help = "How the groups run: one strategy for all, or one for each group, in order.",
     .type = DTR_LIST,
     .offset = offsetof(struct params, strategy)},
    {.key = "tiles",
     .fallback = "1",
     .range = "1..256",
     .help = "Pieces in which a block-parallel exchange travels, each while the next is computed.",
     .type = DTR_INT,
     .offset = offsetof(struct params, tiles)},
    {.key = NULL},
};

static int fixed_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                      struct dtr_error *error) {
    const struct params *given = how->params;
    if (!given->strategy.count)
        return host->fail(error, DTR_E_CONFIG, "the planner 'fixed' needs a strategy");
    struct fixed *self = host->allocate(host, _Alignof(struct fixed), sizeof *self);
    if (!self)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *self = (struct fixed){.host = host, .params = given};
    *self_p = self;
    return DTR_OK;
}

static void fixed_close(void *self) {
    struct fixed *fixed = self;
    fixed->host->release(fixed->host, fixed);
}

static const struct dtr_strategy_info *strategy_at(const struct dtr_problem *problem, uint32_t i) {
    return (const void *)((const char *)problem->strategy + i * problem->strategy_stride);
}

static int find(const struct fixed *fixed, const struct dtr_problem *problem, const char *name,
                uint32_t *index_p, struct dtr_error *error) {
    char known[400] = "";
    for (uint32_t i = 0; i < problem->strategies; i++) {
        const struct dtr_strategy_info *info = strategy_at(problem, i);
        if (strcmp(info->name, name) == 0) {
            if (!info->usable)
                return fixed->host->fail(error, DTR_E_CONFIG, "strategy '%s': %s", name,
                                         info->reason ? info->reason : "not for this model");
            *index_p = i;
            return DTR_OK;
        }
        size_t used = strlen(known);
        if (used + strlen(info->name) + 2 < sizeof known) {
            if (used)
                known[used++] = ' ';
            memcpy(known + used, info->name, strlen(info->name) + 1);
        }
    }
    return fixed->host->fail(error, DTR_E_CONFIG, "unknown strategy '%s'; there are: %s", name,
                             known);
}

static int fixed_plan(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                      struct dtr_error *error) {
    const struct fixed *fixed = self;
    const struct dtr_list *names = &fixed->params->strategy;
    if (names->count != 1 && names->count != plan->groups)
        return fixed->host->fail(error, DTR_E_CONFIG,
                                 "%zu strategies for %u groups; give one, or one for each group",
                                 names->count, plan->groups);
    plan->tiles = (uint32_t)fixed->params->tiles;
    for (uint32_t g = 0; g < plan->groups; g++) {
        uint32_t index;
        int status = find(fixed, problem, names->words[names->count == 1 ? 0 : g], &index, error);
        if (status)
            return status;
        plan->strategy[g] = index;
        plan->open[index] = 1;
    }
    return DTR_OK;
}

static const struct dtr_planner_ops ops = {
    .size = sizeof ops,
    .plan = fixed_plan,
};

static int fixed_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_PLANNER,
    .name = "fixed",
    .version = "1.0",
    .summary = "runs the strategies that the experiment names",
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = fixed_probe,
    .open = fixed_open,
    .close = fixed_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT */
#include "common/search.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0

const struct dtr_trial dtr_trial_none = {.score = INFINITY, .latency_s = INFINITY};

static bool memory_matters(const struct dtr_problem *problem) {
    for (uint32_t i = 0; i < problem->devices; i++)
        if (dtr_problem_device(problem, i)->memory)
            return true;
    return problem->objective == DTR_MEMORY;
}

int dtr_search_begin(struct dtr_search *search, const struct dtr_host *host,
                     const struct dtr_problem *problem, const uint8_t *allowed,
                     struct dtr_error *error) {
    uint64_t *memory_bytes =
        host->allocate(host, _Alignof(uint64_t), problem->devices * sizeof *search->memory_bytes);
    double *busy_s =
        host->allocate(host, _Alignof(double), problem->devices * sizeof *search->busy_s);
    if (!memory_bytes || !busy_s) {
        host->release(host, memory_bytes);
        host->release(host, busy_s);
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    }
    *search = (struct dtr_search){.host = host,
                                  .problem = problem,
                                  .allowed = allowed,
                                  .weigh = memory_matters(problem),
                                  .limit = DTR_SEARCH_WORK,
                                  .memory_bytes = memory_bytes,
                                  .busy_s = busy_s};
    return DTR_OK;
}

void dtr_search_end(struct dtr_search *search) {
    search->host->release(search->host, search->memory_bytes);
    search->host->release(search->host, search->busy_s);
    search->memory_bytes = NULL;
    search->busy_s = NULL;
}

const struct dtr_device_info *dtr_problem_device(const struct dtr_problem *problem,
                                                 uint32_t device) {
    return (const void *)((const char *)problem->device + device * problem->device_stride);
}

const struct dtr_strategy_info *dtr_problem_strategy(const struct dtr_problem *problem,
                                                     uint32_t strategy) {
    return (const void *)((const char *)problem->strategy + strategy * problem->strategy_stride);
}

struct dtr_plan *dtr_draft_create(const struct dtr_host *host, const struct dtr_plan *like) {
    const size_t shares = like->devices * sizeof *like->share,
                 strategies = like->groups * sizeof *like->strategy,
                 holds = (size_t)like->divisions * like->devices;
    char *memory = host->allocate(host, _Alignof(max_align_t),
                                  sizeof(struct dtr_plan) + shares + strategies + holds +
                                      like->strategies + 1);
    if (!memory)
        return NULL;
    struct dtr_plan *plan = (void *)memory;
    memory += sizeof *plan;
    *plan = *like;
    plan->size = sizeof *plan;
    plan->share = (void *)memory;
    plan->strategy = (void *)(memory + shares);
    plan->holds = (uint8_t *)memory + shares + strategies;
    plan->open = plan->holds + holds;
    plan->reason = (char *)plan->open + like->strategies;
    plan->reason[0] = '\0';
    plan->reason_bytes = 1;
    dtr_draft_copy(plan, like);
    return plan;
}

void dtr_draft_copy(struct dtr_plan *to, const struct dtr_plan *from) {
    memcpy(to->share, from->share, from->devices * sizeof *from->share);
    memcpy(to->strategy, from->strategy, from->groups * sizeof *from->strategy);
    if (from->divisions)
        memcpy(to->holds, from->holds, (size_t)from->divisions * from->devices);
    memcpy(to->open, from->open, from->strategies);
    to->tiles = from->tiles;
}

void dtr_draft_open(const struct dtr_search *search, struct dtr_plan *plan) {
    if (search->keep_open)
        return;
    memset(plan->open, 0, plan->strategies);
    for (uint32_t g = 0; g < plan->groups; g++)
        plan->open[plan->strategy[g]] = 1;
}

void dtr_draft_run(const struct dtr_search *search, struct dtr_plan *plan, uint32_t strategy) {
    for (uint32_t g = 0; g < plan->groups; g++)
        plan->strategy[g] = strategy;
    dtr_draft_open(search, plan);
}

bool dtr_draft_is_uniform(const struct dtr_plan *plan, uint32_t strategy) {
    for (uint32_t g = 0; g < plan->groups; g++)
        if (plan->strategy[g] != strategy)
            return false;
    return true;
}

uint32_t dtr_draft_taking(const struct dtr_plan *plan) {
    uint32_t taking = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        taking += plan->share[i] > 0;
    return taking;
}

uint32_t dtr_draft_working(const struct dtr_plan *plan) {
    return dtr_draft_is_uniform(plan, 0) ? 1 : dtr_draft_taking(plan);
}

/* Lowering and messages grow with the square of the devices that work, and with the tiles; for the
 * memory all is lowered once more. */
static uint64_t work(const struct dtr_search *search, const struct dtr_plan *plan) {
    const uint64_t taking = dtr_draft_working(plan);
    const uint64_t messages = taking * taking * (8 + plan->tiles) / 8;
    const uint64_t units = search->problem->model->layers * (messages + taking) + plan->devices;
    return search->weigh ? units + units / 2 : units;
}

bool dtr_search_affords(const struct dtr_search *search, const struct dtr_plan *plan) {
    return search->spent + work(search, plan) <= search->limit;
}

static void judge_memory(struct dtr_search *search, struct dtr_trial *trial) {
    struct dtr_shortage worst = {.excess = 0.0};
    for (uint32_t i = 0; i < search->problem->devices; i++) {
        const uint64_t has = dtr_problem_device(search->problem, i)->memory;
        const uint64_t needs = search->memory_bytes[i];
        const double excess = (double)needs / (double)(has ? has : 1);
        if (has && needs > has && excess > worst.excess)
            worst = (struct dtr_shortage){excess, needs, has, i};
    }
    trial->fits = worst.excess <= 0.0;
    if (trial->fits)
        return;
    trial->score = INFINITY;
    if (search->shortage.excess <= 0.0 || worst.excess < search->shortage.excess)
        search->shortage = worst;
}

static double most_memory(const struct dtr_search *search) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < search->problem->devices; i++)
        if (search->memory_bytes[i] > most)
            most = search->memory_bytes[i];
    return (double)most;
}

static double most_busy(const struct dtr_search *search) {
    double most = 0;
    for (uint32_t i = 0; i < search->problem->devices; i++)
        most = fmax(most, search->busy_s[i]);
    return most;
}

static double score(const struct dtr_search *search, double latency_s) {
    switch (search->problem->objective) {
    case DTR_MEMORY:
        return most_memory(search);
    case DTR_THROUGHPUT:
        return most_busy(search);
    default:
        return latency_s;
    }
}

int dtr_search_try(struct dtr_search *search, const struct dtr_plan *plan, struct dtr_trial *trial,
                   struct dtr_error *error) {
    const struct dtr_problem *problem = search->problem;
    struct dtr_prediction prediction = {
        .size = sizeof prediction,
        .memory_bytes = search->weigh ? search->memory_bytes : NULL,
        .busy_s = search->busy_s,
    };
    memset(search->memory_bytes, 0, problem->devices * sizeof *search->memory_bytes);
    memset(search->busy_s, 0, problem->devices * sizeof *search->busy_s);
    *trial = dtr_trial_none;
    search->spent += work(search, plan);
    const int status = problem->predict(problem, plan, &prediction, NULL);
    if (status == DTR_E_CONFIG || status == DTR_E_UNSUPPORTED)
        return DTR_OK;
    if (status)
        return search->host->fail(error, status, "a plan cannot be simulated");
    if (!(prediction.latency_s >= 0.0) || isinf(prediction.latency_s))
        return DTR_OK;
    trial->latency_s = prediction.latency_s;
    trial->score = score(search, prediction.latency_s);
    judge_memory(search, trial);
    return DTR_OK;
}

bool dtr_trial_better(const struct dtr_trial *a, const struct dtr_trial *b) {
    return a->score < b->score || (a->score <= b->score && a->latency_s < b->latency_s);
}

int dtr_search_nothing(const struct dtr_search *search, struct dtr_error *error) {
    const struct dtr_shortage *shortage = &search->shortage;
    if (shortage->excess <= 0.0)
        return search->host->fail(error, DTR_E_CONFIG,
                                  "none of the strategies that may be chosen can run here");
    const bool small = (double)shortage->has < MIB;
    const double bytes = small ? 1024 : MIB;
    const char *unit = small ? "KiB" : "MiB";
    return search->host->fail(
        error, DTR_E_CONFIG,
        "no plan fits into memory; the closest needs %.0f %s on device %u of %.0f %s",
        ceil((double)shortage->needs / bytes), unit, shortage->device,
        floor((double)shortage->has / bytes), unit);
}

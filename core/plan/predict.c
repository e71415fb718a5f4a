/* SPDX-License-Identifier: MIT */
#include "plan/predict.h"

#include <stdlib.h>
#include <string.h>

#include "plan/account.h"
#include "plan/plan.h"

static int lower_all(const struct dtr_lowering *request, const struct dtr_plan *plan,
                     struct dtr_schedule **schedules, struct dtr_error *error) {
    struct dtr_lowering lowering = *request;
    lowering.plan = plan;
    for (uint32_t i = 0; i < plan->devices; i++) {
        lowering.device = i;
        const int status = dtr_lower(&lowering, &schedules[i], error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static void free_all(struct dtr_schedule **schedules, uint32_t devices) {
    for (uint32_t i = 0; schedules && i < devices; i++)
        dtr_schedule_free(schedules[i]);
    free(schedules);
}

static int compare_keys(const void *a, const void *b) {
    const struct dtr_weight_key *x = a, *y = b;
    const int64_t differences[] = {
        (int64_t)x->layer - y->layer,           (int64_t)x->division - y->division,
        (int64_t)x->kind - y->kind,             (int64_t)x->part.begin - y->part.begin,
        (int64_t)x->part.end - y->part.end,
    };
    for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
        if (differences[i])
            return differences[i] < 0 ? -1 : 1;
    return 0;
}

/* The weights of the schedules of all open strategies on one device, each counted once. */
struct holding {
    struct dtr_weight_key *keys;
    size_t count;
    uint64_t arena_bytes;
};

static int hold(struct holding *holding, const struct dtr_schedule *schedule) {
    struct dtr_weight_key *larger = realloc(
        holding->keys, (holding->count + schedule->weights_count + 1) * sizeof *larger);
    if (!larger)
        return DTR_E_MEMORY;
    if (schedule->weights_count)
        memcpy(larger + holding->count, schedule->weights,
               schedule->weights_count * sizeof *larger);
    holding->keys = larger;
    holding->count += schedule->weights_count;
    const uint64_t arena_bytes = schedule->arena_floats * sizeof(float);
    if (arena_bytes > holding->arena_bytes)
        holding->arena_bytes = arena_bytes;
    return DTR_OK;
}

static uint64_t held_bytes(struct holding *holding, const struct dtr_model_shape *model) {
    uint64_t bytes = 0;
    qsort(holding->keys, holding->count, sizeof *holding->keys, compare_keys);
    for (size_t i = 0; i < holding->count; i++)
        if (!i || compare_keys(&holding->keys[i - 1], &holding->keys[i]) != 0)
            bytes += sizeof(float) * dtr_account_weight(model, &holding->keys[i]);
    return bytes;
}

/* What one device holds while every open strategy may be asked for. */
static int weigh_device(const struct dtr_lowering *request, struct dtr_plan *plan,
                        uint32_t device, struct dtr_prediction *prediction,
                        struct dtr_error *error) {
    struct holding holding = {0};
    struct dtr_lowering lowering = *request;
    int status = DTR_OK;
    lowering.plan = plan;
    lowering.device = device;
    for (uint32_t i = 0; i < plan->strategies && !status; i++) {
        struct dtr_schedule *schedule;
        if (!plan->open[i])
            continue;
        for (uint32_t g = 0; g < plan->groups; g++)
            plan->strategy[g] = i;
        status = dtr_lower(&lowering, &schedule, error);
        if (status)
            break;
        if (hold(&holding, schedule))
            status = dtr_fail_memory(error);
        dtr_schedule_free(schedule);
    }
    if (!status) {
        const uint64_t bytes = holding.count ? held_bytes(&holding, request->model) : 0;
        if (prediction->weight_bytes)
            prediction->weight_bytes[device] = bytes;
        if (prediction->memory_bytes)
            prediction->memory_bytes[device] = bytes + holding.arena_bytes;
    }
    free(holding.keys);
    return status;
}

int dtr_predict_memory(const struct dtr_lowering *request, const struct dtr_plan *plan,
                       struct dtr_prediction *prediction, struct dtr_error *error) {
    if (!prediction->weight_bytes && !prediction->memory_bytes)
        return DTR_OK;
    struct dtr_plan *copy = dtr_plan_copy(plan, error);
    int status = copy ? DTR_OK : DTR_E_MEMORY;
    for (uint32_t i = 0; i < plan->devices && !status; i++)
        status = weigh_device(request, copy, i, prediction, error);
    dtr_plan_free(copy);
    return status;
}

int dtr_predict(const struct dtr_lowering *request, const struct dtr_plan *plan,
                const struct dtr_profile *profile, const struct dtr_link *link,
                struct dtr_prediction *prediction, struct dtr_error *error) {
    struct dtr_schedule **schedules = calloc(plan->devices, sizeof *schedules);
    int status = schedules ? lower_all(request, plan, schedules, error) : dtr_fail_memory(error);
    struct dtr_cost cost = dtr_profile_cost(profile);
    if (link)
        cost.link = link;
    struct dtr_simulation simulation = {
        .compute_s = prediction->compute_s, .communicate_s = prediction->communicate_s};
    if (!status)
        status = dtr_simulate((const struct dtr_schedule *const *)schedules, plan->devices,
                              &cost, &simulation, error);
    prediction->latency_s = simulation.latency_s;
    for (uint32_t i = 0; i < plan->devices && !status && prediction->bytes_sent; i++) {
        struct dtr_account account;
        dtr_account_schedule(schedules[i], request->model, &account);
        prediction->bytes_sent[i] = account.bytes_sent;
    }
    free_all(schedules, plan->devices);
    return status ? status : dtr_predict_memory(request, plan, prediction, error);
}

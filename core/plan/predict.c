/* SPDX-License-Identifier: MIT */
#include "plan/predict.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plan/account.h"
#include "plan/plan.h"
#include "plan/simulate.h"

/* --- the devices that count ------------------------------------------------------------------- */

/* A plan without the devices that have no part in it: what is predicted costs what these cost, be
 * the group ever so large. */
struct reduced {
    struct dtr_plan *plan;
    uint32_t *device; /* [plan->devices] as the whole plan numbers them */
    struct dtr_link *link;
    const struct dtr_profile *profile;
};

static void reduce_plan(const struct dtr_plan *plan, struct reduced *reduced) {
    struct dtr_plan *own = reduced->plan;
    const struct dtr_ways *ways = dtr_plan_ways(plan);
    own->tiles = plan->tiles;
    if (ways)
        *own->ways = *ways;
    memcpy(own->strategy, plan->strategy, plan->groups * sizeof *plan->strategy);
    memcpy(own->open, plan->open, plan->strategies);
    for (uint32_t i = 0; i < own->devices; i++) {
        own->share[i] = plan->share[reduced->device[i]];
        for (uint32_t d = 0; d < plan->divisions; d++)
            own->holds[(size_t)d * own->devices + i] =
                plan->holds[(size_t)d * plan->devices + reduced->device[i]];
    }
}

static void reduced_free(struct reduced *reduced) {
    dtr_plan_free(reduced->plan);
    free(reduced->device);
    free(reduced->link);
}

/* `link` may be NULL. */
static int reduce(const struct dtr_plan *plan, const struct dtr_profile *profile,
                  const struct dtr_link *link, struct reduced *reduced, struct dtr_error *error) {
    const struct dtr_model_shape shape = {.divisions = plan->divisions, .groups = plan->groups};
    uint32_t count = 0;
    *reduced = (struct reduced){.profile = profile};
    reduced->device = malloc(plan->devices * sizeof *reduced->device);
    for (uint32_t i = 0; reduced->device && i < plan->devices; i++)
        if (i == 0 || dtr_plan_uses(plan, i))
            reduced->device[count++] = i;
    reduced->link = calloc((size_t)count * count + 1, sizeof *reduced->link);
    reduced->plan = dtr_plan_create(&shape, count, plan->strategies, error);
    if (!reduced->device || !reduced->link || !reduced->plan) {
        reduced_free(reduced);
        return dtr_fail_memory(error);
    }
    reduce_plan(plan, reduced);
    for (uint32_t i = 0; link && i < count * count; i++)
        reduced->link[i] =
            link[(size_t)reduced->device[i / count] * plan->devices + reduced->device[i % count]];
    return DTR_OK;
}

static double step_s(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step) {
    const struct reduced *reduced = arg;
    return dtr_profile_step_s(reduced->profile, reduced->device[schedule->device], schedule, step);
}

/* --- schedules and weights -------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b) {
    const struct dtr_weight_key *x = a, *y = b;
    const int64_t differences[] = {
        (int64_t)x->layer - y->layer,       (int64_t)x->division - y->division,
        (int64_t)x->kind - y->kind,         (int64_t)x->part.begin - y->part.begin,
        (int64_t)x->part.end - y->part.end,
    };
    for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
        if (differences[i])
            return differences[i] < 0 ? -1 : 1;
    return 0;
}

/* The weights of the schedules of all open strategies on one device. */
struct holding {
    struct dtr_weight_key *keys;
    size_t count;
    uint64_t arena_bytes;
};

static int hold(struct holding *holding, const struct dtr_schedule *schedule) {
    struct dtr_weight_key *larger =
        realloc(holding->keys, (holding->count + schedule->weights_count + 1) * sizeof *larger);
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

/* Each weight counts once. */
static uint64_t held_bytes(struct holding *holding, const struct dtr_lowering *request,
                           uint32_t device) {
    uint64_t bytes = 0;
    if (holding->count)
        qsort(holding->keys, holding->count, sizeof *holding->keys, compare_keys);
    for (size_t i = 0; i < holding->count; i++)
        if (!i || compare_keys(&holding->keys[i - 1], &holding->keys[i]) != 0)
            bytes += dtr_account_weight_bytes(request->model, request->weigher, device,
                                              &holding->keys[i]);
    return bytes;
}

static int hold_all(struct holding *holdings, struct dtr_schedule *const *schedules,
                    uint32_t devices, struct dtr_error *error) {
    for (uint32_t i = 0; i < devices; i++)
        if (hold(&holdings[i], schedules[i]))
            return dtr_fail_memory(error);
    return DTR_OK;
}

/* What every device holds for a plan as it is. */
static int hold_plan(const struct dtr_lowering *request, const struct dtr_plan *plan,
                     struct holding *holdings, struct dtr_error *error) {
    struct dtr_lowering lowering = *request;
    struct dtr_schedule **schedules = calloc(plan->devices, sizeof *schedules);
    if (!schedules)
        return dtr_fail_memory(error);
    lowering.plan = plan;
    int status = dtr_lower_all(&lowering, schedules, error);
    if (!status)
        status = hold_all(holdings, schedules, plan->devices, error);
    dtr_schedules_free(schedules, plan->devices);
    return status;
}

static void note_holding(struct holding *holding, const struct dtr_lowering *request,
                         uint32_t device, struct dtr_prediction *prediction) {
    const uint64_t bytes = held_bytes(holding, request, device);
    if (prediction->weight_bytes)
        prediction->weight_bytes[device] = bytes;
    if (prediction->memory_bytes)
        prediction->memory_bytes[device] = bytes + holding->arena_bytes;
}

/* Groups that run by one strategy each have the buffers of all of them in one arena, so that a plan
 * of several is held as it is, beside each strategy that may be asked for.  `schedules`: those of
 * the plan, where they are at hand, or NULL. */
static int weigh(const struct dtr_lowering *request, struct reduced *reduced,
                 struct dtr_schedule *const *schedules, struct dtr_prediction *prediction,
                 struct dtr_error *error) {
    struct dtr_plan *plan = reduced->plan;
    const uint32_t first = plan->strategy[0];
    const bool uniform = dtr_plan_is_uniform(plan, first);
    struct holding *holdings = calloc(plan->devices, sizeof *holdings);
    if (!holdings)
        return dtr_fail_memory(error);
    int status = schedules ? hold_all(holdings, schedules, plan->devices, error)
                           : hold_plan(request, plan, holdings, error);
    for (uint32_t i = 0; i < plan->strategies && !status; i++) {
        if (!plan->open[i] || (uniform && i == first))
            continue;
        dtr_plan_make_uniform(plan, i);
        status = hold_plan(request, plan, holdings, error);
    }
    for (uint32_t i = 0; i < plan->devices; i++) {
        if (!status)
            note_holding(&holdings[i], request, reduced->device[i], prediction);
        free(holdings[i].keys);
    }
    free(holdings);
    return status;
}

static void clear(uint64_t *figures, uint32_t devices) {
    if (figures)
        memset(figures, 0, devices * sizeof *figures);
}

static bool asks_memory(const struct dtr_prediction *prediction) {
    return prediction->weight_bytes || prediction->memory_bytes;
}

static void clear_memory(struct dtr_prediction *prediction, uint32_t devices) {
    clear(prediction->weight_bytes, devices);
    clear(prediction->memory_bytes, devices);
}

int dtr_predict_memory(const struct dtr_lowering *request, const struct dtr_plan *plan,
                       struct dtr_prediction *prediction, struct dtr_error *error) {
    struct reduced reduced;
    if (!asks_memory(prediction))
        return DTR_OK;
    clear_memory(prediction, plan->devices);
    int status = reduce(plan, NULL, NULL, &reduced, error);
    if (status)
        return status;
    status = weigh(request, &reduced, NULL, prediction, error);
    reduced_free(&reduced);
    return status;
}

/* The simulation's figures of one device, as the whole plan numbers it. */
static void spread(const double *from, const struct reduced *reduced, uint32_t devices,
                   double *to) {
    if (!to)
        return;
    for (uint32_t i = 0; i < devices; i++)
        to[i] = 0;
    for (uint32_t i = 0; i < reduced->plan->devices; i++)
        to[reduced->device[i]] = from[i];
}

/* A planner of before does not know of it. */
static bool asks_busy(const struct dtr_prediction *prediction) {
    return prediction->size > offsetof(struct dtr_prediction, busy_s) && prediction->busy_s;
}

static int simulate(struct dtr_schedule *const *schedules, struct reduced *reduced,
                    uint32_t devices, struct dtr_prediction *prediction, struct dtr_error *error) {
    const uint32_t count = reduced->plan->devices;
    double *times = calloc(3 * (size_t)count, sizeof *times);
    if (!times)
        return dtr_fail_memory(error);
    double *busy_s = times + 2 * count;
    struct dtr_cost cost = dtr_profile_cost(reduced->profile, reduced->link);
    cost.arg = reduced;
    cost.step_s = step_s;
    struct dtr_simulation simulation = {
        .compute_s = times, .communicate_s = times + count, .port_s = busy_s};
    const int status = dtr_simulate((const struct dtr_schedule *const *)schedules, count, &cost,
                                    &simulation, error);
    prediction->latency_s = simulation.latency_s;
    spread(times, reduced, devices, prediction->compute_s);
    spread(times + count, reduced, devices, prediction->communicate_s);
    for (uint32_t i = 0; i < count; i++)
        busy_s[i] = busy_s[i] > times[i] ? busy_s[i] : times[i];
    if (asks_busy(prediction))
        spread(busy_s, reduced, devices, prediction->busy_s);
    free(times);
    return status;
}

static void add_up(struct dtr_schedule *const *schedules, const struct reduced *reduced,
                   const struct dtr_model_shape *model, struct dtr_prediction *prediction) {
    for (uint32_t i = 0; i < reduced->plan->devices && prediction->bytes_sent; i++) {
        struct dtr_account account;
        dtr_account_schedule(schedules[i], model, NULL, &account);
        prediction->bytes_sent[reduced->device[i]] = account.bytes_sent;
    }
}

int dtr_predict(const struct dtr_lowering *request, const struct dtr_plan *plan,
                const struct dtr_profile *profile, const struct dtr_link *link,
                struct dtr_prediction *prediction, struct dtr_error *error) {
    struct reduced reduced;
    int status = reduce(plan, profile, link ? link : profile->link, &reduced, error);
    if (status)
        return status;
    const uint32_t count = reduced.plan->devices;
    struct dtr_schedule **schedules = calloc(count, sizeof *schedules);
    struct dtr_lowering lowering = *request;
    lowering.plan = reduced.plan;
    status = schedules ? dtr_lower_all(&lowering, schedules, error) : dtr_fail_memory(error);
    if (!status)
        status = simulate(schedules, &reduced, plan->devices, prediction, error);
    clear(prediction->bytes_sent, plan->devices);
    if (!status)
        add_up(schedules, &reduced, request->model, prediction);
    clear_memory(prediction, plan->devices);
    if (!status && asks_memory(prediction))
        status = weigh(request, &reduced, schedules, prediction, error);
    dtr_schedules_free(schedules, count);
    reduced_free(&reduced);
    return status;
}

/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "plan/split.h"

enum { REASON_BYTES = 400 };

struct dtr_plan *dtr_plan_create(const struct dtr_model_shape *model, uint32_t devices,
                                 uint32_t strategies, struct dtr_error *error) {
    struct dtr_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        goto out_of_memory;
    *plan = (struct dtr_plan){
        .size = sizeof *plan,
        .devices = devices,
        .divisions = model->divisions,
        .groups = model->groups,
        .strategies = strategies,
        .tiles = 1,
        .reason_bytes = REASON_BYTES,
        .share = calloc(devices, sizeof *plan->share),
        .holds = calloc((size_t)model->divisions * devices + 1, 1),
        .strategy = calloc(model->groups, sizeof *plan->strategy),
        .open = calloc(strategies, 1),
        .reason = calloc(REASON_BYTES, 1),
        .ways = calloc(1, sizeof *plan->ways),
    };
    if (plan->share && plan->holds && plan->strategy && plan->open && plan->reason && plan->ways)
        return plan;
    dtr_plan_free(plan);
out_of_memory:
    dtr_fail_memory(error);
    return NULL;
}

struct dtr_plan *dtr_plan_copy(const struct dtr_plan *plan, struct dtr_error *error) {
    const struct dtr_model_shape shape = {.divisions = plan->divisions, .groups = plan->groups};
    struct dtr_plan *copy = dtr_plan_create(&shape, plan->devices, plan->strategies, error);
    if (!copy)
        return NULL;
    copy->tiles = plan->tiles;
    memcpy(copy->share, plan->share, plan->devices * sizeof *plan->share);
    memcpy(copy->holds, plan->holds, (size_t)plan->divisions * plan->devices);
    memcpy(copy->strategy, plan->strategy, plan->groups * sizeof *plan->strategy);
    memcpy(copy->open, plan->open, plan->strategies);
    memcpy(copy->reason, plan->reason, plan->reason_bytes);
    *copy->ways = *plan->ways;
    return copy;
}

void dtr_plan_free(struct dtr_plan *plan) {
    if (!plan)
        return;
    free(plan->share);
    free(plan->holds);
    free(plan->strategy);
    free(plan->open);
    free(plan->reason);
    free(plan->ways);
    free(plan);
}

static const struct dtr_device_info *device_at(const struct dtr_device_info *device, size_t stride,
                                               uint32_t i) {
    return (const void *)((const char *)device + i * stride);
}

static void hold(struct dtr_plan *plan, uint32_t division, uint32_t device) {
    plan->holds[(size_t)division * plan->devices + device] = 1;
}

/* At most one division a device more than its due: contiguous ranges of divisions. */
static int place_few(struct dtr_plan *plan, struct dtr_error *error) {
    struct dtr_range *range = calloc(plan->devices, sizeof *range);
    if (!range)
        return dtr_fail_memory(error);
    dtr_split(plan->divisions, 1, plan->share, plan->devices, range);
    for (uint32_t device = 0; device < plan->devices; device++)
        for (uint32_t division = range[device].begin; division < range[device].end; division++)
            hold(plan, division, device);
    free(range);
    return DTR_OK;
}

/* The strongest devices first, each to the division with the least share so far. */
static int place_many(struct dtr_plan *plan, struct dtr_error *error) {
    double *sum = calloc(plan->divisions, sizeof *sum);
    bool *placed = calloc(plan->devices, sizeof *placed);
    if (!sum || !placed) {
        free(sum);
        free(placed);
        return dtr_fail_memory(error);
    }
    for (;;) {
        uint32_t strongest = plan->devices;
        for (uint32_t i = 0; i < plan->devices; i++)
            if (!placed[i] && plan->share[i] > 0 &&
                (strongest == plan->devices || plan->share[i] > plan->share[strongest]))
                strongest = i;
        if (strongest == plan->devices)
            break;
        uint32_t least = 0;
        for (uint32_t d = 1; d < plan->divisions; d++)
            if (sum[d] < sum[least])
                least = d;
        hold(plan, least, strongest);
        sum[least] += plan->share[strongest];
        placed[strongest] = true;
    }
    free(sum);
    free(placed);
    return DTR_OK;
}

static int check_division(const struct dtr_plan *plan, uint32_t division, struct dtr_error *error) {
    double share = 0;
    uint32_t holders = 0;
    for (uint32_t i = 0; i < plan->devices; i++)
        if (dtr_plan_holds(plan, division, i)) {
            share += plan->share[i];
            holders++;
        }
    if (!holders)
        return dtr_fail(error, DTR_E_CONFIG, "the sub-blocks of division %u are on no device",
                        division);
    if (holders > 1 && share <= 0)
        return dtr_fail(error, DTR_E_CONFIG, "the devices that share division %u all have share 0",
                        division);
    return DTR_OK;
}

static int check_divisions(const struct dtr_plan *plan, struct dtr_error *error) {
    for (uint32_t d = 0; d < plan->divisions; d++) {
        const int status = check_division(plan, d, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

bool dtr_plan_uses(const struct dtr_plan *plan, uint32_t device) {
    for (uint32_t d = 0; d < plan->divisions; d++)
        if (dtr_plan_holds(plan, d, device))
            return true;
    return plan->share[device] > 0;
}

const struct dtr_ways *dtr_plan_ways(const struct dtr_plan *plan) {
    return plan->size > offsetof(struct dtr_plan, ways) ? plan->ways : NULL;
}

bool dtr_plan_is_uniform(const struct dtr_plan *plan, uint32_t strategy) {
    for (uint32_t g = 0; g < plan->groups; g++)
        if (plan->strategy[g] != strategy)
            return false;
    return true;
}

void dtr_plan_make_uniform(struct dtr_plan *plan, uint32_t strategy) {
    for (uint32_t g = 0; g < plan->groups; g++)
        plan->strategy[g] = strategy;
}

int dtr_plan_place(struct dtr_plan *plan, const struct dtr_device_info *device, size_t stride,
                   struct dtr_error *error) {
    uint32_t taking = 0;
    bool by_hand = false;
    for (uint32_t i = 0; i < plan->devices; i++) {
        const struct dtr_device_info *info = device_at(device, stride, i);
        plan->share[i] = info->share;
        taking += info->share > 0;
        by_hand |= info->divisions != NULL;
    }
    if (!taking)
        return dtr_fail(error, DTR_E_CONFIG, "every device has share 0; one must take part");
    memset(plan->holds, 0, (size_t)plan->divisions * plan->devices);
    if (!plan->divisions)
        return DTR_OK;
    if (!by_hand)
        return taking <= plan->divisions ? place_few(plan, error) : place_many(plan, error);
    for (uint32_t i = 0; i < plan->devices; i++) {
        const struct dtr_device_info *info = device_at(device, stride, i);
        for (uint32_t d = 0; info->divisions && d < plan->divisions; d++)
            if (info->divisions[d])
                hold(plan, d, i);
    }
    return check_divisions(plan, error);
}

int dtr_plan_check(const struct dtr_plan *plan, struct dtr_error *error) {
    bool taking = false;
    for (uint32_t i = 0; i < plan->devices; i++) {
        if (!(plan->share[i] >= 0) || !isfinite(plan->share[i]))
            return dtr_fail(error, DTR_E_PLUGIN, "the plan gives device %u the share %g", i,
                            plan->share[i]);
        taking |= plan->share[i] > 0;
    }
    if (!taking)
        return dtr_fail(error, DTR_E_PLUGIN, "the plan gives every device share 0");
    if (!plan->tiles || plan->tiles > DTR_TILES_MAX)
        return dtr_fail(error, DTR_E_PLUGIN, "the plan has %u tiles", plan->tiles);
    for (uint32_t g = 0; g < plan->groups; g++)
        if (plan->strategy[g] >= plan->strategies || !plan->open[plan->strategy[g]])
            return dtr_fail(error, DTR_E_PLUGIN,
                            "the plan runs group %u by a strategy that it does not keep open", g);
    const struct dtr_ways *ways = dtr_plan_ways(plan);
    if (ways && !dtr_ways_check(ways))
        return dtr_fail(error, DTR_E_PLUGIN, "the plan has a collective go in an unknown way");
    return check_divisions(plan, error);
}

/* Encoding: tiles, then the arrays in the order of the struct; host byte order, since a group's
 * devices agree on it in the handshake. */
static size_t encoded_length(uint32_t devices, uint32_t divisions, uint32_t groups,
                             uint32_t strategies) {
    return sizeof(uint32_t) + devices * sizeof(double) + (size_t)divisions * devices +
           groups * sizeof(uint32_t) + strategies + sizeof(struct dtr_ways);
}

static void put(uint8_t **at, const void *data, size_t length) {
    memcpy(*at, data, length);
    *at += length;
}

static void take(const uint8_t **at, void *data, size_t length) {
    memcpy(data, *at, length);
    *at += length;
}

int dtr_plan_encode(const struct dtr_plan *plan, uint8_t **bytes_p, size_t *length_p,
                    struct dtr_error *error) {
    const size_t length =
        encoded_length(plan->devices, plan->divisions, plan->groups, plan->strategies);
    uint8_t *bytes = malloc(length), *at = bytes;
    if (!bytes)
        return dtr_fail_memory(error);
    put(&at, &plan->tiles, sizeof plan->tiles);
    put(&at, plan->share, plan->devices * sizeof *plan->share);
    put(&at, plan->holds, (size_t)plan->divisions * plan->devices);
    put(&at, plan->strategy, plan->groups * sizeof *plan->strategy);
    put(&at, plan->open, plan->strategies);
    put(&at, plan->ways, sizeof *plan->ways);
    *bytes_p = bytes;
    *length_p = length;
    return DTR_OK;
}

int dtr_plan_decode(const uint8_t *bytes, size_t length, const struct dtr_model_shape *model,
                    uint32_t devices, uint32_t strategies, struct dtr_plan **plan_p,
                    struct dtr_error *error) {
    if (length != encoded_length(devices, model->divisions, model->groups, strategies))
        return dtr_fail(error, DTR_E_CORRUPT, "the plan has %zu bytes instead of %zu", length,
                        encoded_length(devices, model->divisions, model->groups, strategies));
    struct dtr_plan *plan = dtr_plan_create(model, devices, strategies, error);
    if (!plan)
        return DTR_E_MEMORY;
    const uint8_t *at = bytes;
    take(&at, &plan->tiles, sizeof plan->tiles);
    take(&at, plan->share, devices * sizeof *plan->share);
    take(&at, plan->holds, (size_t)plan->divisions * devices);
    take(&at, plan->strategy, plan->groups * sizeof *plan->strategy);
    take(&at, plan->open, strategies);
    take(&at, plan->ways, sizeof *plan->ways);
    int status = dtr_plan_check(plan, error);
    if (status) {
        dtr_plan_free(plan);
        return status;
    }
    *plan_p = plan;
    return DTR_OK;
}

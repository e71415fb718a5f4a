/* SPDX-License-Identifier: MIT
 *
 * plan.h -- memory for plans, and the placement that follows from the experiment alone: which
 * device holds the sub-blocks of which division.
 */
#ifndef DTR_PLAN_PLAN_H
#define DTR_PLAN_PLAN_H

#include <detransformer/planner.h>
#include <stdbool.h>

#include "base/error.h"
#include "plan/ways.h"

/* A plan for `strategies` known strategies with no strategy chosen and nothing placed. */
struct dtr_plan *dtr_plan_create(const struct dtr_model_shape *model, uint32_t devices,
                                 uint32_t strategies, struct dtr_error *error);
struct dtr_plan *dtr_plan_copy(const struct dtr_plan *plan, struct dtr_error *error);
void dtr_plan_free(struct dtr_plan *plan);

static inline bool dtr_plan_holds(const struct dtr_plan *plan, uint32_t division, uint32_t device) {
    return plan->holds[(size_t)division * plan->devices + device] != 0;
}

/* Whether the device has a part in the plan: a share, or a sub-block. */
bool dtr_plan_uses(const struct dtr_plan *plan, uint32_t device);

/* How its collectives go; NULL: a planner that does not know of it has drawn the plan up, and they
 * go straight. */
const struct dtr_ways *dtr_plan_ways(const struct dtr_plan *plan);

/* Whether all groups go by that strategy; and has them do so. */
bool dtr_plan_is_uniform(const struct dtr_plan *plan, uint32_t strategy);
void dtr_plan_make_uniform(struct dtr_plan *plan, uint32_t strategy);

/* Shares as given; divisions by hand where any device has them, else in proportion to the shares:
 * with no more taking devices than divisions by the largest remainder, neighbours together; with
 * more, every division gets a device and the rest go where the least share is.
 * DTR_E_CONFIG when a division is nowhere. */
int dtr_plan_place(struct dtr_plan *plan, const struct dtr_device_info *device, size_t stride,
                   struct dtr_error *error);

/* More tiles than this bring nothing but messages. */
#define DTR_TILES_MAX 1024u

/* Checks what a planner returned. */
int dtr_plan_check(const struct dtr_plan *plan, struct dtr_error *error);

/* The plan as bytes for the control channel, and back.  The caller frees. */
int dtr_plan_encode(const struct dtr_plan *plan, uint8_t **bytes_p, size_t *length_p,
                    struct dtr_error *error);
int dtr_plan_decode(const uint8_t *bytes, size_t length, const struct dtr_model_shape *model,
                    uint32_t devices, uint32_t strategies, struct dtr_plan **plan_p,
                    struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * account.h -- the accountant: what a schedule sends, computes and keeps, summed over its steps.
 */
#ifndef DTR_PLAN_ACCOUNT_H
#define DTR_PLAN_ACCOUNT_H

#include <detransformer/planner.h>

#include "plan/schedule.h"

struct dtr_account {
    uint64_t bytes_sent, bytes_received; /* payload, as the wire types have it */
    uint64_t flops;                      /* of linear layers (2 m n k) and attention (4 m s h) */
    uint64_t weight_bytes;               /* f32, of the weights that the steps use */
    uint64_t arena_bytes;                /* activations, and messages under way */
};

void dtr_account_schedule(const struct dtr_schedule *schedule, const struct dtr_model_shape *model,
                          struct dtr_account *account);

/* The payload of one collective on this device. */
void dtr_account_collective(const struct dtr_schedule *schedule,
                            const struct dtr_collective *collective, uint64_t *sent_p,
                            uint64_t *received_p);

/* Floating-point operations of one step; 0 for what only moves or normalises. */
uint64_t dtr_account_flops(const struct dtr_schedule *schedule, const struct dtr_step *step);

/* How many numbers a weight holds, bias included. */
uint64_t dtr_account_weight(const struct dtr_model_shape *model, const struct dtr_weight_key *key);

#endif

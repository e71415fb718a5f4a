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
    uint64_t weight_bytes;               /* of the weights that the steps use */
    uint64_t arena_bytes;                /* activations, and messages under way */
};

/* Knows what a prepared weight takes on a device of a plan; 0: it does not. */
struct dtr_weigher {
    void *arg;
    uint64_t (*bytes)(void *arg, uint32_t device, const struct dtr_weight_key *key);
};

/* `weigher` may be NULL. */
void dtr_account_schedule(const struct dtr_schedule *schedule, const struct dtr_model_shape *model,
                          const struct dtr_weigher *weigher, struct dtr_account *account);

/* What a prepared weight takes; where nobody knows, its numbers in f32. */
uint64_t dtr_account_weight_bytes(const struct dtr_model_shape *model,
                                  const struct dtr_weigher *weigher, uint32_t device,
                                  const struct dtr_weight_key *key);

/* The payload of one collective on this device. */
void dtr_account_collective(const struct dtr_schedule *schedule,
                            const struct dtr_collective *collective, uint64_t *sent_p,
                            uint64_t *received_p);

/* Floating-point operations of one step; 0 for what only moves or normalises. */
uint64_t dtr_account_flops(const struct dtr_schedule *schedule, const struct dtr_step *step);

/* How many numbers a weight holds, bias included. */
uint64_t dtr_account_weight(const struct dtr_model_shape *model, const struct dtr_weight_key *key);

#endif

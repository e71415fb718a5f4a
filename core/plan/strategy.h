/* SPDX-License-Identifier: MIT
 *
 * strategy.h -- the strategies: how a group of layers runs across the devices.  A strategy is a
 * function that emits steps, with a note of where it wants the hidden state and how it cuts the
 * weights.
 */
#ifndef DTR_PLAN_STRATEGY_H
#define DTR_PLAN_STRATEGY_H

#include "plan/builder.h"

#define DTR_CUT_QUERY 1u      /* heads of the query, key and value matrices */
#define DTR_CUT_PROJECTION 2u /* heads of the output projection */
#define DTR_CUT_COLUMNS 4u    /* columns of the feed-forward */
#define DTR_CUT_ALL (DTR_CUT_QUERY | DTR_CUT_PROJECTION | DTR_CUT_COLUMNS)

struct dtr_strategy {
    const char *name;
    const char *summary;
    enum dtr_layout needs;  /* of the hidden state when a group begins */
    bool decoupled;         /* runs sub-blocks where they are: only for decoupled models */
    bool query_apart;       /* computes queries for fewer rows than keys and values */
    bool runs;              /* lowers all groups in a row that run by it, up to b->run_end */
    uint32_t original_cuts; /* DTR_CUT_*: how original layers are cut over all devices */
    uint32_t sub_block_cuts;
    void (*lower)(struct dtr_builder *b, uint32_t group);
};

uint32_t dtr_strategy_count(void);
const struct dtr_strategy *dtr_strategy_at(uint32_t index);

/* What a planner is told of them, for one model; `info` has room for all. */
void dtr_strategy_infos(const struct dtr_model_shape *model, struct dtr_strategy_info *info);

/* The index of a name, or -1. */
int32_t dtr_strategy_find(const char *name);

/* All of one layer on this device, for the rows of `x`; the result replaces them. */
void dtr_lower_alone(struct dtr_builder *b, uint32_t layer, struct dtr_view x);

void dtr_lower_single(struct dtr_builder *b, uint32_t group);
void dtr_lower_pipeline(struct dtr_builder *b, uint32_t group);
void dtr_lower_tensor(struct dtr_builder *b, uint32_t group);
void dtr_lower_hybrid(struct dtr_builder *b, uint32_t group);
void dtr_lower_sequence(struct dtr_builder *b, uint32_t group);
void dtr_lower_bp_gather(struct dtr_builder *b, uint32_t group);
void dtr_lower_bp_tensor(struct dtr_builder *b, uint32_t group);
void dtr_lower_bp_sequence(struct dtr_builder *b, uint32_t group);
void dtr_lower_bp_root(struct dtr_builder *b, uint32_t group);

#endif

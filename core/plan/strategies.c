/* SPDX-License-Identifier: MIT */
#include "plan/strategy.h"

#include <string.h>

static const struct dtr_strategy strategies[] = {
    {
        .name = "single",
        .summary = "device 0 alone",
        .needs = DTR_LAYOUT_ROOT,
        .lower = dtr_lower_single,
    },
    {
        .name = "tp",
        .summary =
            "tensor parallel: heads and feed-forward columns of every layer over all devices",
        .needs = DTR_LAYOUT_WHOLE,
        .original_cuts = DTR_CUT_ALL,
        .sub_block_cuts = DTR_CUT_ALL,
        .lower = dtr_lower_tensor,
    },
    {
        .name = "sp",
        .summary = "sequence parallel: tokens over devices, one all-gather a layer",
        .needs = DTR_LAYOUT_ROWS,
        .query_apart = true,
        .lower = dtr_lower_sequence,
    },
    {
        .name = "hmp",
        .summary =
            "hybrid: attention and feed-forward tensor parallel, what connects them by tokens",
        .needs = DTR_LAYOUT_ROWS,
        .original_cuts = DTR_CUT_ALL,
        .sub_block_cuts = DTR_CUT_ALL,
        .lower = dtr_lower_hybrid,
    },
    {
        .name = "pp",
        .summary = "pipeline: consecutive layers on each device, one sequence after the other",
        .needs = DTR_LAYOUT_ROOT,
        .runs = true,
        .lower = dtr_lower_pipeline,
    },
    {
        .name = "bp+ag",
        .summary = "sub-blocks in place; every device runs the whole original layer",
        .needs = DTR_LAYOUT_SLICES,
        .decoupled = true,
        .lower = dtr_lower_bp_gather,
    },
    {
        .name = "bp+tp",
        .summary = "sub-blocks in place; original layers tensor parallel",
        .needs = DTR_LAYOUT_SLICES,
        .decoupled = true,
        .original_cuts = DTR_CUT_ALL,
        .lower = dtr_lower_bp_tensor,
    },
    {
        .name = "bp+sp",
        .summary = "sub-blocks in place; original layers by heads, then by tokens",
        .needs = DTR_LAYOUT_SLICES,
        .decoupled = true,
        .original_cuts = DTR_CUT_QUERY,
        .lower = dtr_lower_bp_sequence,
    },
    {
        .name = "bp+root",
        .summary = "sub-blocks in place; device 0 runs the original layers",
        .needs = DTR_LAYOUT_SLICES,
        .decoupled = true,
        .lower = dtr_lower_bp_root,
    },
};

uint32_t dtr_strategy_count(void) {
    return sizeof strategies / sizeof strategies[0];
}

const struct dtr_strategy *dtr_strategy_at(uint32_t index) {
    return &strategies[index];
}

int32_t dtr_strategy_find(const char *name) {
    for (uint32_t i = 0; i < dtr_strategy_count(); i++)
        if (strcmp(strategies[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

void dtr_strategy_infos(const struct dtr_model_shape *model, struct dtr_strategy_info *info) {
    for (uint32_t i = 0; i < dtr_strategy_count(); i++) {
        const bool usable = model->divisions || !strategies[i].decoupled;
        info[i] = (struct dtr_strategy_info){
            .name = strategies[i].name,
            .summary = strategies[i].summary,
            .usable = usable,
            .reason = usable ? NULL : "the model is not decoupled",
        };
    }
}

/* SPDX-License-Identifier: MIT
 *
 * lower.h -- turns a plan into the schedule of one device for one request.  Every device lowers
 * its own from the same inputs; tags and message orders agree because all lower the same program.
 */
#ifndef DTR_PLAN_LOWER_H
#define DTR_PLAN_LOWER_H

#include <detransformer/planner.h>
#include <stdbool.h>

#include "base/error.h"
#include "plan/schedule.h"
#include "plan/ways.h"

struct dtr_weigher;

/* What is computed on device 0 after the last layer. */
enum dtr_head { DTR_HEAD_NONE, DTR_HEAD_CLASSIFY, DTR_HEAD_FILL_MASK, DTR_HEAD_ANSWER };

struct dtr_lowering {
    const struct dtr_model_shape *model;
    const struct dtr_plan *plan;
    uint32_t device;
    uint32_t sequences;
    const uint32_t *lengths; /* [sequences], each at least one */
    const uint32_t *select;  /* the tokens whose rows the last layer must give, rising; NULL: all */
    uint32_t selected;
    bool hidden_input; /* device 0 is given hidden states; else every device embeds tokens */
    bool keep_layers;  /* device 0 collects the output of every layer */
    bool pooled;       /* the pooler is run; its rows are the first tokens of the sequences */
    bool query_apart;  /* queries have a weight of their own (the experiment selects rows) */
    enum dtr_head head;
    uint32_t labels, vocabulary;
    uint8_t wire;                      /* enum dtr_dtype */
    const struct dtr_ways *ways;       /* how collectives go; NULL: as the plan says */
    const struct dtr_weigher *weigher; /* for the accountant; NULL: weights are f32 */
};

/* The caller frees the schedule.  DTR_E_MEMORY, or DTR_E_CONFIG for a plan that cannot be run. */
int dtr_lower(const struct dtr_lowering *lowering, struct dtr_schedule **schedule_p,
              struct dtr_error *error);

/* The schedules of all devices, [plan->devices], NULL before; what fails leaves some of them. */
int dtr_lower_all(const struct dtr_lowering *lowering, struct dtr_schedule **schedules,
                  struct dtr_error *error);

#endif

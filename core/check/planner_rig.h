/* SPDX-License-Identifier: MIT
 *
 * planner_rig.h -- what the conformance suite of planners works with: a made-up cluster and model
 * with costs of its own, and an open instance whose allocations are counted and can be made to
 * fail.
 */
#ifndef DTR_CHECK_PLANNER_RIG_H
#define DTR_CHECK_PLANNER_RIG_H

#include <detransformer/planner.h>
#include <stdbool.h>

#include "base/log.h"
#include "check/check.h"
#include "config/experiment.h"
#include "plugin/host.h"

enum { PLANNER_DEVICES = 64, PLANNER_DIVISIONS = 4, PLANNER_STRATEGIES = 32 };

struct planner_host {
    struct dtr_services services; /* first: the plugin hands it back */
    int64_t live;                 /* pieces of memory not released */
    int64_t left;                 /* allocations that succeed yet; below 0: all */
};

/* What a case is about. */
struct planner_case {
    const char *name;
    uint32_t devices;
    bool decoupled;      /* the model has divisions */
    bool unequal;        /* speeds that differ up to sixfold */
    bool excluded;       /* the last device has share 0 */
    bool by_hand;        /* the experiment places the divisions */
    double mbit;         /* of every link */
    uint64_t memory_mib; /* of every device; 0: not limited */
    int32_t objective;
};

struct planner_rig {
    const struct planner_case *what;
    struct dtr_problem problem;
    struct dtr_model_shape model;
    struct dtr_device_info device[PLANNER_DEVICES];
    uint8_t divisions[PLANNER_DEVICES][PLANNER_DIVISIONS];
    struct dtr_link link[PLANNER_DEVICES * PLANNER_DEVICES];
    struct dtr_strategy_info strategy[PLANNER_STRATEGIES];
    struct dtr_request_shape request;
    uint32_t length;
    uint32_t refused; /* calls of predict() with a plan that no core would run */
    const struct dtr_planner_ops *ops;
    void *self;
    struct dtr_plan *plan;
    uint32_t count;
    struct dtr_instance instance[DTR_CHAIN_MAX];
    struct planner_host host[DTR_CHAIN_MAX];
};

/* Sets the problem up and opens the planner; `allocations` of it succeed, below 0 all. */
int dtr_planner_rig_open(struct planner_rig *rig, const struct dtr_chain *chain,
                         const struct dtr_log *log, const struct planner_case *what,
                         int64_t allocations, struct dtr_error *error);

/* Returns how many pieces of memory were not released. */
int64_t dtr_planner_rig_close(struct planner_rig *rig);

/* A plan as the core prepares it, then by the planner. */
int dtr_planner_rig_plan(struct planner_rig *rig, struct dtr_error *error);

/* The most memory that the plan needs beyond what a device may use, in bytes. */
uint64_t dtr_planner_rig_excess(const struct planner_rig *rig);

#endif

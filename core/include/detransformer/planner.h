/* SPDX-License-Identifier: MIT
 *
 * planner.h -- the operations of a planner plugin: a pure function from a problem to a plan.  It
 * has no socket and no clock but the host's; what it knows of the world is in the problem, what it
 * may ask (`predict`) is answered by the core's simulator from the very schedule that would run.
 */
#ifndef DETRANSFORMER_PLANNER_H
#define DETRANSFORMER_PLANNER_H

#include <detransformer/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DTR_CAP_ADAPTIVE (UINT64_C(1) << 0) /* observe() and replan(): plans again per request */
#define DTR_CAP_PREDICTS (UINT64_C(1) << 1) /* plan() calls predict(): needs a profile         */

/* What makes one plan better than another. */
enum dtr_objective { DTR_LATENCY, DTR_THROUGHPUT, DTR_MEMORY };

/* The structure of the model.  A plain Transformer has divisions == 0; each of its layers is an
 * original layer and a group of its own. */
struct dtr_model_shape {
    size_t size;
    uint32_t layers, hidden, heads, intermediate;
    uint32_t divisions;              /* D, or 0                                               */
    uint32_t groups;                 /* G: the number of original layers                      */
    uint32_t group_layers;           /* layers / groups; the last of each group is original    */
    uint32_t sub_heads, sub_attention, sub_intermediate; /* of one sub-block                   */
    uint64_t original_bytes, sub_block_bytes; /* f32 weights of one original layer, sub-block  */
};

struct dtr_device_info {
    size_t size;
    double share;             /* the relative speed the experiment gives it, default 1          */
    uint64_t memory;          /* bytes it may use, 0: not limited                               */
    const uint8_t *divisions; /* [D] 1 where the experiment places a sub-block here, or NULL    */
    double gflops;            /* measured, 0 when there is no profile                           */
};

/* A path from one device to another: a message of b bytes takes latency_s + b / bytes_per_s, and
 * the messages that leave (or enter) one device share its port. */
struct dtr_link {
    double latency_s, bytes_per_s;
};

struct dtr_request_shape {
    size_t size;
    uint32_t sequences;
    const uint32_t *lengths; /* [sequences] tokens */
    uint32_t tokens;         /* their sum */
};

struct dtr_strategy_info {
    const char *name, *summary;
    int usable;         /* for this model */
    const char *reason; /* why not, or NULL */
};

struct dtr_ways;

/* Where the weights are and how each group runs.  The arrays belong to the core, which fills in
 * the placement that follows from the shares and the experiment before plan() is called. */
struct dtr_plan {
    size_t size;
    uint32_t devices, divisions, groups, strategies;
    double *share;      /* [devices] weighs heads, columns and tokens; 0: takes no part        */
    uint8_t *holds;     /* [divisions][devices] 1: the sub-blocks of that division are here;
                           several devices share one tensor-parallel                           */
    uint32_t *strategy; /* [groups] an index into dtr_problem.strategy                         */
    uint8_t *open;      /* [strategies] 1: weights are placed so that it can be chosen later    */
    uint32_t tiles;     /* pieces in which an exchange travels, at least one                   */
    char *reason;       /* one sentence for the report */
    size_t reason_bytes;
    struct dtr_ways *ways; /* how collectives go: the core's                                   */
};

/* What the simulator says of one plan. */
struct dtr_prediction {
    size_t size;
    double latency_s;
    double *compute_s, *communicate_s;      /* [devices], the caller's or NULL */
    uint64_t *bytes_sent, *weight_bytes, *memory_bytes; /* [devices], the caller's or NULL */
    double *busy_s; /* likewise: how long a request keeps the device, or one way of its port if
                       that is longer */
};

struct dtr_problem {
    size_t size;
    const struct dtr_model_shape *model;
    uint32_t devices;
    const struct dtr_device_info *device; /* [devices], device_stride bytes apart */
    size_t device_stride;
    const struct dtr_link *link; /* [from][to], or NULL when nothing was measured */
    const struct dtr_request_shape *request;
    uint32_t strategies;
    const struct dtr_strategy_info *strategy; /* [strategies], strategy_stride bytes apart */
    size_t strategy_stride;
    /* NULL while there is no profile. */
    int (*predict)(const struct dtr_problem *problem, const struct dtr_plan *plan,
                   struct dtr_prediction *prediction, struct dtr_error *error);
    int32_t objective; /* enum dtr_objective */
    const void *service; /* the core's; a copy of the problem keeps it */
};

/* What one request showed. */
struct dtr_observation {
    size_t size;
    uint64_t request;
    double latency_s;
    uint32_t devices;
    const struct dtr_link *link; /* [from][to] as estimated; bytes_per_s 0: not seen */
};

struct dtr_planner_ops {
    size_t size;

    /* Fills `plan` in.  Mandatory. */
    int (*plan)(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                struct dtr_error *error);

    /* DTR_CAP_ADAPTIVE: takes in what a request showed; changes the strategies (never the
     * placement) for the next request, whose shape is in the problem. */
    int (*observe)(void *self, const struct dtr_observation *observation);
    int (*replan)(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                  struct dtr_error *error);
};

#ifdef __cplusplus
}
#endif

#endif

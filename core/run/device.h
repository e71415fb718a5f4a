/* SPDX-License-Identifier: MIT
 *
 * device.h -- what the leader and a worker have in common: a model, kernels, a place in the group,
 * prepared weights, and programs for requests.
 */
#ifndef DTR_RUN_DEVICE_H
#define DTR_RUN_DEVICE_H

#include <pthread.h>

#include "config/experiment.h"
#include "plan/plan.h"
#include "run/executor.h"

/* A request: one batch through the model.  All arrays are the caller's. */
struct dtr_request {
    uint32_t sequences;
    const uint32_t *lengths;     /* [sequences], special tokens counted */
    const uint32_t *ids, *types; /* [tokens] in the order of the sequences, or NULL with hidden */
    const float *hidden;         /* [tokens, hidden] on the leader, or NULL */
    const uint32_t *select;      /* rows wanted of the last layer, rising; NULL: all */
    uint32_t selected;
};

/* What holds for all requests of a session. */
struct dtr_session_options {
    bool all_rows;     /* every row of the last layer is wanted, whatever the task needs */
    bool keep_layers;  /* the leader collects every layer's output */
    bool trace;        /* workers send the times of their steps */
    bool only_profile; /* the group is measured, and that is all */
    bool only_group;   /* the group is formed, and that is all: for dtr_session_try() */
    /* The largest request: that many sequences of that many tokens each. */
    uint32_t sequences_max, length_max;
};

struct dtr_device {
    const struct dtr_experiment *experiment;
    struct dtr_plugins *plugins;
    const struct dtr_log *log;
    uint32_t device;   /* its number in the experiment */
    uint32_t rank;     /* its number in the group, as schedules count devices */
    uint32_t *numbers; /* [of the group] what the group's devices are called, or NULL */
    uint32_t numbered;
    struct dtr_session_options options;
    struct dtr_model *model;
    struct dtr_kernels *kernels;
    char *cores; /* that its compute threads are bound to, "0-3,6"; NULL: they are not */
    struct dtr_open_chain *transport; /* NULL on a single device */
    bool joined;
    pthread_mutex_t lock;   /* guards the three below, which any thread may look at */
    uint64_t epoch;         /* of the group it is in, or is joining */
    uint64_t aborted_epoch; /* groups up to this one are given up */
    bool linked;            /* join() was called: the transport can be aborted */
    struct dtr_engine *engine;
    struct dtr_executor *executor;
    struct dtr_plan *plan; /* its strategies are those of the request that ran last */
    uint32_t tokens_max;
    struct dtr_program **cache; /* most recently used first */
    uint32_t cached;
};

/* Opens model, kernels and transport.  Arguments outlive the device, but for the model's source. */
int dtr_device_open(const struct dtr_experiment *experiment, const struct dtr_model_source *source,
                    struct dtr_plugins *plugins, uint32_t device,
                    const struct dtr_session_options *options, const struct dtr_log *log,
                    struct dtr_device **device_p, struct dtr_error *error);
void dtr_device_close(struct dtr_device *device);

/* Its address for the others; `text` holds DTR_ADDRESS_MAX bytes.  `hint`: the local address that
 * the other side of the control stream is reached by, or NULL. */
int dtr_device_address(struct dtr_device *device, const char *hint, char *text,
                       struct dtr_error *error);

/* Names and versions of the plugins that move its messages, outermost first: "emulated 0.1.0 over
 * tcp 0.1.0"; "" on a single device.  Cut to fit. */
void dtr_device_transport(const struct dtr_device *device, char *text, size_t bytes);

/* Leaves the group that it is in, if any, and joins this one, whose devices are called `numbers`;
 * blocks until all have, the deadline passes or the group is aborted.  Programs and plan of the
 * group before are gone. */
int dtr_device_join(struct dtr_device *device, const struct dtr_group *group,
                    const uint32_t *numbers, uint64_t deadline_ns, struct dtr_error *error);
void dtr_device_leave(struct dtr_device *device);

/* Takes a copy of the plan and prepares the weights of every strategy that it keeps open; weights
 * that are ready are used again, and those that no such strategy needs are let go first. */
int dtr_device_load(struct dtr_device *device, const struct dtr_plan *plan,
                    struct dtr_error *error);

/* The program of a request with the plan's groups run by `strategy` [groups], exchanges in that
 * many tiles; it stays the device's and is kept for requests of the same shape. */
int dtr_device_program(struct dtr_device *device, const struct dtr_request *request,
                       const uint32_t *strategy, uint32_t tiles, struct dtr_program **program_p,
                       struct dtr_error *error);

/* The schedule that another device of the group has for it.  The caller frees. */
int dtr_device_schedule_of(const struct dtr_device *device, uint32_t other,
                           const struct dtr_request *request, struct dtr_schedule **schedule_p,
                           struct dtr_error *error);

/* Gives up what is under way in groups up to that epoch, from any thread; UINT64_MAX: for ever. */
void dtr_device_abort(struct dtr_device *device, uint64_t epoch);
bool dtr_device_aborted(struct dtr_device *device);

/* The number of the device that was last found lost by the transport, or -1. */
int dtr_device_suspect(const struct dtr_device *device);

/* What a program's last run took. */
struct dtr_device_times {
    uint64_t compute_ns, communicate_ns; /* steps that compute; starts and waits */
    /* While any collective was under way; and of that, while the device computed. */
    uint64_t under_way_ns, hidden_ns;
};
struct dtr_device_times dtr_program_times(const struct dtr_program *program);

/* True when the task needs only some rows of the last layer. */
bool dtr_task_selects(enum dtr_task task);

/* How requests of the experiment are lowered: all but the plan, the device and what is the
 * request's own.  What runs, what is planned and what is printed begin with it. */
struct dtr_lowering dtr_experiment_lowering(const struct dtr_experiment *experiment,
                                            const struct dtr_model *model,
                                            const struct dtr_session_options *options);

/* Makes it one of a request. */
void dtr_lowering_take(struct dtr_lowering *lowering, const struct dtr_experiment *experiment,
                       const struct dtr_model *model, const struct dtr_request *request);

/* The model's source as the experiment names it. */
struct dtr_model_source dtr_experiment_model(const struct dtr_experiment *experiment);

#endif

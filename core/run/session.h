/* SPDX-License-Identifier: MIT
 *
 * session.h -- the leader's side of an experiment: it starts the workers, forms the group, asks the
 * planner, has the weights placed, and runs requests.
 */
#ifndef DTR_RUN_SESSION_H
#define DTR_RUN_SESSION_H

#include "plan/profile.h"
#include "run/device.h"
#include "run/kernels.h"
#include "run/launch.h"
#include "run/trial.h"

struct dtr_session;

/* How far a session gets when it starts; for a progress display.  `done` of `total` devices. */
struct dtr_session_progress {
    void *arg;
    void (*stage)(void *arg, const char *what, uint32_t done, uint32_t total);
};

/* Starts everything; when it returns the group is ready for requests.  Blocks.  The arguments
 * outlive the session; `progress` may be NULL.  DTR_E_CONFIG means that the experiment is wrong. */
int dtr_session_open(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                     const struct dtr_launch *launch, const struct dtr_session_options *options,
                     const struct dtr_log *log, const struct dtr_session_progress *progress,
                     struct dtr_session **session_p, struct dtr_error *error);
void dtr_session_close(struct dtr_session *session);

/* What was measured of the group, for a session with options.only_profile, which does nothing else:
 * it has no plan and takes no requests.  The profile becomes the caller's. */
struct dtr_profile *dtr_session_take_profile(struct dtr_session *session);

/* A device that was lost, or taken in again. */
struct dtr_event {
    uint32_t device;
    bool lost;        /* else it came back */
    double time_s;    /* of the day, since 1970 */
    uint64_t request; /* the one under way, or the next, counted from 1 with those of the warm-up */
    double silent_ms; /* how long nothing had been heard of it */
    double answered_ms; /* from when that was noticed to the answer of the request; 0: not yet */
    char cause[200];
};

/* Measures the group's transport, in a session with options.only_group: `times` [devices].
 * DTR_E_CONFIG where the algorithm does not work for so many devices; the session goes on. */
int dtr_session_try(struct dtr_session *session, const struct dtr_trial *trial,
                    struct dtr_trial_times *times, struct dtr_error *error);

/* What one device did in the last request. */
struct dtr_device_report {
    struct dtr_device_times times;
    uint64_t bytes_sent, bytes_received; /* payload */
    uint64_t weight_bytes, buffer_bytes, peak_rss_bytes;
    uint64_t late_ns, due_ns; /* due 0: the kernels keep no clock */
};

/* The answer to a request; it lives in the session until the next one.  Matrices are row-major,
 * dense; those that the request does not have are NULL. */
struct dtr_response {
    uint64_t latency_ns;
    double predicted_s; /* 0: there is no profile */
    uint64_t replans;   /* how often the plan has changed since the session began */
    uint32_t sequences;
    uint32_t rows; /* of hidden: the selected, or all tokens */
    const float *hidden, *pooled, *logits;
    uint32_t logits_rows, logits_columns;
    const float **layers;                    /* [layers][tokens, hidden], or NULL */
    const struct dtr_device_report *devices; /* [devices] */
};

/* Runs one request.  Blocks.  When a device is lost the others answer it; the error says why they
 * cannot. */
int dtr_session_run(struct dtr_session *session, const struct dtr_request *request,
                    struct dtr_response *response, struct dtr_error *error);

/* What has happened to the devices since the session began, in order; until the next request. */
const struct dtr_event *dtr_session_events(const struct dtr_session *session, size_t *count_p);

/* The devices that the current plan is for: a plan counts them by their ranks. */
const uint32_t *dtr_session_members(const struct dtr_session *session, uint32_t *count_p);

const struct dtr_model *dtr_session_model(const struct dtr_session *session);
const struct dtr_plan *dtr_session_current_plan(const struct dtr_session *session);

/* The leader's own linear weights that are kept in that type (enum dtr_dtype). */
struct dtr_weight_sum dtr_session_weights(const struct dtr_session *session, uint32_t dtype);

/* The kernel plugin in use on a device. */
const char *dtr_session_kernel(const struct dtr_session *session, uint32_t device);

/* The cores of its machine that a device has bound its compute threads to, "0-3,6", or NULL. */
const char *dtr_session_cores(const struct dtr_session *session, uint32_t device);

/* The last request as every device ran it (with options.trace): schedule and times of its steps.
 * They live in the session until the next request.  False for a device that took no part. */
struct dtr_device_trace {
    uint32_t device;
    const struct dtr_schedule *schedule;    /* it counts devices by their ranks */
    const uint64_t *begin_ns, *end_ns;      /* [steps_count] */
    const struct dtr_flight_times *flights; /* [collectives_count] */
};
bool dtr_session_trace(const struct dtr_session *session, uint32_t device,
                       struct dtr_device_trace *trace);

#endif

/* SPDX-License-Identifier: MIT
 *
 * group.h -- a session's inside, for the files that share it: peer.c talks to one worker, start.c
 * makes a group of them, request.c has it answer, failure.c says what went wrong with it, group.c
 * measures it, and session.c is what the others see of all that.
 */
#ifndef DTR_RUN_GROUP_H
#define DTR_RUN_GROUP_H

#include <sys/types.h>

#include "run/channel.h"
#include "run/launch.h"
#include "run/planning.h"
#include "run/protocol.h"
#include "run/session.h"
#include "run/stream.h"

/* A worker as the leader sees it. */
struct dtr_peer {
    struct dtr_session *session;
    uint32_t device;
    pid_t pid;
    struct dtr_channel *channel;
    char address[DTR_ADDRESS_MAX];
    char kernel[32];
    struct dtr_error failure; /* what it said went wrong */
    uint64_t supplied_bytes, expected_bytes; /* of weights that it was sent, and will be */
};

/* What the leader keeps of a request's shape beside its own program. */
struct dtr_companions {
    struct dtr_schedule **schedules; /* of devices 1, 2, ...; ends at NULL */
    uint64_t *digests, *bytes_sent, *bytes_received;
    struct dtr_flight_times **flight_times; /* [devices] of the last request; not device 0's */
    uint64_t **step_times;                  /* the same, where requests are traced */
    double predicted_s;                     /* below 0: not asked yet */
};

struct dtr_session {
    const struct dtr_experiment *experiment;
    const struct dtr_log *log;
    const struct dtr_launch *launch;
    const struct dtr_session_progress *progress; /* or NULL */
    struct dtr_device *device;
    struct dtr_profile *profile;
    struct dtr_planning *planning;
    struct dtr_plan *plan;
    uint32_t devices;
    struct dtr_peer *peers;            /* [devices]; the first is not used */
    char here[DTR_STREAM_ADDRESS_MAX]; /* by which workers are reached; "" on this machine */
    uint8_t key[32];
    _Atomic(struct dtr_device *) running; /* what the channels' threads abort */
    atomic_bool interrupted;              /* a worker is gone or has failed */
    uint64_t number, replans;
    uint32_t *strategy_before; /* [groups] scratch */
    struct dtr_writer writer;
    struct dtr_device_report *reports;
    struct dtr_program *program; /* of the last request */
    const float **layers;
};

/* --- peer.c ----------------------------------------------------------------------------------- */

/* Takes over the worker that was started, and its control stream. */
int dtr_peer_connect(struct dtr_peer *peer, const struct dtr_worker_process *worker,
                     struct dtr_error *error);

/* Sends what the session's writer holds. */
int dtr_peer_send(struct dtr_peer *peer, enum dtr_frame_type type, struct dtr_error *error);

/* The next frame, which must be of that type; what a worker says of its failure becomes the
 * error.  Waits no longer than until any worker is gone or has failed: this one may wait for that
 * one. */
int dtr_peer_expect(struct dtr_peer *peer, enum dtr_frame_type type, uint64_t deadline_ns,
                    struct dtr_reader *reader, struct dtr_error *error);

/* --- supplier.c ------------------------------------------------------------------------------- */

/* Sends the piece of the weights that the worker asked for. */
int dtr_peer_supply(struct dtr_peer *peer, struct dtr_reader *reader, struct dtr_error *error);

/* --- start.c ---------------------------------------------------------------------------------- */

/* Starts the workers and has all devices join a group; nothing on a single device. */
int dtr_group_start(struct dtr_session *session, struct dtr_error *error);

/* Has every device prepare the weights of the session's plan. */
int dtr_group_place(struct dtr_session *session, struct dtr_error *error);

/* Tells whoever looks at the progress. */
void dtr_group_stage(const struct dtr_session *session, const char *what, uint32_t done);

/* --- request.c -------------------------------------------------------------------------------- */

/* Runs a request on all devices; the answer stays in the session until the next. */
int dtr_group_run(struct dtr_session *session, const struct dtr_request *request,
                  struct dtr_response *response, struct dtr_error *error);

/* --- failure.c -------------------------------------------------------------------------------- */

/* Puts the cause of a failure into the error, in place of what the leader noticed of it, and tells
 * the other workers.  Returns the status of the cause. */
int dtr_group_blame(struct dtr_session *session, int status, struct dtr_error *error);

/* --- group.c ---------------------------------------------------------------------------------- */

/* Measures kernels and links of the group that was formed. */
int dtr_group_measure(struct dtr_session *session, struct dtr_error *error);

/* By which factor the links were faster in the last request than in the profile, from the times
 * that all devices saw its collectives take; 0: nothing to go by. */
double dtr_group_link_factor(const struct dtr_session *session);

#endif

/* SPDX-License-Identifier: MIT
 *
 * group.h -- a session's inside, for the files that share it: peer.c talks to one worker, start.c
 * makes a group of them, request.c has it answer, failure.c makes another when one is lost,
 * comeback.c brings lost ones back, group.c measures, and session.c is what others see of all that.
 */
#ifndef DTR_RUN_GROUP_H
#define DTR_RUN_GROUP_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "run/channel.h"
#include "run/gap.h"
#include "run/launch.h"
#include "run/planning.h"
#include "run/protocol.h"
#include "run/session.h"
#include "run/stream.h"
#include "run/ticker.h"

/* Where a worker stands.  One that is down belongs to the thread that brings workers back
 * (comeback.c), any other to the session's. */
enum dtr_peer_state {
    DTR_PEER_DOWN,   /* not there: it is started, or called, when its time comes   */
    DTR_PEER_READY,  /* there, but in no group: taken in before the next request   */
    DTR_PEER_MEMBER, /* of the group                                               */
    DTR_PEER_GONE    /* the session ends without it                                */
};

/* A worker as the leader sees it. */
struct dtr_peer {
    struct dtr_session *session;
    uint32_t device;
    _Atomic enum dtr_peer_state state;
    pid_t pid;
    struct dtr_channel *channel; /* comes and goes under the session's lock */
    char address[DTR_ADDRESS_MAX];
    char kernel[32];
    char *cores; /* that it has bound its compute threads to, or NULL */
    struct dtr_writer writer;
    atomic_bool lost; /* its channel has ended, or it was given up */
    atomic_uint_least64_t lost_ns;
    atomic_uint_least64_t silent_ns; /* how long it had been silent when it was given up for that */
    atomic_bool complained;          /* it has said that something failed */
    uint64_t started_ns;             /* when its channel was made */
    struct dtr_error failure;        /* what it said went wrong, once that was read */
    int suspect;                     /* whom it blames, or -1 */
    uint32_t falls;                  /* losses on end */
    uint64_t member_ns, due_ns;      /* when it became a member; when it may be started again */
    uint64_t supplied_bytes, expected_bytes; /* of weights that it was sent, and will be */
    uint64_t asked_ns;                       /* when it was sent the last request */
    struct dtr_gap gap;                      /* between its clock and the leader's */
};

/* What the leader keeps of a request's shape beside its own program; devices by their rank. */
struct dtr_companions {
    struct dtr_schedule **schedules; /* of ranks 1, 2, ...; ends at NULL */
    uint64_t *digests, *bytes_sent, *bytes_received;
    struct dtr_flight_times **flight_times; /* [ranks] of the last request, by the leader's
                                             * clock; not rank 0's */
    uint64_t **step_times;                  /* the same, where requests are traced */
    double predicted_s;                     /* below 0: not asked yet */
};

struct dtr_session {
    const struct dtr_experiment *experiment;
    const struct dtr_log *log;
    const struct dtr_launch *launch;
    const struct dtr_session_progress *progress; /* or NULL */
    struct dtr_device *device;
    struct dtr_profile *profile;   /* of all devices, as far as they were measured */
    bool messages_measured;        /* so is what messages and rounds take */
    struct dtr_planning *planning; /* for the members */
    struct dtr_plan *plan;
    uint32_t devices;       /* of the experiment */
    struct dtr_peer *peers; /* [devices]; the first is not used */
    uint32_t *member;       /* [devices] the group's devices by rank; the first is the leader */
    uint32_t members;
    char here[DTR_STREAM_ADDRESS_MAX]; /* by which workers are reached; "" on this machine */
    uint8_t key[32];
    pthread_mutex_t lock; /* guards the existence of channels */
    struct dtr_ticker *watch, *comeback;
    char *effective;                    /* the experiment as workers are given it */
    char *config;                       /* the model's config.json */
    struct dtr_supply supply;           /* what is to be had of the weights */
    uint8_t *types;                     /* the supply's */
    atomic_uint_least64_t epoch;        /* of the group */
    atomic_uint_least64_t broken_epoch; /* groups up to this one have lost somebody */
    atomic_bool returned;               /* somebody is ready to be taken in */
    bool measures;                      /* the planner wants a profile, or only that is wanted */
    atomic_bool started;                /* requests can be answered */
    atomic_bool closing;
    uint32_t tries;                  /* groups that broke in this request, nobody lost */
    uint64_t watched_ns, resumed_ns; /* when the watch looked last, and when it could again */
    uint64_t number, replans;
    uint32_t *strategy_before; /* [groups] scratch */
    struct dtr_device_report *reports;
    struct dtr_program *program; /* of the last request */
    const float **layers;
    struct dtr_event *events;
    size_t events_count, events_capacity, events_seen; /* seen: a request was answered since */
};

/* The member of that rank; not of rank 0. */
static inline struct dtr_peer *dtr_member(const struct dtr_session *session, uint32_t rank) {
    return &session->peers[session->member[rank]];
}

/* The rank of a device; the number of members when it is none of them. */
uint32_t dtr_rank_of(const struct dtr_session *session, uint32_t device);

/* --- peer.c ----------------------------------------------------------------------------------- */

/* Starts the worker and tells it what it is: it is ready to be taken into a group.  Blocks. */
int dtr_peer_start(struct dtr_peer *peer, struct dtr_error *error);

/* The first part of that, which starts the process, and the second, which waits for it. */
int dtr_peer_launch(struct dtr_peer *peer, struct dtr_error *error);
int dtr_peer_set_up(struct dtr_peer *peer, struct dtr_error *error);

/* Ends the channel, and the process if it is one of ours; `how` says how that ended, "" if it is
 * not known. */
void dtr_peer_stop(struct dtr_peer *peer, uint64_t patience_ns, char *how, size_t bytes);

/* Sends what the peer's writer holds, about the group as it is now. */
int dtr_peer_send(struct dtr_peer *peer, enum dtr_frame_type type, struct dtr_error *error);

/* The next frame about the group as it is now, which must be of that type.  What a worker says of
 * its failure becomes the error, and its loss when that is its own.  Waits no longer than until
 * any member is lost or has failed: this one may wait for that one.  Weights that the worker asks
 * for are sent meanwhile, at least one piece of them, and no more once the deadline has passed. */
int dtr_peer_expect(struct dtr_peer *peer, enum dtr_frame_type type, uint64_t deadline_ns,
                    struct dtr_reader *reader, struct dtr_error *error);

/* Gives the worker up for what it said or did. */
int dtr_peer_give_up(struct dtr_peer *peer, const struct dtr_error *why);

/* Reads what a worker has said of its failure so far. */
void dtr_peer_hear(struct dtr_peer *peer);

/* A failure that only says that somebody else failed, or nobody knows who. */
bool dtr_is_echo(int status);

/* --- supplier.c ------------------------------------------------------------------------------- */

/* Sends the piece of the weights that the worker asked for. */
int dtr_peer_supply(struct dtr_peer *peer, struct dtr_reader *reader, struct dtr_error *error);

/* --- start.c ---------------------------------------------------------------------------------- */

/* Starts all workers; what is wrong with one of them is the error.  One that is lost meanwhile is
 * down. */
int dtr_group_start(struct dtr_session *session, struct dtr_error *error);

/* Has the members join a group of a new epoch. */
int dtr_group_form(struct dtr_session *session, struct dtr_error *error);

/* Makes the plan for the members. */
int dtr_group_plan(struct dtr_session *session, struct dtr_error *error);

/* Has every member prepare the weights of the session's plan. */
int dtr_group_place(struct dtr_session *session, struct dtr_error *error);

/* Tells whoever looks at the progress. */
void dtr_group_stage(const struct dtr_session *session, const char *what, uint32_t done);

/* --- request.c -------------------------------------------------------------------------------- */

/* Runs a request on all members; the answer stays in the session until the next.  The latency
 * counts from `begin_ns`. */
int dtr_group_run(struct dtr_session *session, const struct dtr_request *request, uint64_t begin_ns,
                  struct dtr_response *response, struct dtr_error *error);

/* --- failure.c -------------------------------------------------------------------------------- */

/* Makes a group of the workers that are there, with plan and weights, and makes another one as
 * long as members are lost over it.  An error is final. */
int dtr_group_settle(struct dtr_session *session, struct dtr_error *error);

/* After a failure of the group: finds who was lost, says so, and settles.  `error` says what the
 * leader noticed; it stays, or becomes the cause, when the session cannot go on. */
int dtr_group_recover(struct dtr_session *session, int status, struct dtr_error *error);

/* True when a member was lost, or somebody is ready to be taken in. */
bool dtr_group_unsettled(struct dtr_session *session);

/* The losses that the last request has seen were answered by now. */
void dtr_group_answered(struct dtr_session *session);

/* --- comeback.c ------------------------------------------------------------------------------- */

/* Looks for silent workers, and brings back those that are down, in threads of their own. */
int dtr_comeback_start(struct dtr_session *session, struct dtr_error *error);
void dtr_comeback_stop(struct dtr_session *session);

/* The worker is down, and is to be brought back, in a while if it falls often. */
void dtr_comeback_add(struct dtr_peer *peer);

/* --- group.c ---------------------------------------------------------------------------------- */

/* Measures kernels, links and messages of the members, as far as they were not measured before. */
int dtr_group_measure(struct dtr_session *session, struct dtr_error *error);

/* Has all members take part in a trial: `times` [members], by rank. */
int dtr_group_try(struct dtr_session *session, const struct dtr_trial *trial,
                  struct dtr_trial_times *times, struct dtr_error *error);

/* By which factor the links were faster in the last request than in the profile, from the times
 * that all devices saw its collectives take; 0: nothing to go by. */
double dtr_group_link_factor(const struct dtr_session *session);

#endif

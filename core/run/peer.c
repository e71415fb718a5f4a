/* SPDX-License-Identifier: MIT
 *
 * peer.c -- one worker: started, talked to, stopped.
 */
#include "run/group.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "run/launch.h"
#include "run/shard.h"

/* Time for a worker's process to start, and then to open model and plugins. */
enum { START_S = 20, SET_UP_S = 60 };
/* Time for one to answer that is called again. */
enum { CALL_S = 2 };
/* Between two looks at the other workers while one is waited for. */
#define LOOK_NS UINT64_C(10000000)

bool dtr_is_echo(int status) {
    return status == DTR_E_PEER || status == DTR_E_ABORTED || status == DTR_E_CANCELLED ||
           status == DTR_E_TIMEOUT || status == DTR_E_CORRUPT;
}

/* --- what happens to it ----------------------------------------------------------------------- */

/* The group cannot go on as it is: whatever waits in it returns. */
static void break_group(struct dtr_session *session, uint64_t epoch) {
    uint64_t broken = atomic_load(&session->broken_epoch);
    while (broken < epoch && !atomic_compare_exchange_weak(&session->broken_epoch, &broken, epoch))
        ;
    dtr_device_abort(session->device, epoch);
}

static void lose(struct dtr_peer *peer) {
    struct dtr_session *session = peer->session;
    if (!atomic_load(&peer->lost_ns))
        atomic_store(&peer->lost_ns, dtr_now_ns());
    atomic_store(&peer->lost, true);
    if (atomic_load(&peer->state) == DTR_PEER_MEMBER)
        break_group(session, atomic_load(&session->epoch));
}

/* In the channel's thread. */
static void interrupted(void *arg, const struct dtr_frame *frame) {
    struct dtr_peer *peer = arg;
    if (!frame) {
        lose(peer);
        return;
    }
    struct dtr_reader reader = {.bytes = frame->bytes, .length = frame->length};
    const uint64_t epoch = dtr_read_epoch(&reader);
    if (frame->type != DTR_FRAME_FAILED || epoch != atomic_load(&peer->session->epoch) ||
        atomic_load(&peer->state) != DTR_PEER_MEMBER)
        return;
    atomic_store(&peer->complained, true);
    break_group(peer->session, epoch);
}

int dtr_peer_give_up(struct dtr_peer *peer, const struct dtr_error *why) {
    peer->failure = *why;
    lose(peer);
    return DTR_E_PEER;
}

/* --- talking ---------------------------------------------------------------------------------- */

int dtr_peer_send(struct dtr_peer *peer, enum dtr_frame_type type, struct dtr_error *error) {
    struct dtr_writer *writer = &peer->writer;
    dtr_write_u64(writer, atomic_load(&peer->session->epoch));
    if (writer->failed)
        return dtr_fail_memory(error);
    const int status = dtr_channel_send(peer->channel, type, writer->bytes, writer->length);
    dtr_writer_clear(writer);
    if (!status)
        return DTR_OK;
    lose(peer);
    return dtr_fail(error, status, "device %u is gone", peer->device);
}

/* The group that it is in has lost somebody. */
static bool is_broken(const struct dtr_peer *peer) {
    const struct dtr_session *session = peer->session;
    return atomic_load(&peer->state) == DTR_PEER_MEMBER &&
           atomic_load(&session->broken_epoch) >= atomic_load(&session->epoch);
}

static int receive(struct dtr_peer *peer, uint64_t deadline_ns, struct dtr_frame *frame) {
    for (;;) {
        const bool broken = is_broken(peer);
        const uint64_t now = dtr_now_ns(), soon = broken ? now : now + LOOK_NS;
        const int status =
            dtr_channel_receive(peer->channel, soon < deadline_ns ? soon : deadline_ns, frame);
        if (status != DTR_E_TIMEOUT)
            return status;
        if (broken)
            return DTR_E_PEER;
        if (soon >= deadline_ns)
            return status;
    }
}

/* What it says went wrong: a failure of its own, or one that it noticed. */
static int hear_failure(struct dtr_peer *peer, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_error failure = {0};
    dtr_read_failed(reader, &failure, &peer->suspect);
    dtr_fail(error, failure.status, "device %u: %s", peer->device, failure.text);
    dtr_log(peer->session->log, DTR_LOG_DEBUG, "%s", error->text);
    if (dtr_is_echo(failure.status))
        return failure.status;
    dtr_peer_give_up(peer, &failure);
    return failure.status;
}

static int late(const struct dtr_peer *peer, struct dtr_error *error) {
    return dtr_fail(error, DTR_E_TIMEOUT, "device %u did not answer in time", peer->device);
}

int dtr_peer_expect(struct dtr_peer *peer, enum dtr_frame_type type, uint64_t deadline_ns,
                    struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_frame frame;
    int status;
    /* Weights are asked for whatever else is due; what is about another group is dropped. */
    do {
        status = receive(peer, deadline_ns, &frame);
        if (status == DTR_E_TIMEOUT)
            return late(peer, error);
        if (status)
            return dtr_fail(error, status, "device %u is gone", peer->device);
        *reader = (struct dtr_reader){.bytes = frame.bytes, .length = frame.length};
        if (dtr_read_epoch(reader) != atomic_load(&peer->session->epoch) &&
            atomic_load(&peer->state) == DTR_PEER_MEMBER)
            continue;
        if (frame.type != DTR_FRAME_FETCH)
            break;
        status = dtr_peer_supply(peer, reader, error);
        /* More of them may wait already, and other workers for their turn. */
        if (!status && dtr_now_ns() >= deadline_ns)
            return late(peer, error);
    } while (!status);
    if (status || frame.type == type)
        return status;
    if (frame.type == DTR_FRAME_FAILED)
        return hear_failure(peer, reader, error);
    struct dtr_error why = {0};
    dtr_fail(&why, DTR_E_CORRUPT, "it sent frame %d where %d was due", frame.type, type);
    dtr_fail(error, DTR_E_CORRUPT, "device %u: %s", peer->device, why.text);
    return dtr_peer_give_up(peer, &why);
}

void dtr_peer_hear(struct dtr_peer *peer) {
    struct dtr_frame frame;
    struct dtr_error ignored = {0};
    while (!peer->failure.status && !dtr_channel_receive(peer->channel, 0, &frame)) {
        struct dtr_reader reader = {.bytes = frame.bytes, .length = frame.length};
        if (dtr_read_epoch(&reader) == atomic_load(&peer->session->epoch) &&
            frame.type == DTR_FRAME_FAILED)
            hear_failure(peer, &reader, &ignored);
    }
}

/* --- starting and stopping -------------------------------------------------------------------- */

int dtr_peer_launch(struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_session *session = peer->session;
    const struct dtr_channel_events events = {.arg = peer, .interrupted = interrupted};
    const uint64_t patience_s = atomic_load(&session->started) ? CALL_S : START_S;
    struct dtr_worker_process process;
    struct dtr_channel *channel;
    peer->failure = (struct dtr_error){0};
    peer->suspect = -1;
    atomic_store(&peer->lost, false);
    atomic_store(&peer->complained, false);
    atomic_store(&peer->lost_ns, 0);
    atomic_store(&peer->silent_ns, 0);
    int status = dtr_launch_worker(session->launch, session->experiment, peer->device,
                                   dtr_now_ns() + patience_s * DTR_SECOND_NS, &process, error);
    if (status)
        return status;
    peer->pid = process.pid;
    if (!atomic_load(&session->started) && !session->here[0])
        dtr_stream_here_host(process.fd, session->here);
    status = dtr_channel_create(process.fd, process.sealed ? &process.keys : NULL, &events,
                                &channel, error);
    sodium_memzero(&process, sizeof process);
    if (status)
        return status;
    pthread_mutex_lock(&session->lock);
    peer->channel = channel;
    peer->started_ns = dtr_now_ns();
    pthread_mutex_unlock(&session->lock);
    return DTR_OK;
}

static int introduce(struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_session *session = peer->session;
    struct dtr_reader reader;
    int status = dtr_peer_expect(peer, DTR_FRAME_HELLO, dtr_now_ns() + START_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_hello(&reader, error);
    if (status)
        return status;
    const struct dtr_setup setup = {
        .device = peer->device,
        .options = session->device->options,
        .log_level = session->log ? session->log->level : DTR_LOG_ERROR,
        .experiment = session->effective,
        .config = session->config,
        .supply = session->supply,
    };
    dtr_write_setup(&peer->writer, &setup);
    return dtr_peer_send(peer, DTR_FRAME_SETUP, error);
}

/* What all devices must have alike. */
static int check_alike(const struct dtr_device *own, uint32_t device,
                       const struct dtr_address *address, struct dtr_error *error) {
    char transport[256], theirs[17], ours[17];
    dtr_device_transport(own, transport, sizeof transport);
    if (strcmp(address->transport, transport) != 0)
        return dtr_fail(error, DTR_E_CONFIG, "device %u moves messages by %.250s, the leader by %s",
                        device, address->transport, transport);
    sodium_bin2hex(theirs, sizeof theirs, address->digest, 8);
    sodium_bin2hex(ours, sizeof ours, own->model->digest, 8);
    if (memcmp(address->digest, own->model->digest, 32) != 0)
        return dtr_fail(error, DTR_E_CONFIG,
                        "device %u has another model: its digest begins with %s, the leader's with "
                        "%s",
                        device, theirs, ours);
    return DTR_OK;
}

int dtr_peer_set_up(struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_address address;
    int status = introduce(peer, error);
    if (!status)
        status = dtr_peer_expect(peer, DTR_FRAME_ADDRESS, dtr_now_ns() + SET_UP_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_address(&reader, &address, error);
    if (status)
        return status;
    status = check_alike(peer->session->device, peer->device, &address, error);
    if (status)
        return status;
    memcpy(peer->address, address.text, strlen(address.text) + 1);
    return DTR_OK;
}

int dtr_peer_start(struct dtr_peer *peer, struct dtr_error *error) {
    const int status = dtr_peer_launch(peer, error);
    return status ? status : dtr_peer_set_up(peer, error);
}

void dtr_peer_stop(struct dtr_peer *peer, uint64_t patience_ns, char *how, size_t bytes) {
    struct dtr_session *session = peer->session;
    pthread_mutex_lock(&session->lock);
    struct dtr_channel *channel = peer->channel;
    peer->channel = NULL;
    pthread_mutex_unlock(&session->lock);
    if (channel)
        dtr_channel_hang_up(channel);
    dtr_channel_free(channel);
    how[0] = '\0';
    if (peer->pid > 0)
        dtr_launch_reap(peer->pid, dtr_now_ns() + patience_ns, how, bytes);
    peer->pid = 0;
    dtr_writer_clear(&peer->writer);
}

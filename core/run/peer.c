/* SPDX-License-Identifier: MIT
 *
 * peer.c -- talking to one worker.
 */
#include "run/group.h"

#include <stdatomic.h>

#include "base/clock.h"

/* Between two looks at the other workers while one is waited for. */
#define LOOK_NS UINT64_C(100000000)

static void interrupted(void *arg, const struct dtr_frame *frame) {
    struct dtr_peer *peer = arg;
    struct dtr_device *device = atomic_load(&peer->session->running);
    (void)frame;
    atomic_store(&peer->session->interrupted, true);
    if (device)
        dtr_device_abort(device);
}

int dtr_peer_connect(struct dtr_peer *peer, const struct dtr_worker_process *worker,
                     struct dtr_error *error) {
    const struct dtr_channel_events events = {.arg = peer, .interrupted = interrupted};
    peer->pid = worker->pid;
    return dtr_channel_create(worker->fd, worker->sealed ? &worker->keys : NULL, &events,
                              &peer->channel, error);
}

int dtr_peer_send(struct dtr_peer *peer, enum dtr_frame_type type, struct dtr_error *error) {
    struct dtr_writer *writer = &peer->session->writer;
    if (writer->failed)
        return dtr_fail_memory(error);
    const int status = dtr_channel_send(peer->channel, type, writer->bytes, writer->length);
    dtr_writer_clear(writer);
    return status ? dtr_fail(error, status, "device %u is gone", peer->device) : DTR_OK;
}

static int receive(struct dtr_peer *peer, uint64_t deadline_ns, struct dtr_frame *frame) {
    for (;;) {
        const bool interrupted = atomic_load(&peer->session->interrupted);
        const uint64_t now = dtr_now_ns(), soon = interrupted ? now : now + LOOK_NS;
        const int status =
            dtr_channel_receive(peer->channel, soon < deadline_ns ? soon : deadline_ns, frame);
        if (status != DTR_E_TIMEOUT)
            return status;
        if (interrupted)
            return DTR_E_PEER;
        if (soon >= deadline_ns)
            return status;
    }
}

int dtr_peer_expect(struct dtr_peer *peer, enum dtr_frame_type type, uint64_t deadline_ns,
                    struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_frame frame;
    int status;
    /* Weights are asked for whatever else is due. */
    do {
        status = receive(peer, deadline_ns, &frame);
        if (status == DTR_E_TIMEOUT)
            return dtr_fail(error, status, "device %u did not answer in time", peer->device);
        if (status)
            return dtr_fail(error, status, "device %u is gone", peer->device);
        *reader = (struct dtr_reader){.bytes = frame.bytes, .length = frame.length};
        if (frame.type == DTR_FRAME_FETCH)
            status = dtr_peer_supply(peer, reader, error);
    } while (!status && frame.type == DTR_FRAME_FETCH);
    if (status || frame.type == type)
        return status;
    if (frame.type != DTR_FRAME_FAILED)
        return dtr_fail(error, DTR_E_CORRUPT, "device %u sent frame %d where %d was due",
                        peer->device, frame.type, type);
    dtr_read_failed(reader, &peer->failure);
    return dtr_fail(error, peer->failure.status, "device %u: %s", peer->device, peer->failure.text);
}

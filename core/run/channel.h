/* SPDX-License-Identifier: MIT
 *
 * channel.h -- the control channel between the leader and one worker: framed messages over a
 * stream.  A thread of the channel's reads, so that the loss of the other side is known at once,
 * whatever the device is doing.
 */
#ifndef DTR_RUN_CHANNEL_H
#define DTR_RUN_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum dtr_frame_type {
    DTR_FRAME_HELLO = 1, /* worker: versions                                  */
    DTR_FRAME_SETUP,     /* leader: the experiment, which device the worker is */
    DTR_FRAME_ADDRESS,   /* worker: its address in the transport, model digest */
    DTR_FRAME_GROUP,     /* leader: all addresses, epoch                       */
    DTR_FRAME_JOINED,    /* worker                                             */
    DTR_FRAME_PROBE,     /* leader: measure these shapes                       */
    DTR_FRAME_PROBED,    /* worker: how long they took                         */
    DTR_FRAME_LINK,      /* leader: measure the link to that device, or answer it */
    DTR_FRAME_LINKED,    /* worker: what the link carries                      */
    DTR_FRAME_TRIAL,     /* leader: take part in this measurement              */
    DTR_FRAME_TRIED,     /* worker: how long it took                           */
    DTR_FRAME_PLAN,      /* leader: the plan                                   */
    DTR_FRAME_READY,     /* worker: weights are in place                       */
    DTR_FRAME_REQUEST,   /* leader                                             */
    DTR_FRAME_DONE,      /* worker: what the request cost                      */
    DTR_FRAME_FAILED,    /* worker: status and sentence                        */
    DTR_FRAME_ABORT,     /* leader: give up what is under way; who was lost    */
    DTR_FRAME_END,       /* leader: no more requests                           */
    DTR_FRAME_LEAVE,     /* leader, in place of the setup: no more sessions    */
    DTR_FRAME_FETCH,     /* worker: asks for a piece of the weights            */
    DTR_FRAME_PIECE,     /* leader: the piece                                  */
    DTR_FRAME_BEAT,      /* worker: it is alive; not received by anybody       */
    DTR_FRAME_TYPES
};

/* A frame that was received; valid until the next receive on the same channel. */
struct dtr_frame {
    enum dtr_frame_type type;
    const uint8_t *bytes;
    size_t length;
};

struct dtr_channel;

struct dtr_channel_events {
    void *arg;
    /* Called by the channel's thread: the other side is gone without DTR_FRAME_END or
     * DTR_FRAME_LEAVE (`frame` is NULL), or sent DTR_FRAME_ABORT, or DTR_FRAME_FAILED or
     * DTR_FRAME_END, which are received afterwards as well. */
    void (*interrupted)(void *arg, const struct dtr_frame *frame);
};

/* What a sealed stream is read and written with at this end (run/frame.h). */
struct dtr_channel_keys {
    uint8_t in[32], out[32];
};

/* Takes the descriptor over, also when it fails.  `keys` NULL: nobody else can be at the other end.
 */
int dtr_channel_create(int fd, const struct dtr_channel_keys *keys,
                       const struct dtr_channel_events *events, struct dtr_channel **channel_p,
                       struct dtr_error *error);
void dtr_channel_free(struct dtr_channel *channel);

/* Sends a frame; blocks while the stream is full.  Any thread.  DTR_E_PEER. */
int dtr_channel_send(struct dtr_channel *channel, enum dtr_frame_type type, const void *bytes,
                     size_t length);

/* The next frame; blocks up to the deadline (CLOCK_MONOTONIC).  DTR_E_PEER when the other side is
 * gone, DTR_E_TIMEOUT. */
int dtr_channel_receive(struct dtr_channel *channel, uint64_t deadline_ns, struct dtr_frame *frame);

/* The frame that was received last is received once more. */
void dtr_channel_put_back(struct dtr_channel *channel);

/* True once the other side is gone. */
bool dtr_channel_closed(struct dtr_channel *channel);

/* Ends the stream, so that both sides find each other gone.  Any thread. */
void dtr_channel_hang_up(struct dtr_channel *channel);

/* When the last bytes came in, on the clock of dtr_now_ns(); 0: none yet.  Any thread. */
uint64_t dtr_channel_heard_ns(const struct dtr_channel *channel);

/* When the last frame went out, likewise. */
uint64_t dtr_channel_sent_ns(const struct dtr_channel *channel);

#endif

/* SPDX-License-Identifier: MIT
 *
 * transport.h -- the operations of a transport plugin: messages between the devices of a group.
 * The core builds every collective on them: it sends in tiles, narrow types and an order of its own,
 * which an operation of the transport's own could not keep.
 *
 * Matching: a message goes to the first posted receive with its source and tag, in the order sent;
 * messages that come before their receive was posted are kept.  A receive may be longer than its
 * message, never shorter (DTR_E_CORRUPT).
 *
 * Threads: the core calls one operation at a time, save wake() and abort(), which may come from any
 * thread at any time from the call of join() to that of leave().  A transport needs no locks for
 * the rest.
 */
#ifndef DETRANSFORMER_TRANSPORT_H
#define DETRANSFORMER_TRANSPORT_H

#include <detransformer/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DTR_CAP_SURVIVES_PEER_LOSS (UINT64_C(1) << 0) /* the others go on when a peer is lost     */
#define DTR_CAP_LAUNCH (UINT64_C(1) << 1)             /* brings rank, size and control messages   */
#define DTR_CAP_REMOTE (UINT64_C(1) << 2)             /* reaches devices on other machines        */
#define DTR_CAP_COLLIDES (UINT64_C(1) << 3)           /* large messages to one device, of several */
                                                      /* at once, take longer than one by one     */

#define DTR_ADDRESS_MAX 1024 /* bytes of an address, the final zero included */

/* The devices that talk to each other.  Belongs to the caller, who keeps it until leave(). */
struct dtr_group {
    size_t size;                  /* sizeof(struct dtr_group) in the core                        */
    uint32_t devices;             /* at least one                                                */
    uint32_t device;              /* this one                                                    */
    const char *const *addresses; /* one a device, as its address() gave it                      */
    uint64_t epoch;               /* every message carries it; other epochs' are dropped         */
    const uint8_t *key;           /* 32 bytes shared by this group alone, or NULL: none          */
};

struct dtr_transfer; /* a message under way; the transport's */

struct dtr_transport_ops {
    size_t size;

    /* Makes the endpoint ready and writes what the peers need to reach it: printable text without
     * blanks.  `hint` is the local address that the leader is reached by ("127.0.0.1"), or NULL. */
    int (*address)(void *self, const char *hint, char *text, size_t bytes,
                   struct dtr_error *error);

    /* Connects the group; blocks until every peer is connected, the deadline (dtr_host.now_ns)
     * passes or abort() is called.  After leave(), join() may be called again with another
     * group. */
    int (*join)(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                struct dtr_error *error);
    void (*leave)(void *self);

    /* Starts a message of any length, zero included.  The buffer is the caller's and must not be
     * touched until the transfer is done.  Never blocks.  The peer may not be this device. */
    int (*isend)(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                 struct dtr_transfer **transfer_p);
    int (*irecv)(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                 struct dtr_transfer **transfer_p);

    /* 1: done, the transfer is gone, *bytes_p (may be NULL) is the length of the message.
     * 0: under way.  Negative: failed, the transfer is gone, the buffer is the caller's again. */
    int (*test)(void *self, struct dtr_transfer *transfer, size_t *bytes_p);

    /* Moves messages; returns DTR_OK as soon as any transfer may have changed, or after wake();
     * DTR_E_TIMEOUT when the deadline passed (a deadline in the past only polls);
     * DTR_E_ABORTED after abort(). */
    int (*wait)(void *self, uint64_t deadline_ns);

    /* Ends a transfer at once; the buffer is the caller's again. */
    void (*cancel)(void *self, struct dtr_transfer *transfer);

    /* Makes wait() return.  Any thread. */
    void (*wake)(void *self);

    /* Fails every transfer, present and future, with DTR_E_ABORTED, until leave().  Any thread. */
    void (*abort)(void *self);

    /* Optional.  The peer that was last found lost (DTR_E_PEER), or -1. */
    int (*lost_peer)(void *self);

    /* Optional.  Payload bytes since join(), per peer when `peer` is one, in all for UINT32_MAX. */
    void (*counters)(void *self, uint32_t peer, uint64_t *sent_p, uint64_t *received_p);

    /* With DTR_CAP_LAUNCH.  This process among those that were started together: its rank and how
     * many there are; 0 of 1 when it was started alone, which costs nothing to find out. */
    int (*world)(void *self, uint32_t *rank_p, uint32_t *size_p, struct dtr_error *error);

    /* With DTR_CAP_LAUNCH.  A stream of bytes between rank 0 and another, for control messages; both
     * call, each with the other's rank, and own the descriptor they are given.  Nobody else can be
     * at its other end.  Blocks until the other has called, or the deadline.  Called again for
     * another stream. */
    int (*control)(void *self, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                   struct dtr_error *error);
};

#ifdef __cplusplus
}
#endif

#endif

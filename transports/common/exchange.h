/* SPDX-License-Identifier: MIT
 *
 * exchange.h -- requests, matching and framing over byte streams, one stream to each peer.  A
 * transport that moves bytes (shm, tcp) brings the streams and the sleeping; all that the ABI says
 * about messages is here, once.
 *
 * On a stream each message is a header and its payload.  A stream belongs to one join(), hence to
 * one epoch: no message needs to say which.  One thread, save exchange_abort() and exchange_wake().
 */
#ifndef DTR_TRANSPORTS_EXCHANGE_H
#define DTR_TRANSPORTS_EXCHANGE_H

#include <detransformer/transport.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#define EXCHANGE_HEADER 24u /* bytes: magic, tag, length, two checksums (little endian) */

/* Both return the bytes moved, fewer than asked when the stream is full or empty, zero included;
 * negative when the stream is broken, which loses the peer. */
struct exchange_streams {
    size_t stage; /* bytes that may be read ahead of a message's buffer, at least a header */
    ssize_t (*write)(void *owner, uint32_t peer, const struct iovec *part, int parts);
    ssize_t (*read)(void *owner, uint32_t peer, const struct iovec *part, int parts);
    /* Nothing more will be moved: the other end is to find out.  May be NULL. */
    void (*lost)(void *owner, uint32_t peer);
};

enum request_kind { REQUEST_SEND, REQUEST_RECEIVE };

struct dtr_transfer {
    struct dtr_transfer *next, *previous; /* in its peer's queue, or the free list (next) */
    enum request_kind kind;
    bool queued;   /* in its peer's queue                                        */
    bool done;     /* only test() is missing                                     */
    bool orphaned; /* cancelled half-way: `buffer` is ours, freed when it is out */
    int status;
    uint32_t peer, tag;
    unsigned char *buffer;
    size_t bytes;   /* of the buffer */
    size_t length;  /* of the message */
    size_t moved;   /* of header and payload when sending, of the payload when receiving */
    uint32_t check; /* of the payload, when sending */
};

struct request_queue {
    struct dtr_transfer *first, *last;
};

/* A message that came before its receive. */
struct kept_message {
    struct kept_message *next;
    uint32_t tag, order; /* capacity is 1 << order */
    size_t length, arrived;
    unsigned char data[];
};

struct exchange_link {
    struct request_queue sends, receives;
    struct kept_message *kept_first, *kept_last;
    size_t kept_bytes;

    unsigned char *stage;
    size_t stage_start, stage_end;

    bool in_message; /* a header was read                            */
    bool stalled;    /* and there is no room for its payload         */
    uint32_t in_tag;
    size_t in_left;              /* of the payload                               */
    uint32_t in_check, in_claim; /* its checksum so far, and what it is to be   */
    struct dtr_transfer *target; /* where the payload goes; neither: it is dropped */
    struct kept_message *keeping;

    int lost; /* DTR_OK, or why requests fail */
    uint64_t sent, received;
};

#define KEPT_ORDERS 48

struct request_slab;

struct exchange {
    const struct dtr_host *host;
    const struct exchange_streams *streams;
    void *owner;
    size_t limit; /* bytes kept for each peer */
    bool checked; /* messages carry checksums: all of the group agree on it before the first */
    uint32_t devices, device;
    struct exchange_link *link;
    unsigned char *stages;

    struct dtr_transfer *free;
    struct request_slab *slabs;
    struct kept_message *spare[KEPT_ORDERS];
    size_t spare_bytes;

    bool changed; /* a request ended since the last exchange_verdict() */
    int lost_peer;
    atomic_bool aborted, woken;
};

/* `limit`: bytes of messages kept for a peer before it is no longer read from. */
void exchange_init(struct exchange *exchange, const struct dtr_host *host,
                   const struct exchange_streams *streams, void *owner, size_t limit);
void exchange_free(struct exchange *exchange);

/* From join() to leave(). */
int exchange_begin(struct exchange *exchange, uint32_t devices, uint32_t device);
void exchange_end(struct exchange *exchange);

/* Operations as in dtr_transport_ops, for the tables of transports whose instance begins with its
 * exchange. */
int exchange_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                   struct dtr_transfer **request_p);
int exchange_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                   struct dtr_transfer **request_p);
void exchange_cancel(void *self, struct dtr_transfer *request);
int exchange_lost_peer(void *self);
void exchange_counters(void *self, uint32_t peer, uint64_t *sent_p, uint64_t *received_p);

/* test() without moving anything. */
int exchange_test(struct exchange *exchange, struct dtr_transfer *request, size_t *bytes_p);

/* The flags of any thread; the transport wakes its sleeper afterwards. */
void exchange_abort(struct exchange *exchange);
void exchange_wake(struct exchange *exchange);

/* What wait() has to return now: DTR_E_ABORTED; 1 after a change or a wake, once; else 0. */
int exchange_verdict(struct exchange *exchange);

/* Moves what the stream takes or gives. */
void exchange_write(struct exchange *exchange, uint32_t peer);
void exchange_read(struct exchange *exchange, uint32_t peer);

/* Whether there is anything to write, whether a receive waits for something to read, and whether
 * there is room for anything that comes. */
bool exchange_has_writes(const struct exchange *exchange, uint32_t peer);
bool exchange_has_receives(const struct exchange *exchange, uint32_t peer);
bool exchange_has_room(const struct exchange *exchange, uint32_t peer);
bool exchange_is_lost(const struct exchange *exchange, uint32_t peer);

/* How many bytes are still to be read of a message whose beginning was; 0: of none. */
size_t exchange_missing(const struct exchange *exchange, uint32_t peer);

/* Fails the peer's requests with DTR_E_PEER; whole messages that came before can still be
 * received. */
void exchange_lose(struct exchange *exchange, uint32_t peer);

#endif

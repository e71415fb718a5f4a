/* SPDX-License-Identifier: MIT
 *
 * rdma.h -- an endpoint of the RDMA transport.  The group forms over TCP, whose connections then
 * carry nothing and tell when a peer is gone; messages go through the fabric.
 *
 * A small message travels in a packet.  A large one is offered first; the receiver answers with
 * where its buffer is, and the sender writes there, without a copy at either end.  Every packet
 * carries a word that only the group knows.
 */
#ifndef DTR_RDMA_RDMA_H
#define DTR_RDMA_RDMA_H

#include "common/meet.h"
#include "rdma/ofi.h"

#define SMALL ((size_t)8192) /* bytes of a message that travels in a packet */

struct rdma_params {
    const char *provider, *interface, *address;
    int64_t port;
    int64_t peer_timeout_ms;
    int64_t spin_us;
    uint64_t unexpected; /* bytes */
};

enum packet_kind { PACKET_READY = 1, PACKET_SMALL, PACKET_OFFER, PACKET_PLACE, PACKET_REFUSE };

/* On the wire, little endian. */
struct packet_head {
    uint32_t magic;
    uint16_t kind, reserved;
    uint64_t token;
    uint64_t length;       /* of the message                             */
    uint64_t address, key; /* PLACE: what to write to                    */
    uint32_t from, tag;
    uint32_t offer;   /* OFFER: the sender's number; PLACE, REFUSE: the same */
    uint32_t landing; /* PLACE: the receiver's number, to come with the data */
};

enum packet_use { PACKET_IN, PACKET_OUT, PACKET_WRITE };

/* What the provider is told with each of its operations, and memory of its own. */
struct packet {
    struct fi_context2 context; /* first: the provider hands it back */
    struct packet *next;
    enum packet_use use;
    uint32_t peer;
    struct dtr_transfer *transfer; /* that ends with the operation, or NULL */
    void *descriptor;
    size_t bytes;
    struct packet_head head; /* as it is on the wire; the payload follows */
    unsigned char payload[SMALL];
};

struct packet_queue {
    struct packet *first, *last;
};

enum transfer_state {
    TRANSFER_POSTED,  /* a receive that waits for its message           */
    TRANSFER_LANDING, /* its buffer is being written to                 */
    TRANSFER_PACKET,  /* a send, in a packet                            */
    TRANSFER_OFFERED, /* a send that waits for its place                */
    TRANSFER_WRITING  /* the provider has it                            */
};

struct dtr_transfer {
    struct dtr_transfer *next, *previous; /* of its peer's that are not done; or the free list */
    uint32_t peer, tag;
    enum transfer_state state;
    bool receive, done;
    bool orphaned; /* cancelled: `buffer` is ours */
    int status;
    unsigned char *buffer;
    size_t bytes;    /* of the buffer */
    size_t length;   /* of the message */
    uint32_t number; /* OFFERED, LANDING: in the table */
    struct fid_mr *region;
    struct packet *packet; /* of the provider's operation */
};

struct rdma_peer {
    fi_addr_t address;
    char name[FABRIC_NAME_MAX];        /* of its endpoint */
    uint64_t token;                    /* that it wants to see */
    bool ready;                        /* has sent through the fabric */
    bool doomed;                       /* is to be lost as soon as nothing is being handled */
    bool leaving;                      /* has said so: what is under way will come to its end */
    int lost;                          /* DTR_OK, or why transfers fail */
    struct dtr_transfer *first, *last; /* not done, in the order posted */
    struct packet_queue out;           /* the provider has had no room for them */
    struct packet_queue kept;          /* came before their receive was posted */
    size_t kept_bytes;
    uint32_t in_flight; /* operations that the provider has */
    uint64_t sent, received;
};

struct packet_slab;
struct transfer_slab;

struct rdma {
    const struct dtr_host *host;
    const struct rdma_params *params;
    int bell; /* an eventfd */
    struct meet_place place;
    struct fabric fabric;

    uint32_t devices, device; /* devices 0: not joined */
    struct meet_peer *line;   /* [devices] the connections that tell of a peer's end */
    struct rdma_peer *peer;   /* [devices] */
    struct pollfd *poll;      /* [devices + 2] */
    uint64_t token;           /* that this device wants to see */
    uint64_t looked_ns;

    struct packet *spare;
    struct packet_slab *packets;
    struct packet_queue unposted; /* the provider has had no room for these receives */
    struct dtr_transfer *free;
    struct transfer_slab *transfers;
    struct dtr_transfer **table; /* [table_size] by number */
    uint32_t table_size, table_next;

    bool changed;
    int lost_peer;
    atomic_bool aborted, woken;
};

/* --- messages.c: what is said through the fabric --- */

/* Posts what receives packets. */
int rdma_begin(struct rdma *rdma);
void rdma_end(struct rdma *rdma); /* frees what messages take; the endpoint has hung up */

int rdma_send(struct rdma *rdma, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
              struct dtr_transfer **transfer_p);
int rdma_receive(struct rdma *rdma, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                 struct dtr_transfer **transfer_p);
void rdma_cancel(struct rdma *rdma, struct dtr_transfer *transfer);
void rdma_transfer_free(struct rdma *rdma, struct dtr_transfer *transfer);

/* Tells a peer that packets come through. */
int rdma_greet(struct rdma *rdma, uint32_t peer);

/* Moves what can be moved; true when there was anything. */
bool rdma_progress(struct rdma *rdma);

/* True while something for a peer waits for the provider's room, or is under way. */
bool rdma_is_busy(const struct rdma *rdma);
/* True while something waits for the provider's room. */
bool rdma_has_queued(const struct rdma *rdma);

/* Reads what has been said so far, as far as can be known; takes some milliseconds. */
void rdma_drain(struct rdma *rdma);

/* The same, and then the peer is lost. */
void rdma_lose(struct rdma *rdma, uint32_t peer, bool took_leave);

/* --- join.c --- */

int rdma_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
              struct dtr_error *error);
void rdma_leave(void *self);

#endif

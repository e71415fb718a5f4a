/* SPDX-License-Identifier: MIT
 *
 * relay.h -- a transport over another one: the streams of an exchange, cut into segments that
 * travel as messages of the transport below.  The owner stamps each segment as it leaves and
 * decides when what has come may be read; everything else that a wrapper needs is here.
 */
#ifndef DTR_TRANSPORTS_RELAY_H
#define DTR_TRANSPORTS_RELAY_H

#include "common/exchange.h"

#define SEGMENT_BYTES ((size_t)256 << 10)
#define SEGMENT_NOT_YET UINT64_MAX

/* Travels before the bytes; both ends are processes of machines of one kind. */
struct segment_head {
    uint32_t magic, bytes;     /* bytes: SEGMENT_END is the stream's end */
    uint64_t begin_ns, end_ns; /* the owner's */
};
#define SEGMENT_END UINT32_MAX

struct segment {
    struct segment *next;
    struct dtr_transfer *request; /* of the transport below */
    uint64_t ready_ns;           /* when its bytes may be read */
    size_t taken;
    struct segment_head head;
    unsigned char data[SEGMENT_BYTES]; /* right behind the head: they travel together */
};

struct segment_queue {
    struct segment *first, *last;
};

struct relay_hooks {
    /* A segment is about to leave. */
    void (*stamp)(void *owner, uint32_t peer, struct segment *segment);
    /* A segment has come; sets ready_ns, now or in a later advance(). */
    void (*arrived)(void *owner, uint32_t peer, struct segment *segment, uint64_t now_ns);
    /* The time is `now_ns`; may be NULL. */
    void (*advance)(void *owner, uint64_t now_ns);
    /* When the next segment will be ready as far as is known; SEGMENT_NOT_YET: none. */
    uint64_t (*next)(void *owner);
    /* How many bytes one write or read may move, at least one; may be NULL. */
    size_t (*limit)(void *owner, size_t bytes);
};

struct relay_peer {
    struct segment_queue out;    /* the transport below has them   */
    struct segment_queue posted; /* receives of the one below      */
    struct segment_queue in;     /* came, and not read completely  */
    size_t out_bytes, in_bytes;
    bool deaf;  /* takes nothing more: it is swallowed */
    bool ended; /* nothing more will come */
};

/* How exact the clock was kept, of the segments for which somebody waited. */
struct relay_lateness {
    uint64_t segments, worst_ns, total_ns;
};

struct relay {
    struct exchange exchange; /* first: its operations are the relay's */
    const struct dtr_host *host;
    const struct dtr_transport_ops *below;
    void *below_self;
    const struct relay_hooks *hooks;
    void *owner;
    struct relay_peer *peer; /* [exchange.devices]; NULL: not joined */
    struct segment *spare;
    struct segment_slab *slabs;
    uint32_t segments;
    uint32_t usual; /* segments that are made for each peer at join(); the owner may set it */
    uint64_t now_ns, waiting_ns; /* waiting: since when, or SEGMENT_NOT_YET */
    struct relay_lateness lateness;
};

void relay_init(struct relay *relay, const struct dtr_host *host, const struct dtr_instance *below,
                const struct relay_hooks *hooks, void *owner, size_t unexpected);
void relay_free(struct relay *relay);

/* Makes `peer` lost, here and, when its segments have gone, there. */
void relay_cut(struct relay *relay, uint32_t peer);

/* Operations, for the tables of transports whose instance begins with its relay. */
int relay_address(void *self, const char *hint, char *text, size_t bytes, struct dtr_error *error);
int relay_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
               struct dtr_error *error);
void relay_leave(void *self);
int relay_test(void *self, struct dtr_transfer *request, size_t *bytes_p);
int relay_wait(void *self, uint64_t deadline_ns);
void relay_wake(void *self);
void relay_abort(void *self);

/* --- within the relay --- */

extern const struct exchange_streams relay_streams;

/* Tests what is under way below. */
void relay_collect(struct relay *relay);

int relay_begin(struct relay *relay, uint32_t devices);
void relay_end(struct relay *relay);
void relay_release(struct relay *relay);
bool relay_has_out(const struct relay *relay);

#endif

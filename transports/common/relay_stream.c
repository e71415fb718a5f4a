/* SPDX-License-Identifier: MIT
 *
 * relay_stream.c -- segments: out of the bytes of a stream, over the transport below, and into
 * bytes again.
 */
#include "config.h"

#include "common/relay.h"

#include <string.h>

#define MAGIC UINT32_C(0x53525444)
#define TAG 0u
#define POSTED 4u                  /* receives below, for each peer */
#define SLAB 32u                   /* segments made at once */
#define WINDOW ((size_t)16 << 20)  /* bytes on their way out, for each peer */
#define BACKLOG ((size_t)64 << 20) /* bytes that came and were not read, for each peer */

struct segment_slab {
    struct segment_slab *next;
    struct segment segment[];
};

_Static_assert(offsetof(struct segment, data) ==
                   offsetof(struct segment, head) + sizeof(struct segment_head),
               "head and bytes are one message");

static void append(struct segment_queue *queue, struct segment *segment) {
    segment->next = NULL;
    if (queue->last)
        queue->last->next = segment;
    else
        queue->first = segment;
    queue->last = segment;
}

static struct segment *take_first(struct segment_queue *queue) {
    struct segment *segment = queue->first;
    queue->first = segment->next;
    if (!queue->first)
        queue->last = NULL;
    return segment;
}

static void segment_free(struct relay *relay, struct segment *segment) {
    segment->next = relay->spare;
    relay->spare = segment;
}

/* What is not used is not touched, and so takes hardly any memory. */
static bool segments_make(struct relay *relay) {
    struct segment_slab *slab =
        relay->host->allocate(relay->host, 64, sizeof *slab + SLAB * sizeof slab->segment[0]);
    if (!slab)
        return false;
    slab->next = relay->slabs;
    relay->slabs = slab;
    relay->segments += SLAB;
    for (uint32_t i = SLAB; i-- > 0;)
        segment_free(relay, &slab->segment[i]);
    return true;
}

static struct segment *segment_new(struct relay *relay) {
    if (!relay->spare && !segments_make(relay))
        return NULL;
    struct segment *segment = relay->spare;
    relay->spare = segment->next;
    segment->next = NULL;
    segment->request = NULL;
    segment->ready_ns = SEGMENT_NOT_YET;
    segment->taken = 0;
    return segment;
}

static void queue_cancel(struct relay *relay, struct segment_queue *queue) {
    while (queue->first) {
        struct segment *segment = take_first(queue);
        if (segment->request)
            relay->below->cancel(relay->below_self, segment->request);
        segment_free(relay, segment);
    }
}

/* --- out --- */

static size_t gather(struct segment *segment, const struct iovec *part, int parts, size_t skip,
                     size_t most) {
    size_t bytes = 0;
    for (int i = 0; i < parts && bytes < most; i++) {
        const size_t length = part[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        const size_t step = length - skip < most - bytes ? length - skip : most - bytes;
        memcpy(segment->data + bytes, (const unsigned char *)part[i].iov_base + skip, step);
        bytes += step;
        skip = 0;
    }
    return bytes;
}

static size_t total(const struct iovec *part, int parts) {
    size_t bytes = 0;
    for (int i = 0; i < parts; i++)
        bytes += part[i].iov_len;
    return bytes;
}

/* The transport below takes it, or the peer is lost there and will be found lost here when what it
 * sent has been read. */
static void segment_send(struct relay *relay, uint32_t peer, struct segment *segment) {
    struct relay_peer *to = &relay->peer[peer];
    const size_t bytes = segment->head.bytes == SEGMENT_END ? 0 : segment->head.bytes;
    segment->head.magic = MAGIC;
    relay->hooks->stamp(relay->owner, peer, segment);
    const int status = relay->below->isend(relay->below_self, peer, TAG, &segment->head,
                                           sizeof segment->head + bytes, &segment->request);
    if (status) {
        to->deaf = true;
        segment_free(relay, segment);
        return;
    }
    segment->taken = bytes;
    to->out_bytes += bytes;
    append(&to->out, segment);
}

static ssize_t stream_write(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct relay *relay = owner;
    struct relay_peer *to = &relay->peer[peer];
    size_t asked = total(part, parts), moved = 0;
    if (relay->hooks->limit)
        asked = relay->hooks->limit(relay->owner, asked);
    while (moved < asked && !to->deaf) {
        struct segment *segment = to->out_bytes < WINDOW ? segment_new(relay) : NULL;
        if (!segment)
            return (ssize_t)moved;
        const size_t left = asked - moved;
        segment->head.bytes = (uint32_t)gather(segment, part, parts, moved,
                                               left < SEGMENT_BYTES ? left : SEGMENT_BYTES);
        moved += segment->head.bytes;
        segment_send(relay, peer, segment);
    }
    return (ssize_t)asked;
}

static void send_end(struct relay *relay, uint32_t peer) {
    struct segment *segment = relay->peer[peer].deaf ? NULL : segment_new(relay);
    if (!segment)
        return;
    segment->head.bytes = SEGMENT_END;
    segment_send(relay, peer, segment);
}

/* --- in --- */

static void post(struct relay *relay, uint32_t peer) {
    struct relay_peer *from = &relay->peer[peer];
    while (!from->ended && from->in_bytes < BACKLOG) {
        uint32_t posted = 0;
        for (const struct segment *one = from->posted.first; one; one = one->next)
            posted++;
        struct segment *segment = posted < POSTED ? segment_new(relay) : NULL;
        if (!segment)
            return;
        if (relay->below->irecv(relay->below_self, peer, TAG, &segment->head,
                                sizeof segment->head + SEGMENT_BYTES, &segment->request)) {
            segment_free(relay, segment);
            from->ended = true;
            return;
        }
        append(&from->posted, segment);
    }
}

/* How late the bytes are for one who waited for them. */
static void account(struct relay *relay, const struct segment *segment) {
    struct relay_lateness *lateness = &relay->lateness;
    if (relay->waiting_ns == SEGMENT_NOT_YET)
        return;
    const uint64_t due =
        segment->ready_ns > relay->waiting_ns ? segment->ready_ns : relay->waiting_ns;
    const uint64_t late = relay->now_ns > due ? relay->now_ns - due : 0;
    lateness->segments++;
    lateness->total_ns += late;
    if (late > lateness->worst_ns)
        lateness->worst_ns = late;
}

/* The end is taken as soon as it is next, for nobody may ask for more. */
static struct segment *readable(struct relay *relay, struct relay_peer *from) {
    struct segment *segment = from->in.first;
    if (!segment || segment->ready_ns > relay->now_ns)
        return NULL;
    if (segment->head.bytes != SEGMENT_END)
        return segment;
    from->ended = true;
    segment_free(relay, take_first(&from->in));
    return NULL;
}

static ssize_t stream_read(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct relay *relay = owner;
    struct relay_peer *from = &relay->peer[peer];
    size_t asked = total(part, parts), moved = 0, offset = 0;
    if (relay->hooks->limit)
        asked = relay->hooks->limit(relay->owner, asked);
    struct segment *segment;
    while ((segment = readable(relay, from)) && moved < asked) {
        while (offset == part->iov_len) {
            part++;
            offset = 0;
        }
        size_t step = segment->head.bytes - segment->taken;
        step = step < part->iov_len - offset ? step : part->iov_len - offset;
        step = step < asked - moved ? step : asked - moved;
        memcpy((unsigned char *)part->iov_base + offset, segment->data + segment->taken, step);
        segment->taken += step;
        offset += step;
        moved += step;
        if (segment->taken < segment->head.bytes)
            continue;
        account(relay, segment);
        from->in_bytes -= segment->head.bytes;
        segment_free(relay, take_first(&from->in));
        post(relay, peer);
    }
    return (ssize_t)moved;
}

static void stream_lost(void *owner, uint32_t peer) {
    relay_cut(owner, peer);
}

const struct exchange_streams relay_streams = {
    .stage = EXCHANGE_HEADER, .write = stream_write, .read = stream_read, .lost = stream_lost};

/* --- the transport below --- */

static bool is_sound(const struct segment *segment, size_t bytes) {
    return bytes >= sizeof segment->head && segment->head.magic == MAGIC &&
           (segment->head.bytes == SEGMENT_END ||
            segment->head.bytes == bytes - sizeof segment->head);
}

static void collect_in(struct relay *relay, uint32_t peer) {
    struct relay_peer *from = &relay->peer[peer];
    while (from->posted.first) {
        size_t bytes = 0;
        const int done = relay->below->test(relay->below_self, from->posted.first->request, &bytes);
        if (!done)
            break;
        struct segment *segment = take_first(&from->posted);
        segment->request = NULL;
        if (done < 0 || !is_sound(segment, bytes)) {
            segment_free(relay, segment);
            if (done == DTR_E_ABORTED)
                return;
            from->ended = true;
            queue_cancel(relay, &from->posted);
            return;
        }
        if (segment->head.bytes != SEGMENT_END)
            from->in_bytes += segment->head.bytes;
        append(&from->in, segment);
        relay->hooks->arrived(relay->owner, peer, segment, relay->host->now_ns(relay->host));
    }
    post(relay, peer);
}

static void collect_out(struct relay *relay, uint32_t peer) {
    struct relay_peer *to = &relay->peer[peer];
    while (to->out.first) {
        const int done = relay->below->test(relay->below_self, to->out.first->request, NULL);
        if (!done)
            return;
        struct segment *segment = take_first(&to->out);
        to->out_bytes -= segment->taken;
        segment_free(relay, segment);
        to->deaf = to->deaf || (done < 0 && done != DTR_E_ABORTED);
    }
}

void relay_collect(struct relay *relay) {
    for (uint32_t i = 0; i < relay->exchange.devices; i++) {
        if (i == relay->exchange.device)
            continue;
        collect_out(relay, i);
        collect_in(relay, i);
    }
}

void relay_cut(struct relay *relay, uint32_t peer) {
    struct relay_peer *lost = &relay->peer[peer];
    if (!lost->deaf)
        send_end(relay, peer);
    lost->deaf = lost->ended = true;
    queue_cancel(relay, &lost->posted);
    exchange_lose(&relay->exchange, peer);
}

int relay_begin(struct relay *relay, uint32_t devices) {
    relay->peer = relay->host->allocate(relay->host, 64, devices * sizeof *relay->peer);
    if (!relay->peer)
        return DTR_E_MEMORY;
    memset(relay->peer, 0, devices * sizeof *relay->peer);
    while (relay->segments < devices * relay->usual)
        if (!segments_make(relay))
            return DTR_E_MEMORY;
    for (uint32_t i = 0; i < devices; i++)
        if (i != relay->exchange.device)
            post(relay, i);
    return DTR_OK;
}

bool relay_has_out(const struct relay *relay) {
    for (uint32_t i = 0; i < relay->exchange.devices; i++)
        if (relay->peer[i].out.first)
            return true;
    return false;
}

void relay_release(struct relay *relay) {
    while (relay->slabs) {
        struct segment_slab *slab = relay->slabs;
        relay->slabs = slab->next;
        relay->host->release(relay->host, slab);
    }
    relay->spare = NULL;
    relay->segments = 0;
}

void relay_end(struct relay *relay) {
    if (!relay->peer)
        return;
    for (uint32_t i = 0; i < relay->exchange.devices; i++) {
        queue_cancel(relay, &relay->peer[i].out);
        queue_cancel(relay, &relay->peer[i].posted);
        queue_cancel(relay, &relay->peer[i].in);
    }
    relay->host->release(relay->host, relay->peer);
    relay->peer = NULL;
}

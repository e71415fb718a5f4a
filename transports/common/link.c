/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/crc.h"
#include "common/link.h"
#include "common/pool.h"

#include <endian.h>
#include <string.h>

#define MAGIC UINT32_C(0x4d525444) /* "DTRM" */
#define BATCH 16                   /* parts of one write */

struct header {
    uint32_t magic, tag;
    uint64_t length;
    uint32_t payload_check; /* this and the next are 0 where the exchange checks nothing */
    uint32_t check;         /* of what comes before it */
};
_Static_assert(sizeof(struct header) == EXCHANGE_HEADER, "the header has no holes");

static uint32_t check_of(const struct header *header) {
    return crc32c(0, header, offsetof(struct header, check));
}

void request_queue_append(struct request_queue *queue, struct dtr_transfer *request) {
    request->previous = queue->last;
    request->next = NULL;
    if (queue->last)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    request->queued = true;
}

void request_queue_remove(struct request_queue *queue, struct dtr_transfer *request) {
    if (request->previous)
        request->previous->next = request->next;
    else
        queue->first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        queue->last = request->previous;
    request->queued = false;
}

void request_finish(struct exchange *exchange, struct dtr_transfer *request, int status) {
    if (request->orphaned) {
        exchange->host->release(exchange->host, request->buffer);
        pool_request_free(exchange, request);
        return;
    }
    request->done = true;
    request->status = status;
    exchange->changed = true;
}

/* --- out --- */

/* The header and the payload of a message, less what has moved; returns the parts used. */
static int parts_of(const struct exchange *exchange, const struct dtr_transfer *request,
                    struct header *header, struct iovec *part) {
    *header = (struct header){.magic = htole32(MAGIC),
                              .tag = htole32(request->tag),
                              .length = htole64(request->length),
                              .payload_check = htole32(request->check)};
    if (exchange->checked)
        header->check = htole32(check_of(header));
    int parts = 0;
    if (request->moved < EXCHANGE_HEADER)
        part[parts++] = (struct iovec){.iov_base = (unsigned char *)header + request->moved,
                                       .iov_len = EXCHANGE_HEADER - request->moved};
    const size_t payload = request->moved > EXCHANGE_HEADER ? request->moved - EXCHANGE_HEADER : 0;
    if (payload < request->length)
        part[parts++] = (struct iovec){.iov_base = request->buffer + payload,
                                       .iov_len = request->length - payload};
    return parts;
}

static void advance(struct exchange *exchange, struct exchange_link *link, size_t moved) {
    while (link->sends.first) {
        struct dtr_transfer *request = link->sends.first;
        const size_t left = EXCHANGE_HEADER + request->length - request->moved;
        const size_t step = moved < left ? moved : left;
        const size_t header =
            request->moved < EXCHANGE_HEADER ? EXCHANGE_HEADER - request->moved : 0;
        link->sent += step > header ? step - header : 0;
        request->moved += step;
        moved -= step;
        if (step < left)
            return;
        request_queue_remove(&link->sends, request);
        request_finish(exchange, request, DTR_OK);
    }
}

void exchange_write(struct exchange *exchange, uint32_t peer) {
    struct exchange_link *link = &exchange->link[peer];
    while (link->sends.first) {
        struct header header[BATCH / 2];
        struct iovec part[BATCH];
        int parts = 0;
        size_t asked = 0;
        uint32_t messages = 0;
        for (struct dtr_transfer *request = link->sends.first; request && messages < BATCH / 2;
             request = request->next) {
            parts += parts_of(exchange, request, &header[messages++], part + parts);
            asked += EXCHANGE_HEADER + request->length - request->moved;
        }
        const ssize_t moved = exchange->streams->write(exchange->owner, peer, part, parts);
        if (moved < 0) {
            exchange_read(exchange, peer); /* what the peer said before it went */
            exchange_lose(exchange, peer);
            return;
        }
        advance(exchange, link, (size_t)moved);
        if ((size_t)moved < asked)
            return;
    }
}

/* --- in --- */

static struct dtr_transfer *posted(const struct exchange_link *link, uint32_t tag) {
    struct dtr_transfer *request = link->receives.first;
    while (request && request->tag != tag)
        request = request->next;
    return request;
}

/* Against the limit; empty messages take memory too. */
static size_t cost(size_t length) {
    return length + sizeof(struct kept_message) + 256;
}

/* Finds a place for the payload of the message whose header was just read; false: no room. */
static bool place(struct exchange *exchange, struct exchange_link *link) {
    struct dtr_transfer *request = posted(link, link->in_tag);
    link->target = NULL;
    link->keeping = NULL;
    if (request) {
        request_queue_remove(&link->receives, request);
        if (request->bytes < link->in_left) {
            request_finish(exchange, request, DTR_E_CORRUPT);
            return true;
        }
        request->length = link->in_left;
        link->target = request;
        return true;
    }
    if (cost(link->in_left) > exchange->limit - link->kept_bytes)
        return false;
    struct kept_message *message = pool_kept(exchange, link->in_left);
    if (!message)
        return false;
    message->tag = link->in_tag;
    if (link->kept_last)
        link->kept_last->next = message;
    else
        link->kept_first = message;
    link->kept_last = message;
    link->kept_bytes += cost(message->length);
    link->keeping = message;
    return true;
}

static unsigned char *destination(const struct exchange_link *link) {
    if (link->target)
        return link->target->buffer + link->target->moved;
    if (link->keeping)
        return link->keeping->data + link->keeping->arrived;
    return NULL;
}

/* Neither what has come nor where the next message begins can be trusted. */
static bool damaged(const struct exchange *exchange, const struct exchange_link *link) {
    exchange->host->log(exchange->host, DTR_LOG_WARN, "what rank %u sent was damaged on its way",
                        (unsigned)(link - exchange->link));
    return false;
}

/* `bytes` of the payload are where they belong, which is NULL when they are dropped; false when the
 * whole is not what was sent. */
static bool arrived(struct exchange *exchange, struct exchange_link *link, const void *where,
                    size_t bytes) {
    const bool checks = exchange->checked && (link->target || link->keeping);
    if (checks && bytes)
        link->in_check = crc32c(link->in_check, where, bytes);
    link->received += bytes;
    link->in_left -= bytes;
    if (link->target)
        link->target->moved += bytes;
    if (link->keeping)
        link->keeping->arrived += bytes;
    if (link->in_left)
        return true;
    if (checks && link->in_check != link->in_claim)
        return damaged(exchange, link);
    if (link->target)
        request_finish(exchange, link->target, DTR_OK);
    link->target = NULL;
    link->keeping = NULL;
    link->in_message = false;
    return true;
}

static bool read_header(const struct exchange *exchange, struct exchange_link *link) {
    struct header header;
    memcpy(&header, link->stage + link->stage_start, sizeof header);
    const uint64_t length = le64toh(header.length);
    if (le32toh(header.magic) != MAGIC || length > PTRDIFF_MAX / 2 ||
        (exchange->checked && le32toh(header.check) != check_of(&header)))
        return damaged(exchange, link);
    link->in_check = 0;
    link->in_claim = le32toh(header.payload_check);
    link->stage_start += sizeof header;
    link->in_tag = le32toh(header.tag);
    link->in_left = (size_t)length;
    link->in_message = true;
    link->stalled = true; /* until a place is found */
    return true;
}

/* Takes what is in the stage; false when the stream cannot be right. */
static bool consume(struct exchange *exchange, struct exchange_link *link) {
    for (;;) {
        const size_t staged = link->stage_end - link->stage_start;
        if (!link->in_message) {
            if (staged < EXCHANGE_HEADER)
                break;
            if (!read_header(exchange, link))
                return false;
            continue;
        }
        if (link->stalled) {
            if (!place(exchange, link))
                return true;
            link->stalled = false;
        } else if (!staged) {
            break;
        }
        const size_t rest = link->stage_end - link->stage_start;
        const size_t bytes = rest < link->in_left ? rest : link->in_left;
        unsigned char *to = destination(link);
        if (to && bytes)
            memcpy(to, link->stage + link->stage_start, bytes);
        link->stage_start += bytes;
        if (!arrived(exchange, link, to, bytes))
            return false;
    }
    const size_t staged = link->stage_end - link->stage_start;
    memmove(link->stage, link->stage + link->stage_start, staged);
    link->stage_start = 0;
    link->stage_end = staged;
    return true;
}

/* One read of the stream: the rest of the payload first, then the stage. */
static ssize_t fill(struct exchange *exchange, uint32_t peer, size_t *asked_p) {
    struct exchange_link *link = &exchange->link[peer];
    unsigned char nowhere[4096];
    struct iovec part[2];
    int parts = 0;
    size_t payload = 0;
    unsigned char *to = destination(link);
    if (link->in_message) {
        payload = link->in_left;
        if (!to && payload > sizeof nowhere)
            payload = sizeof nowhere;
        part[parts++] = (struct iovec){.iov_base = to ? to : nowhere, .iov_len = payload};
    }
    /* Only behind a whole payload may the stage be filled. */
    if (payload == link->in_left || !link->in_message)
        part[parts++] = (struct iovec){.iov_base = link->stage + link->stage_end,
                                       .iov_len = exchange->streams->stage - link->stage_end};
    *asked_p = 0;
    for (int i = 0; i < parts; i++)
        *asked_p += part[i].iov_len;
    const ssize_t got = exchange->streams->read(exchange->owner, peer, part, parts);
    if (got <= 0)
        return got;
    const size_t direct = (size_t)got < payload ? (size_t)got : payload;
    link->stage_end += (size_t)got - direct;
    return !direct || arrived(exchange, link, to, direct) ? got : -1;
}

void exchange_read(struct exchange *exchange, uint32_t peer) {
    struct exchange_link *link = &exchange->link[peer];
    while (!link->lost) {
        bool good = consume(exchange, link);
        if (good && link->stalled)
            return;
        size_t asked = 0;
        const ssize_t got = good ? fill(exchange, peer, &asked) : -1;
        if (got > 0)
            good = consume(exchange, link);
        if (!good || got < 0) {
            exchange_lose(exchange, peer);
            return;
        }
        if ((size_t)got < asked)
            return;
    }
}

/* --- kept messages --- */

static void unkeep(struct exchange *exchange, struct exchange_link *link,
                   struct kept_message *previous, struct kept_message *message) {
    if (previous)
        previous->next = message->next;
    else
        link->kept_first = message->next;
    if (link->kept_last == message)
        link->kept_last = previous;
    link->kept_bytes -= cost(message->length);
    if (link->keeping == message)
        link->keeping = NULL;
    pool_kept_free(exchange, message);
}

bool link_match_kept(struct exchange *exchange, struct exchange_link *link,
                     struct dtr_transfer *request) {
    struct kept_message *previous = NULL, *message = link->kept_first;
    while (message && message->tag != request->tag) {
        previous = message;
        message = message->next;
    }
    if (!message)
        return false;
    if (message->length > request->bytes) {
        request_finish(exchange, request, DTR_E_CORRUPT);
    } else {
        if (message->arrived)
            memcpy(request->buffer, message->data, message->arrived);
        request->moved = message->arrived;
        request->length = message->length;
        if (message == link->keeping)
            link->target = request; /* the rest goes straight to its buffer */
        else
            request_finish(exchange, request, DTR_OK);
    }
    unkeep(exchange, link, previous, message);
    return true;
}

static void fail_queue(struct exchange *exchange, struct request_queue *queue, int status) {
    while (queue->first) {
        struct dtr_transfer *request = queue->first;
        request_queue_remove(queue, request);
        request_finish(exchange, request, status);
    }
}

void link_fail(struct exchange *exchange, struct exchange_link *link, int status) {
    fail_queue(exchange, &link->sends, status);
    fail_queue(exchange, &link->receives, status);
    if (link->target)
        request_finish(exchange, link->target, status);
    link->target = NULL;
    link->stalled = false;
    if (!link->keeping)
        return;
    struct kept_message *previous = NULL;
    for (struct kept_message *message = link->kept_first; message != link->keeping;
         message = message->next)
        previous = message;
    unkeep(exchange, link, previous, link->keeping);
}

void link_drop(struct exchange *exchange, struct exchange_link *link) {
    while (link->kept_first)
        unkeep(exchange, link, NULL, link->kept_first);
    for (struct dtr_transfer *request = link->sends.first; request; request = request->next)
        if (request->orphaned)
            exchange->host->release(exchange->host, request->buffer);
}

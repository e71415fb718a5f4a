/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/crc.h"
#include "common/exchange.h"
#include "common/link.h"
#include "common/pool.h"

#include <string.h>

void exchange_init(struct exchange *exchange, const struct dtr_host *host,
                   const struct exchange_streams *streams, void *owner, size_t limit) {
    *exchange = (struct exchange){
        .host = host, .streams = streams, .owner = owner, .limit = limit, .lost_peer = -1};
}

void exchange_free(struct exchange *exchange) {
    exchange_end(exchange);
    pool_free(exchange);
}

int exchange_begin(struct exchange *exchange, uint32_t devices, uint32_t device) {
    const struct dtr_host *host = exchange->host;
    const size_t stage = exchange->streams->stage;
    struct exchange_link *link =
        host->allocate(host, _Alignof(struct exchange_link), devices * sizeof *link);
    unsigned char *stages = host->allocate(host, 64, devices * stage);
    if (!link || !stages) {
        host->release(host, link);
        host->release(host, stages);
        return DTR_E_MEMORY;
    }
    memset(link, 0, devices * sizeof *link);
    for (uint32_t i = 0; i < devices; i++)
        link[i].stage = stages + i * stage;
    exchange->link = link;
    exchange->stages = stages;
    exchange->devices = devices;
    exchange->device = device;
    exchange->changed = false;
    exchange->lost_peer = -1;
    return DTR_OK;
}

void exchange_end(struct exchange *exchange) {
    for (uint32_t i = 0; i < exchange->devices; i++)
        link_drop(exchange, &exchange->link[i]);
    exchange->host->release(exchange->host, exchange->link);
    exchange->host->release(exchange->host, exchange->stages);
    exchange->link = NULL;
    exchange->stages = NULL;
    exchange->devices = 0;
    pool_requests_reset(exchange);
    atomic_store(&exchange->aborted, false);
    atomic_store(&exchange->woken, false);
}

static int request_new(struct exchange *exchange, uint32_t peer, struct dtr_transfer **request_p) {
    if (atomic_load_explicit(&exchange->aborted, memory_order_relaxed))
        return DTR_E_ABORTED;
    if (peer >= exchange->devices || peer == exchange->device)
        return DTR_E_CONFIG;
    struct dtr_transfer *request = pool_request(exchange);
    if (!request)
        return DTR_E_MEMORY;
    request->peer = peer;
    *request_p = request;
    return DTR_OK;
}

int exchange_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                   struct dtr_transfer **request_p) {
    struct exchange *exchange = self;
    struct dtr_transfer *request;
    int status = request_new(exchange, peer, &request);
    if (status)
        return status;
    struct exchange_link *link = &exchange->link[peer];
    if (link->lost) {
        pool_request_free(exchange, request);
        return link->lost;
    }
    request->kind = REQUEST_SEND;
    request->tag = tag;
    request->buffer = (unsigned char *)(uintptr_t)buffer;
    request->bytes = request->length = bytes;
    request->check = exchange->checked ? crc32c(0, buffer, bytes) : 0;
    const bool idle = !link->sends.first;
    request_queue_append(&link->sends, request);
    if (idle)
        exchange_write(exchange, peer);
    *request_p = request;
    return DTR_OK;
}

int exchange_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                   struct dtr_transfer **request_p) {
    struct exchange *exchange = self;
    struct dtr_transfer *request;
    int status = request_new(exchange, peer, &request);
    if (status)
        return status;
    request->kind = REQUEST_RECEIVE;
    request->tag = tag;
    request->buffer = buffer;
    request->bytes = bytes;
    struct exchange_link *link = &exchange->link[peer];
    if (!link_match_kept(exchange, link, request)) {
        if (link->lost) {
            pool_request_free(exchange, request);
            return link->lost;
        }
        request_queue_append(&link->receives, request);
    }
    /* This receive, or the room that it made, may be what the stream waits for. */
    if (link->stalled)
        exchange_read(exchange, peer);
    *request_p = request;
    return DTR_OK;
}

int exchange_test(struct exchange *exchange, struct dtr_transfer *request, size_t *bytes_p) {
    if (!request->done) {
        if (!atomic_load_explicit(&exchange->aborted, memory_order_relaxed))
            return 0;
        exchange_cancel(exchange, request);
        return DTR_E_ABORTED;
    }
    const int status = request->status;
    if (!status && bytes_p)
        *bytes_p = request->length;
    pool_request_free(exchange, request);
    return status ? status : 1;
}

/* A message that is partly out must be finished for the sake of those behind it, from a copy. */
static bool send_orphan(struct exchange *exchange, struct dtr_transfer *request) {
    const struct dtr_host *host = exchange->host;
    unsigned char *copy = host->allocate(host, 1, request->bytes);
    if (!copy)
        return false;
    memcpy(copy, request->buffer, request->bytes);
    request->buffer = copy;
    request->orphaned = true;
    return true;
}

void exchange_cancel(void *self, struct dtr_transfer *request) {
    struct exchange *exchange = self;
    struct exchange_link *link = &exchange->link[request->peer];
    if (request->queued && request->kind == REQUEST_SEND && request->moved) {
        if (send_orphan(exchange, request))
            return;
        exchange_lose(exchange, request->peer);
    }
    if (request->queued)
        request_queue_remove(request->kind == REQUEST_SEND ? &link->sends : &link->receives,
                             request);
    if (link->target == request)
        link->target = NULL;
    pool_request_free(exchange, request);
}

int exchange_lost_peer(void *self) {
    const struct exchange *exchange = self;
    return exchange->lost_peer;
}

void exchange_counters(void *self, uint32_t peer, uint64_t *sent_p, uint64_t *received_p) {
    const struct exchange *exchange = self;
    uint64_t sent = 0, received = 0;
    for (uint32_t i = 0; i < exchange->devices; i++)
        if (peer == UINT32_MAX || peer == i) {
            sent += exchange->link[i].sent;
            received += exchange->link[i].received;
        }
    *sent_p = sent;
    *received_p = received;
}

void exchange_abort(struct exchange *exchange) {
    atomic_store(&exchange->aborted, true);
}

void exchange_wake(struct exchange *exchange) {
    atomic_store(&exchange->woken, true);
}

int exchange_verdict(struct exchange *exchange) {
    if (atomic_load(&exchange->aborted))
        return DTR_E_ABORTED;
    const bool woken = atomic_load(&exchange->woken) && atomic_exchange(&exchange->woken, false);
    const bool changed = exchange->changed;
    exchange->changed = false;
    return woken || changed;
}

bool exchange_has_writes(const struct exchange *exchange, uint32_t peer) {
    return exchange->link[peer].sends.first != NULL;
}

bool exchange_has_receives(const struct exchange *exchange, uint32_t peer) {
    return exchange->link[peer].receives.first || exchange->link[peer].target;
}

bool exchange_has_room(const struct exchange *exchange, uint32_t peer) {
    return !exchange->link[peer].stalled;
}

size_t exchange_missing(const struct exchange *exchange, uint32_t peer) {
    const struct exchange_link *link = &exchange->link[peer];
    return link->in_message && !link->stalled ? link->in_left : 0;
}

bool exchange_is_lost(const struct exchange *exchange, uint32_t peer) {
    return exchange->link[peer].lost != DTR_OK;
}

void exchange_lose(struct exchange *exchange, uint32_t peer) {
    struct exchange_link *link = &exchange->link[peer];
    if (link->lost)
        return;
    link->lost = DTR_E_PEER;
    exchange->lost_peer = (int)peer;
    if (exchange->streams->lost)
        exchange->streams->lost(exchange->owner, peer);
    link_fail(exchange, link, DTR_E_PEER);
}

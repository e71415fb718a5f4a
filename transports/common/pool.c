/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/pool.h"

#include <string.h>

#define SLAB 64
#define SMALLEST 8u /* 256 bytes */

struct request_slab {
    struct request_slab *next;
    struct dtr_transfer request[SLAB];
};

static void slab_to_free_list(struct exchange *exchange, struct request_slab *slab) {
    for (int i = SLAB - 1; i >= 0; i--)
        pool_request_free(exchange, &slab->request[i]);
}

struct dtr_transfer *pool_request(struct exchange *exchange) {
    if (!exchange->free) {
        struct request_slab *slab =
            exchange->host->allocate(exchange->host, _Alignof(struct request_slab), sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = exchange->slabs;
        exchange->slabs = slab;
        slab_to_free_list(exchange, slab);
    }
    struct dtr_transfer *request = exchange->free;
    exchange->free = request->next;
    memset(request, 0, sizeof *request);
    return request;
}

void pool_request_free(struct exchange *exchange, struct dtr_transfer *request) {
    request->next = exchange->free;
    exchange->free = request;
}

void pool_requests_reset(struct exchange *exchange) {
    exchange->free = NULL;
    for (struct request_slab *slab = exchange->slabs; slab; slab = slab->next)
        slab_to_free_list(exchange, slab);
}

static uint32_t order_of(size_t length) {
    uint32_t order = SMALLEST;
    while (order < KEPT_ORDERS && ((size_t)1 << order) < length)
        order++;
    return order;
}

static void spares_release(struct exchange *exchange) {
    for (uint32_t order = 0; order < KEPT_ORDERS; order++)
        while (exchange->spare[order]) {
            struct kept_message *message = exchange->spare[order];
            exchange->spare[order] = message->next;
            exchange->host->release(exchange->host, message);
        }
    exchange->spare_bytes = 0;
}

struct kept_message *pool_kept(struct exchange *exchange, size_t length) {
    uint32_t order = order_of(length);
    if (order >= KEPT_ORDERS)
        return NULL;
    struct kept_message *message = exchange->spare[order];
    if (message) {
        exchange->spare[order] = message->next;
        exchange->spare_bytes -= (size_t)1 << order;
    } else {
        message = exchange->host->allocate(exchange->host, _Alignof(struct kept_message),
                                           sizeof *message + ((size_t)1 << order));
        if (!message)
            return NULL;
    }
    *message = (struct kept_message){.order = order, .length = length};
    return message;
}

void pool_kept_free(struct exchange *exchange, struct kept_message *message) {
    size_t bytes = (size_t)1 << message->order;
    /* Rounded up, what one peer may have kept is less than twice the limit. */
    if (bytes > 2 * exchange->limit - exchange->spare_bytes)
        spares_release(exchange);
    message->next = exchange->spare[message->order];
    exchange->spare[message->order] = message;
    exchange->spare_bytes += bytes;
}

void pool_free(struct exchange *exchange) {
    spares_release(exchange);
    while (exchange->slabs) {
        struct request_slab *slab = exchange->slabs;
        exchange->slabs = slab->next;
        exchange->host->release(exchange->host, slab);
    }
    exchange->free = NULL;
}

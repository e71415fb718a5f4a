/* SPDX-License-Identifier: MIT
 *
 * exchange_fuzz.c -- messages from a peer that sends what it likes over a stream, while receives of
 * all kinds are posted, tested and cancelled.  Input: pairs of bytes, an operation and its
 * argument; the operation `feed` takes the next bytes for the stream.
 */
#include "fuzz.h"

#include <string.h>

#include "common/exchange.h"
#include "plugin/host.h"

enum { SLOTS = 8, ROOM = 300, LIMIT = 4096 };

struct peer {
    struct exchange exchange;
    const uint8_t *data;
    size_t have, step; /* bytes that wait in the stream; the most of one read */
    struct dtr_transfer *slot[SLOTS];
    size_t room[SLOTS];
    uint8_t buffer[SLOTS][ROOM];
    bool busy[SLOTS];
};

static ssize_t stream_write(void *owner, uint32_t from, const struct iovec *part, int parts) {
    const struct peer *peer = owner;
    (void)from;
    size_t moved = 0;
    for (int i = 0; i < parts; i++)
        moved += part[i].iov_len;
    return (ssize_t)(moved < peer->step ? moved : peer->step);
}

static ssize_t stream_read(void *owner, uint32_t from, const struct iovec *part, int parts) {
    struct peer *peer = owner;
    (void)from;
    size_t moved = 0;
    for (int i = 0; i < parts && moved < peer->step; i++) {
        size_t bytes = part[i].iov_len < peer->have ? part[i].iov_len : peer->have;
        bytes = bytes < peer->step - moved ? bytes : peer->step - moved;
        if (bytes)
            memcpy(part[i].iov_base, peer->data, bytes);
        peer->data += bytes;
        peer->have -= bytes;
        moved += bytes;
    }
    return (ssize_t)moved;
}

static const struct exchange_streams streams[] = {
    {.stage = EXCHANGE_HEADER, .write = stream_write, .read = stream_read},
    {.stage = 100, .write = stream_write, .read = stream_read},
};

static void test(struct peer *peer, uint32_t slot) {
    size_t bytes = 0;
    const int done = exchange_test(&peer->exchange, peer->slot[slot], &bytes);
    if (!done)
        return;
    fuzz_need(done < 0 || bytes <= peer->room[slot], "a message is longer than its receive");
    peer->busy[slot] = false;
}

static void post(struct peer *peer, uint32_t slot, uint8_t argument) {
    const uint32_t tag = argument & 3;
    struct dtr_transfer **request = &peer->slot[slot];
    peer->room[slot] = argument * 5u % ROOM;
    const int status = slot % 4 == 3 ? exchange_isend(&peer->exchange, 1, tag, peer->buffer[slot],
                                                      peer->room[slot], request)
                                     : exchange_irecv(&peer->exchange, 1, tag, peer->buffer[slot],
                                                      peer->room[slot], request);
    peer->busy[slot] = status == DTR_OK;
}

static void operate(struct peer *peer, uint8_t operation, uint8_t argument,
                    struct fuzz_bytes *bytes) {
    const uint32_t slot = operation >> 4 & (SLOTS - 1);
    switch (operation & 7) {
    case 0:
    case 1: {
        size_t taken;
        const uint8_t *data = fuzz_take(bytes, argument, &taken);
        if (!peer->have)
            peer->data = data;
        peer->have = (size_t)(data + taken - peer->data);
        break;
    }
    case 2:
        if (!peer->busy[slot])
            post(peer, slot, argument);
        break;
    case 3:
        if (peer->busy[slot])
            exchange_cancel(&peer->exchange, peer->slot[slot]);
        peer->busy[slot] = false;
        break;
    case 4:
        peer->step = 1u + argument;
        break;
    case 5:
        if (argument == 255)
            exchange_lose(&peer->exchange, 1);
        break;
    default:
        if (peer->busy[slot])
            test(peer, slot);
    }
    exchange_write(&peer->exchange, 1);
    exchange_read(&peer->exchange, 1);
    exchange_verdict(&peer->exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    struct dtr_services services;
    struct peer peer = {.step = 64, .data = data};
    dtr_services_init(&services, "fuzz", NULL, NULL);
    exchange_init(&peer.exchange, &services.host, &streams[fuzz_byte(&bytes) & 1], &peer, LIMIT);
    fuzz_need(exchange_begin(&peer.exchange, 2, 0) == DTR_OK, "no exchange");
    while (bytes.size) {
        const uint8_t operation = fuzz_byte(&bytes);
        operate(&peer, operation, fuzz_byte(&bytes), &bytes);
    }
    exchange_free(&peer.exchange);
    return 0;
}

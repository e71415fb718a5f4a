/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/ring.h"

#include <string.h>

/* After so many bytes the other end may begin: it copies out while this end still copies in. */
#define PIECE ((uint64_t)64 << 10)

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Bytes that can be moved at once without wrapping. */
static uint64_t step_of(const struct ring_end *end, uint64_t available, uint64_t wanted) {
    const uint64_t to_edge = end->bytes - (end->at & (end->bytes - 1));
    return least(least(available, wanted), least(to_edge, PIECE));
}

static void publish_head(struct ring_end *end) {
    atomic_store_explicit(&end->ring->head, end->at, memory_order_release);
    bell_ring(end->other);
}

/* Room for the writer; when there is none the reader is asked to ring. */
static int room_of(struct ring_end *end, uint64_t *room_p) {
    struct ring *ring = end->ring;
    for (int asked = 0;; asked = 1) {
        const uint64_t used = end->at - atomic_load(&ring->tail);
        if (used > end->bytes)
            return -1;
        *room_p = end->bytes - used;
        if (*room_p || asked)
            return 0;
        atomic_store(&ring->starved, 1);
    }
}

ssize_t ring_write(struct ring_end *end, const struct iovec *part, int parts) {
    uint64_t moved = 0, unpublished = 0, room = 0;
    for (int i = 0; i < parts; i++) {
        const unsigned char *from = part[i].iov_base;
        uint64_t left = part[i].iov_len;
        while (left) {
            if (!room) {
                if (unpublished)
                    publish_head(end);
                unpublished = 0;
                if (room_of(end, &room))
                    return -1;
                if (!room)
                    return (ssize_t)moved;
            }
            const uint64_t step = step_of(end, room, left);
            memcpy(end->ring->data + (end->at & (end->bytes - 1)), from, step);
            end->at += step;
            from += step;
            left -= step;
            room -= step;
            moved += step;
            unpublished += step;
            if (unpublished >= PIECE) {
                publish_head(end);
                unpublished = 0;
            }
        }
    }
    if (unpublished)
        publish_head(end);
    return (ssize_t)moved;
}

/* Tells the writer of the room made, when it waits and it is worth its while. */
static void publish_tail(struct ring_end *end, uint64_t unread) {
    struct ring *ring = end->ring;
    atomic_store(&ring->tail, end->at);
    if (unread > end->bytes / 2 || !atomic_load(&ring->starved))
        return;
    atomic_store(&ring->starved, 0);
    bell_ring(end->other);
}

ssize_t ring_read(struct ring_end *end, const struct iovec *part, int parts) {
    uint64_t moved = 0, unpublished = 0, unread = 0;
    for (int i = 0; i < parts; i++) {
        unsigned char *to = part[i].iov_base;
        uint64_t left = part[i].iov_len;
        while (left) {
            if (!unread) {
                unread = atomic_load_explicit(&end->ring->head, memory_order_acquire) - end->at;
                if (unread > end->bytes)
                    return -1;
                if (!unread)
                    goto out;
            }
            const uint64_t step = step_of(end, unread, left);
            memcpy(to, end->ring->data + (end->at & (end->bytes - 1)), step);
            end->at += step;
            to += step;
            left -= step;
            unread -= step;
            moved += step;
            unpublished += step;
            if (unpublished >= PIECE) {
                publish_tail(end, unread);
                unpublished = 0;
            }
        }
    }
out:
    if (unpublished)
        publish_tail(end, unread);
    return (ssize_t)moved;
}

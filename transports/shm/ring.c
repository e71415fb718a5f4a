/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/ring.h"

#include <string.h>

/* After so many bytes the other end may begin: it copies out while this end still copies in. */
#define PIECE ((uint64_t)64 << 10)

/* So much of the ring is enough as long as the reader keeps up. */
#define NEAR ((uint64_t)64 << 10)

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Bytes that can be moved at once without wrapping. */
static uint64_t step_of(const struct ring_end *end, uint64_t available, uint64_t wanted) {
    const uint64_t to_edge = end->bytes - (end->at & (end->bytes - 1));
    return least(least(available, wanted), least(to_edge, PIECE));
}

static void publish_head(struct ring_end *end) {
    atomic_store(&end->ring->head, end->at);
    bell_ring(end->other);
}

/* A ring that has been read empty is written from its beginning again, of which pages and cache
 * lines are at hand; the index skips the rest. */
static void turn_back(struct ring_end *end) {
    const uint64_t offset = end->at & (end->bytes - 1);
    if (offset < NEAR)
        return;
    end->at = end->turn = end->at - offset + end->bytes;
    atomic_store_explicit(&end->ring->turn, end->turn, memory_order_relaxed);
}

/* Where the writer turned back is published with the head, and only once all before it is read. */
static int follow_turn(struct ring_end *end, uint64_t head) {
    const uint64_t turn = atomic_load_explicit(&end->ring->turn, memory_order_relaxed);
    if (turn <= end->at)
        return 0;
    if (turn >= head || turn & (end->bytes - 1))
        return -1;
    end->at = turn;
    return 0;
}

static uint64_t room_after(const struct ring_end *end, uint64_t tail) {
    return end->bytes - (end->at - (tail > end->turn ? tail : end->turn));
}

/* Room for the writer, who does not look at what its reader has just written while there is plenty;
 * when there is none the reader is asked to ring. */
static int room_of(struct ring_end *end, uint64_t *room_p) {
    struct ring *ring = end->ring;
    *room_p = room_after(end, end->seen);
    if (*room_p >= NEAR && (end->at & (end->bytes - 1)) < NEAR)
        return 0;
    for (int asked = 0;; asked = 1) {
        const uint64_t tail = atomic_load(&ring->tail);
        if (tail == end->at)
            turn_back(end);
        *room_p = room_after(end, tail);
        if (*room_p > end->bytes)
            return -1;
        end->seen = tail;
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
                const uint64_t head = atomic_load(&end->ring->head);
                if (head == end->at)
                    goto out;
                if (follow_turn(end, head))
                    return -1;
                unread = head - end->at;
                if (unread > end->bytes)
                    return -1;
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

/* SPDX-License-Identifier: MIT
 *
 * ring.h -- a byte stream from one process to another: a ring in shared memory with one writer and
 * one reader and no locks.  Each end trusts only its own index; the other's is checked.
 */
#ifndef DTR_SHM_RING_H
#define DTR_SHM_RING_H

#include "shm/bell.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The shared part, zero at first.  Indices count bytes, those that were skipped too, and never wrap
 * in practice. */
struct ring {
    _Alignas(64) _Atomic uint64_t head;    /* written so far                             */
    _Atomic uint64_t turn;                 /* index at which the writer last turned back */
    _Alignas(64) _Atomic uint64_t tail;    /* read so far                                */
    _Alignas(64) _Atomic uint32_t starved; /* the writer waits for room                  */
    _Alignas(64) unsigned char data[];
};

/* One end of it, private to its process. */
struct ring_end {
    struct ring *ring;
    uint64_t bytes; /* of data, a power of two         */
    uint64_t at;    /* this end's own index            */
    uint64_t turn;  /* the writer's last turn          */
    uint64_t seen;  /* the tail, when the writer looked */
    struct bell *other;
};

/* Bytes moved, zero when the ring is full or empty; -1 when the other end's index cannot be. */
ssize_t ring_write(struct ring_end *end, const struct iovec *part, int parts);
ssize_t ring_read(struct ring_end *end, const struct iovec *part, int parts);

#endif

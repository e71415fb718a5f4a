/* SPDX-License-Identifier: MIT
 *
 * bell.h -- what a device sleeps on: a futex in shared memory that whoever has news for it rings.
 * Ringing costs a system call only when the device sleeps.
 */
#ifndef DTR_SHM_BELL_H
#define DTR_SHM_BELL_H

#include <stdatomic.h>
#include <stdint.h>

struct bell {
    _Atomic uint32_t rung;
    _Atomic uint32_t asleep;
};

void bell_ring(struct bell *bell);

/* Take this before looking for news; bell_wait() returns at once when it has changed since. */
uint32_t bell_seen(struct bell *bell);

/* Sleeps until the bell is rung or `ns` are over; may return earlier. */
void bell_wait(struct bell *bell, uint32_t seen, uint64_t ns);

#endif

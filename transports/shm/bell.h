/* SPDX-License-Identifier: MIT
 *
 * bell.h -- what a device sleeps on: a futex in shared memory that whoever has news for it rings.
 * Unless it sleeps, that is no more than a look at what nobody but the device itself writes.
 */
#ifndef DTR_SHM_BELL_H
#define DTR_SHM_BELL_H

#include <stdatomic.h>
#include <stdint.h>

struct bell {
    _Atomic uint32_t rung;
    _Atomic uint32_t asleep;
};

/* The news has been stored before, sequentially consistent. */
void bell_ring(struct bell *bell);

/* Whoever has news from now on rings.  Look for news once more before sleeping. */
uint32_t bell_lie_down(struct bell *bell);

/* Sleeps until the bell is rung or `ns` are over, or not at all when it has been rung since lying
 * down, which returned `seen`; may return earlier. */
void bell_sleep(struct bell *bell, uint32_t seen, uint64_t ns);

void bell_get_up(struct bell *bell);

#endif

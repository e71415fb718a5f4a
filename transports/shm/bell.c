/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The ringer counts, then looks for a sleeper; the sleeper lies down, then looks at the count.
 * Sequential consistency makes it impossible that both miss each other. */
void bell_ring(struct bell *bell) {
    atomic_fetch_add(&bell->rung, 1);
    if (atomic_load(&bell->asleep))
        syscall(SYS_futex, &bell->rung, FUTEX_WAKE, 1, NULL, NULL, 0);
}

uint32_t bell_seen(struct bell *bell) {
    return atomic_load(&bell->rung);
}

void bell_wait(struct bell *bell, uint32_t seen, uint64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
                                  .tv_nsec = (long)(ns % 1000000000u)};
    atomic_store(&bell->asleep, 1);
    if (atomic_load(&bell->rung) == seen)
        syscall(SYS_futex, &bell->rung, FUTEX_WAIT, seen, &time, NULL, 0);
    atomic_store(&bell->asleep, 0);
}

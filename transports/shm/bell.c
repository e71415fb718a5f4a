/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The ringer has published its news, then looks for a sleeper; the sleeper lies down, then looks
 * for news once more.  Sequential consistency, of the news too, makes it impossible that both miss
 * each other; the count, that the sleeper misses being woken. */
void bell_ring(struct bell *bell) {
    if (!atomic_load(&bell->asleep))
        return;
    atomic_fetch_add(&bell->rung, 1);
    syscall(SYS_futex, &bell->rung, FUTEX_WAKE, 1, NULL, NULL, 0);
}

uint32_t bell_lie_down(struct bell *bell) {
    const uint32_t seen = atomic_load(&bell->rung);
    atomic_store(&bell->asleep, 1);
    return seen;
}

void bell_sleep(struct bell *bell, uint32_t seen, uint64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
                                  .tv_nsec = (long)(ns % 1000000000u)};
    syscall(SYS_futex, &bell->rung, FUTEX_WAIT, seen, &time, NULL, 0);
}

void bell_get_up(struct bell *bell) {
    atomic_store_explicit(&bell->asleep, 0, memory_order_relaxed);
}

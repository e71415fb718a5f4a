/* SPDX-License-Identifier: MIT
 *
 * clock.h -- the clock that everything is timed by: monotonic, and the same for all processes of a
 * machine.
 */
#ifndef DTR_BASE_CLOCK_H
#define DTR_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define DTR_SECOND_NS UINT64_C(1000000000)

static inline uint64_t dtr_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * DTR_SECOND_NS + (uint64_t)now.tv_nsec;
}

#endif

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/spin.h"

#include <sched.h>

uint64_t spin_ns(int64_t spin_us, uint32_t threads, uint32_t devices) {
    if (spin_us >= 0)
        return (uint64_t)spin_us * 1000;
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores))
        return 0;
    return (uint64_t)threads * devices <= (uint64_t)CPU_COUNT(&cores) ? 20000 : 0;
}

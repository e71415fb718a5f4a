/* SPDX-License-Identifier: MIT */
#include "base/cores.h"

#include <sched.h>
#include <unistd.h>

uint32_t dtr_cores(void) {
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

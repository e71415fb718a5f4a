/* SPDX-License-Identifier: MIT
 *
 * spin.h -- how long a device that waits looks for messages before it sleeps.
 */
#ifndef DTR_TRANSPORTS_SPIN_H
#define DTR_TRANSPORTS_SPIN_H

#include <stdint.h>

/* `spin_us`, or by itself where that is negative, since it pays only where each thread of each of
 * `devices` on this machine has a core.  In nanoseconds. */
uint64_t spin_ns(int64_t spin_us, uint32_t threads, uint32_t devices);

#endif

/* SPDX-License-Identifier: MIT
 *
 * cores.h -- the processor's cores, as far as this process may use them.
 */
#ifndef DTR_BASE_CORES_H
#define DTR_BASE_CORES_H

#include <stdint.h>

/* How many there are; at least one. */
uint32_t dtr_cores(void);

#endif

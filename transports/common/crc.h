/* SPDX-License-Identifier: MIT
 *
 * crc.h -- CRC-32C (Castagnoli), by the processor's own instruction where there is one.
 */
#ifndef DTR_TRANSPORTS_CRC_H
#define DTR_TRANSPORTS_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes before, whose checksum is `crc` (0: none), and these.  crc("123456789") is
 * 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t count);

/* Without the instruction, for tests. */
uint32_t crc32c_plain(uint32_t crc, const void *bytes, size_t count);

#endif

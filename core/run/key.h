/* SPDX-License-Identifier: MIT
 *
 * key.h -- the key that the devices of a cluster share, and the file that it is kept in: one line
 * of 64 hexadecimal digits.
 */
#ifndef DTR_RUN_KEY_H
#define DTR_RUN_KEY_H

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

#define DTR_KEY_BYTES 32
#define DTR_KEY_TEXT (2 * DTR_KEY_BYTES + 1)

/* A new key as the file's line, without its end.  DTR_E_SYSTEM. */
int dtr_key_create(char text[DTR_KEY_TEXT], struct dtr_error *error);

/* Reads a key file; one that others can read earns a warning.  `path` NULL: no key, which all
 * devices of this machine share.  DTR_E_CONFIG. */
int dtr_key_read(const char *path, const struct dtr_log *log, uint8_t key[DTR_KEY_BYTES],
                 struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * utf8.h -- whether bytes from a file, a terminal or a socket are text.
 */
#ifndef DTR_BASE_UTF8_H
#define DTR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* True for UTF-8 as RFC 3629 has it: no surrogates, nothing longer than needed; zeros are
 * characters too. */
bool dtr_utf8_is_valid(const char *bytes, size_t length);

#endif

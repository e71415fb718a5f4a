/* SPDX-License-Identifier: MIT
 *
 * utf8.h -- whether bytes from a file, a terminal or a socket are text, and text that can be shown.
 */
#ifndef DTR_BASE_UTF8_H
#define DTR_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* True for UTF-8 as RFC 3629 has it: no surrogates, nothing longer than needed; zeros are
 * characters too. */
bool dtr_utf8_is_valid(const char *bytes, size_t length);

/* Control characters become question marks: what a file or a peer wrote must not move the cursor of
 * whoever reads about it. */
void dtr_text_clean(char *text);

#endif

/* SPDX-License-Identifier: MIT
 *
 * file.h -- closing a file that was written, where the last of it may yet turn out to be lost.
 */
#ifndef DTR_BASE_FILE_H
#define DTR_BASE_FILE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

/* False, with the cause in errno, when some of what was written to the file is not in it. */
static inline bool dtr_file_close(FILE *file) {
    const bool written = !fflush(file) && !ferror(file);
    const int cause = errno;
    const bool closed = !fclose(file);
    if (!written)
        errno = cause;
    return written && closed;
}

#endif

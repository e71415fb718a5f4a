/* SPDX-License-Identifier: MIT
 *
 * unit.h -- what every unit test includes: cmocka with the headers it wants before it, and a way to
 * skip that says why.
 */
#ifndef DTR_TESTS_UNIT_H
#define DTR_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Ends the test as skipped; the runner puts the reason where TAP wants it. */
static inline void skip_because(const char *reason) {
    printf("# skip: %s\n", reason);
    skip();
}

/* A file of the data at hand, or NULL where it is absent: `which` is relative to its folder.  The
 * result is the caller's to free. */
static inline char *data_file(const char *which) {
    const char *folder = getenv("DTR_TEST_DATA");
    char *path = NULL;
    FILE *file;
    size_t length = (size_t)snprintf(NULL, 0, "%s/%s", folder ? folder : "", which);
    if (!folder || !(path = malloc(length + 1)))
        return NULL;
    snprintf(path, length + 1, "%s/%s", folder, which);
    if (!(file = fopen(path, "r"))) {
        free(path);
        return NULL;
    }
    fclose(file);
    return path;
}

#endif

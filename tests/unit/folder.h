/* SPDX-License-Identifier: MIT
 *
 * folder.h -- a folder of its own for the files that a unit test makes, gone when the test is done.
 */
#ifndef DTR_TESTS_FOLDER_H
#define DTR_TESTS_FOLDER_H

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

struct folder {
    char path[64];
    char file[400]; /* of the last folder_file() */
};

static inline int folder_make(void **state) {
    struct folder *folder = calloc(1, sizeof *folder);
    if (!folder)
        return -1;
    strcpy(folder->path, "unit-test.XXXXXX");
    *state = folder;
    return mkdtemp(folder->path) ? 0 : -1;
}

/* The path of a file in it, good until the next call. */
static inline const char *folder_file(struct folder *folder, const char *name) {
    snprintf(folder->file, sizeof folder->file, "%s/%s", folder->path, name);
    return folder->file;
}

static inline int folder_remove(void **state) {
    struct folder *folder = *state;
    DIR *entries = opendir(folder->path);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.')
            unlink(folder_file(folder, entry->d_name));
    if (entries)
        closedir(entries);
    int status = rmdir(folder->path);
    free(folder);
    return status;
}

static inline void folder_write(struct folder *folder, const char *name, const void *bytes,
                                size_t count) {
    FILE *out = fopen(folder_file(folder, name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, count, out), count);
    assert_int_equal(fclose(out), 0);
}

#endif

/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATHS = 4, PATH = 600, FILES = 8 };

/* The folder, and the names in it. */
static char folder[PATH];
static const char *names[FILES];

void fuzz_need(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

bool fuzz_sentence(int status, const struct dtr_error *error) {
    if (!status)
        return true;
    fuzz_need(status < 0, "a status is positive");
    fuzz_need(error->status == status, "the error has another status");
    fuzz_need(error->text[0], "the error says nothing");
    for (const char *at = error->text; *at; at++)
        fuzz_need((unsigned char)*at >= ' ' && *at != 0x7f, "the error holds a control character");
    return false;
}

static void remove_folder(void) {
    char path[PATH + 100];
    for (int i = 0; i < FILES && names[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void make_folder(void) {
    const char *above = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/dtr-fuzz.XXXXXX", above ? above : "/tmp");
    fuzz_need(mkdtemp(folder) != NULL, "the folder cannot be made");
    atexit(remove_folder);
}

static char *next_path(void) {
    static char path[PATHS][PATH + 100];
    static int next;
    next = (next + 1) % PATHS;
    return path[next];
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
    char *path = next_path();
    int known = 0;
    if (!folder[0])
        make_folder();
    while (known < FILES && names[known] && strcmp(names[known], name) != 0)
        known++;
    fuzz_need(known < FILES, "too many files");
    names[known] = name;
    snprintf(path, PATH + 100, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    const bool written = file && fwrite(data, 1, size, file) == size;
    fuzz_need(file && !fclose(file) && written, "the file cannot be written");
    return path;
}

const char *fuzz_fixture(const char *name) {
    char *path = next_path();
    const char *tests = getenv("DTR_TESTS");
    fuzz_need(tests != NULL, "DTR_TESTS is not set");
    snprintf(path, PATH + 100, "%s/fixtures/%s", tests, name);
    return path;
}

uint8_t fuzz_byte(struct fuzz_bytes *bytes) {
    if (!bytes->size)
        return 0;
    bytes->size--;
    return *bytes->data++;
}

const uint8_t *fuzz_take(struct fuzz_bytes *bytes, size_t most, size_t *size_p) {
    const uint8_t *data = bytes->data;
    *size_p = bytes->size < most ? bytes->size : most;
    bytes->data += *size_p;
    bytes->size -= *size_p;
    return data;
}

/* SPDX-License-Identifier: MIT
 *
 * replay.c -- main() of a fuzz target without libFuzzer: every file named, and every file in the
 * folders named, is an input.  Prints how many there were.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static size_t inputs;

static void play_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t size = 0, got;
    fuzz_need(file != NULL, path);
    do {
        uint8_t *larger = realloc(bytes, size + 65536);
        fuzz_need(larger != NULL, "no memory");
        bytes = larger;
        size += got = fread(bytes + size, 1, 65536, file);
    } while (got);
    fclose(file);
    /* Memory of just that size, so that a sanitizer sees what reads past it. */
    uint8_t *exact = malloc(size ? size : 1);
    fuzz_need(exact != NULL, "no memory");
    memcpy(exact, bytes, size);
    free(bytes);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

static void play(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        play_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[1000];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        play_file(file);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        play(argv[i]);
    printf("%zu inputs\n", inputs);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map_file(const char *path, int fd, struct dtr_map *map_p, struct dtr_error *error) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not a regular file", path);
    if ((uintmax_t)status.st_size > SIZE_MAX / 2)
        return dtr_fail(error, DTR_E_CONFIG, "%s: is too large for this machine", path);
    struct dtr_map map = {.size = (size_t)status.st_size};
    if (map.size) {
        void *data = mmap(NULL, map.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be mapped: %s", path, strerror(errno));
        map.data = data;
    }
    *map_p = map;
    return DTR_OK;
}

int dtr_map_open(const char *path, struct dtr_map *map_p, struct dtr_error *error) {
    /* Not blocking: opening a pipe that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be opened: %s", path, strerror(errno));
    int status = map_file(path, fd, map_p, error);
    close(fd);
    return status;
}

int dtr_map_text(const char *path, char **text_p, struct dtr_error *error) {
    struct dtr_map map;
    const int status = dtr_map_open(path, &map, error);
    if (status)
        return status;
    char *text = malloc(map.size + 1);
    if (text) {
        memcpy(text, map.size ? (const char *)map.data : "", map.size);
        text[map.size] = '\0';
        *text_p = text;
    }
    dtr_map_close(&map);
    return text ? DTR_OK : dtr_fail_memory(error);
}

void dtr_map_close(struct dtr_map *map) {
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct dtr_map){0};
}

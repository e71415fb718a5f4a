/* SPDX-License-Identifier: MIT
 *
 * Several workers of a machine may share the folder: files appear whole, by a rename, and one that
 * vanishes under a reader's hands is a piece that is not there.
 */
#include "run/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH = 32, NAME = 2 * 32 + 1 };

struct dtr_cache {
    int folder, model; /* open folders */
    char name[NAME];   /* of the model's */
    uint64_t bytes_max, used;
    const struct dtr_log *log;
    bool told; /* that it is full, or cannot be written to */
};

/* --- what is there ---------------------------------------------------------------------------- */

static bool is_model(const char *name) {
    return strlen(name) == NAME - 1 && strspn(name, "0123456789abcdef") == NAME - 1;
}

/* Calls `visit` for every file of a model's folder, also for what a killed store left. */
static void each_file(int folder, const char *model, void (*visit)(void *arg, int at, const char *),
                      void *arg) {
    const int fd = openat(folder, model, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(arg, dirfd(list), entry->d_name);
    if (list)
        closedir(list);
}

static void add_size(void *arg, int at, const char *name) {
    struct stat info;
    if (!fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW))
        *(uint64_t *)arg += (uint64_t)info.st_size;
}

static void remove_file(void *arg, int at, const char *name) {
    uint64_t bytes = 0;
    add_size(&bytes, at, name);
    if (!unlinkat(at, name, 0))
        *(uint64_t *)arg += bytes;
}

/* The model other than this one that was used longest ago. */
static bool find_oldest(const struct dtr_cache *cache, char name[NAME]) {
    struct timespec oldest = {0};
    bool found = false;
    const int fd = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct stat info;
        if (!is_model(entry->d_name) || !strcmp(entry->d_name, cache->name) ||
            fstatat(dirfd(list), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) ||
            (found &&
             (info.st_mtim.tv_sec > oldest.tv_sec ||
              (info.st_mtim.tv_sec == oldest.tv_sec && info.st_mtim.tv_nsec >= oldest.tv_nsec))))
            continue;
        memcpy(name, entry->d_name, NAME);
        oldest = info.st_mtim;
        found = true;
    }
    if (list)
        closedir(list);
    return found;
}

static uint64_t count_all(const struct dtr_cache *cache) {
    uint64_t bytes = 0;
    const int fd = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (is_model(entry->d_name))
            each_file(cache->folder, entry->d_name, add_size, &bytes);
    if (list)
        closedir(list);
    return bytes;
}

/* NULL: that many more bytes fit; otherwise why they do not. */
static const char *make_room(struct dtr_cache *cache, uint64_t more) {
    char oldest[NAME];
    while (cache->used + more > cache->bytes_max && find_oldest(cache, oldest)) {
        uint64_t freed = 0;
        each_file(cache->folder, oldest, remove_file, &freed);
        cache->used -= freed < cache->used ? freed : cache->used;
        if (unlinkat(cache->folder, oldest, AT_REMOVEDIR) && errno != ENOENT)
            return "a model that was used longer ago cannot be removed";
        dtr_log(cache->log, DTR_LOG_INFO, "the cache forgets the model %.12s", oldest);
    }
    return cache->used + more <= cache->bytes_max ? NULL
                                                  : "this model alone is larger than it may be";
}

/* --- opening ---------------------------------------------------------------------------------- */

int dtr_cache_check(const char *folder, struct dtr_error *error) {
    const bool made = !mkdir(folder, 0700) || errno == EEXIST;
    const int fd = made ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    const bool good = fd >= 0 && !faccessat(fd, ".", W_OK | X_OK, AT_EACCESS);
    const int cause = errno;
    if (fd >= 0)
        close(fd);
    return good ? DTR_OK : dtr_fail(error, DTR_E_CONFIG, "%s: %s", folder, strerror(cause));
}

static int open_folders(struct dtr_cache *cache, const char *folder) {
    if (mkdir(folder, 0700) && errno != EEXIST)
        return -1;
    cache->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache->folder < 0 || (mkdirat(cache->folder, cache->name, 0700) && errno != EEXIST))
        return -1;
    cache->model =
        openat(cache->folder, cache->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return cache->model;
}

int dtr_cache_open(const char *folder, uint64_t bytes_max, const uint8_t digest[32],
                   const struct dtr_log *log, struct dtr_cache **cache_p, struct dtr_error *error) {
    struct dtr_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return dtr_fail_memory(error);
    *cache = (struct dtr_cache){.folder = -1, .model = -1, .bytes_max = bytes_max, .log = log};
    sodium_bin2hex(cache->name, sizeof cache->name, digest, 32);
    if (open_folders(cache, folder) < 0) {
        const int cause = errno;
        dtr_cache_close(cache);
        return dtr_fail(error, DTR_E_SYSTEM, "the cache %s: %s", folder, strerror(cause));
    }
    futimens(cache->model, NULL);
    cache->used = count_all(cache);
    make_room(cache, 0);
    *cache_p = cache;
    return DTR_OK;
}

void dtr_cache_close(struct dtr_cache *cache) {
    if (!cache)
        return;
    if (cache->model >= 0)
        close(cache->model);
    if (cache->folder >= 0)
        close(cache->folder);
    free(cache);
}

/* --- pieces ----------------------------------------------------------------------------------- */

static void name_piece(const struct dtr_piece *piece, char name[80]) {
    snprintf(name, 80, "%u-%u-%u-%u-%u", piece->tensor, piece->row, piece->rows, piece->column,
             piece->columns);
}

static void hash_piece(const char *name, const uint8_t *bytes, size_t length, uint8_t hash[HASH]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH);
    crypto_generichash_update(&state, (const unsigned char *)name, strlen(name) + 1);
    crypto_generichash_update(&state, bytes, length);
    crypto_generichash_final(&state, hash, HASH);
}

static bool read_all(int fd, void *out, size_t length) {
    uint8_t *at = out;
    while (length) {
        const ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    while (length) {
        const ssize_t put = write(fd, at, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        length -= (size_t)put;
    }
    return true;
}

bool dtr_cache_load(struct dtr_cache *cache, const struct dtr_piece *piece, uint8_t *out,
                    size_t length) {
    char name[80];
    uint8_t kept[HASH], hash[HASH];
    name_piece(piece, name);
    const int fd = openat(cache->model, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool whole = read_all(fd, kept, HASH) && read_all(fd, out, length);
    close(fd);
    if (whole) {
        hash_piece(name, out, length, hash);
        whole = !sodium_memcmp(kept, hash, HASH);
    }
    if (!whole) {
        dtr_log(cache->log, DTR_LOG_WARN, "the cache's %.12s/%s is damaged; it is fetched again",
                cache->name, name);
        unlinkat(cache->model, name, 0);
    }
    return whole;
}

static void tell_once(struct dtr_cache *cache, const char *why) {
    if (!cache->told)
        dtr_log(cache->log, DTR_LOG_WARN, "the cache takes no more: %s", why);
    cache->told = true;
}

void dtr_cache_store(struct dtr_cache *cache, const struct dtr_piece *piece, const uint8_t *bytes,
                     size_t length) {
    char name[80], temporary[96];
    uint8_t hash[HASH];
    const char *refused = make_room(cache, HASH + length);
    if (refused) {
        tell_once(cache, refused);
        return;
    }
    name_piece(piece, name);
    snprintf(temporary, sizeof temporary, ".%ld-%s", (long)getpid(), name);
    hash_piece(name, bytes, length, hash);
    const int fd = openat(cache->model, temporary,
                          O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    const bool written = fd >= 0 && write_all(fd, hash, HASH) && write_all(fd, bytes, length);
    if ((fd >= 0 && close(fd)) || !written ||
        renameat(cache->model, temporary, cache->model, name)) {
        tell_once(cache, strerror(errno));
        unlinkat(cache->model, temporary, 0);
        return;
    }
    cache->used += HASH + length;
}

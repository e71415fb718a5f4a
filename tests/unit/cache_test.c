/* SPDX-License-Identifier: MIT
 *
 * cache_test.c -- a worker's cache of weights: what it counts, and what it removes to make room.
 */
#include "folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "run/cache.h"

enum { PIECE = 1000, KEPT = PIECE + 32 };

static const struct dtr_piece piece = {.rows = 1, .columns = PIECE};
static const uint8_t old_digest[32] = {1}, new_digest[32] = {2};
static uint8_t bytes[PIECE];

/* The old model's folder, or what is in it. */
static const char *old_file(struct folder *folder, const char *name) {
    char path[200];
    snprintf(path, sizeof path, "kept/01%062d/%s", 0, name);
    return folder_file(folder, path);
}

static struct dtr_cache *open_cache(struct folder *folder, const uint8_t digest[32],
                                    uint64_t bytes_max, const struct dtr_log *log) {
    struct dtr_cache *cache;
    assert_int_equal(
        dtr_cache_open(folder_file(folder, "kept"), bytes_max, digest, log, &cache, NULL), DTR_OK);
    return cache;
}

/* A cache with a piece of the old model. */
static void keep_old(struct folder *folder) {
    struct dtr_cache *cache = open_cache(folder, old_digest, 10 * KEPT, NULL);
    dtr_cache_store(cache, &piece, bytes, PIECE);
    dtr_cache_close(cache);
}

static void write_old(struct folder *folder, const char *name, size_t length) {
    const int fd = open(old_file(folder, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
    close(fd);
}

static bool is_kept(struct dtr_cache *cache) {
    uint8_t read[PIECE];
    return dtr_cache_load(cache, &piece, read, PIECE);
}

/* What a store left that was killed takes room, and goes with its model. */
static void half_a_piece(void **state) {
    struct folder *folder = *state;
    keep_old(folder);
    write_old(folder, ".17-0-0-1-0-1000", 500);
    struct dtr_cache *cache = open_cache(folder, new_digest, 2 * KEPT, NULL);
    dtr_cache_store(cache, &piece, bytes, PIECE);
    assert_true(is_kept(cache));
    assert_int_not_equal(access(old_file(folder, ""), F_OK), 0);
    dtr_cache_close(cache);
}

/* A folder that is in the way keeps its model's, but what was removed beside it has made room. */
static void stubborn_model(void **state) {
    struct folder *folder = *state;
    struct stat in_the_way;
    char said[200] = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const struct dtr_log log = {.level = DTR_LOG_WARN, .fd = ends[1]};
    keep_old(folder);
    assert_int_equal(mkdir(old_file(folder, "folder"), 0700), 0);
    assert_int_equal(stat(old_file(folder, "folder"), &in_the_way), 0);
    const uint64_t bytes_max = (uint64_t)in_the_way.st_size + KEPT + KEPT / 2;
    struct dtr_cache *cache = open_cache(folder, new_digest, bytes_max, &log);
    dtr_cache_store(cache, &piece, bytes, PIECE);
    assert_false(is_kept(cache));
    assert_true(read(ends[0], said, sizeof said - 1) > 0);
    assert_non_null(strstr(said, "a model that was used longer ago cannot be removed"));
    dtr_cache_store(cache, &piece, bytes, PIECE);
    assert_true(is_kept(cache));
    dtr_cache_close(cache);
    close(ends[0]);
    close(ends[1]);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

static int remove_all(void **state) {
    struct folder *folder = *state;
    const int status = nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return status;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(half_a_piece, folder_make, remove_all),
        cmocka_unit_test_setup_teardown(stubborn_model, folder_make, remove_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

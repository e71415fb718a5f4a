/* SPDX-License-Identifier: MIT */
#include "model/vocabulary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

enum { FILE_LIMIT = 16 << 20, FIRST_READ = 256 << 10 };

static const char continuation[] = "##";
enum { CONTINUATION = sizeof continuation - 1 };

struct dtr_vocabulary_entry {
    uint32_t offset, length;
};

struct dtr_vocabulary_slot {
    uint32_t hash, id_plus_one; /* 0: free */
};

/* FNV-1a, which grows with its input: one pass hashes all beginnings of a word. */
static uint64_t hash_more(uint64_t hash, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_begin(bool continued) {
    return hash_more(0xcbf29ce484222325u, continuation, continued ? CONTINUATION : 0);
}

static uint32_t hash_end(uint64_t hash) {
    return (uint32_t)(hash ^ hash >> 32);
}

static bool entry_is(const struct dtr_vocabulary *vocabulary, uint32_t id, bool continued,
                     const char *bytes, size_t length) {
    const struct dtr_vocabulary_entry *entry = &vocabulary->entries[id];
    const char *token = vocabulary->text + entry->offset;
    if (!continued)
        return entry->length == length && !memcmp(token, bytes, length);
    return entry->length == length + CONTINUATION && !memcmp(token, continuation, CONTINUATION) &&
           !memcmp(token + CONTINUATION, bytes, length);
}

/* The slot of that token, or the free one where it would go. */
static struct dtr_vocabulary_slot *slot_of(const struct dtr_vocabulary *vocabulary, uint32_t hash,
                                           bool continued, const char *bytes, size_t length) {
    for (uint32_t i = hash & vocabulary->mask;; i = (i + 1) & vocabulary->mask) {
        struct dtr_vocabulary_slot *slot = &vocabulary->slots[i];
        if (!slot->id_plus_one || (slot->hash == hash && entry_is(vocabulary, slot->id_plus_one - 1,
                                                                  continued, bytes, length)))
            return slot;
    }
}

static int read_all(int fd, const char *path, char **text_p, size_t *size_p,
                    struct dtr_error *error) {
    char *text = NULL;
    size_t size = 0, capacity = 0;
    for (;;) {
        if (size == capacity) {
            capacity = capacity ? 2 * capacity : FIRST_READ;
            char *larger = realloc(text, capacity + 1);
            if (!larger) {
                free(text);
                return dtr_fail_memory(error);
            }
            text = larger;
        }
        ssize_t got = read(fd, text + size, capacity - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || size + (size_t)got > FILE_LIMIT) {
            const char *why = got < 0 ? strerror(errno) : "too large for a vocabulary";
            free(text);
            return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be read: %s", path, why);
        }
        if (got == 0)
            break;
        size += (size_t)got;
    }
    text[size] = '\0';
    *text_p = text;
    *size_p = size;
    return DTR_OK;
}

static int read_file(const char *path, char **text_p, size_t *size_p, struct dtr_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be opened: %s", path, strerror(errno));
    int status = read_all(fd, path, text_p, size_p, error);
    close(fd);
    return status;
}

/* Where the first line begins: behind a byte-order mark. */
static size_t beginning(const char *text) {
    return strncmp(text, "\xef\xbb\xbf", 3) ? 0 : 3;
}

static int split_lines(struct dtr_vocabulary *vocabulary, size_t size, const char *path,
                       struct dtr_error *error) {
    char *text = vocabulary->text;
    for (size_t at = beginning(text); at < size;) {
        char *end = memchr(text + at, '\n', size - at);
        size_t next = end ? (size_t)(end - text) + 1 : size;
        size_t stop = end ? next - 1 : size;
        stop -= stop > at && text[stop - 1] == '\r';
        if (memchr(text + at, '\0', stop - at) || !dtr_utf8_is_valid(text + at, stop - at))
            return dtr_fail(error, DTR_E_CONFIG, "%s:%u: this line is not UTF-8 text", path,
                            vocabulary->count + 1);
        uint32_t length = (uint32_t)(stop - at);
        text[stop] = '\0';
        vocabulary->entries[vocabulary->count++] = (struct dtr_vocabulary_entry){
            .offset = (uint32_t)at,
            .length = length,
        };
        if (length > vocabulary->longest)
            vocabulary->longest = length;
        at = next;
    }
    return DTR_OK;
}

static void fill_table(struct dtr_vocabulary *vocabulary) {
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        const char *token = dtr_vocabulary_token(vocabulary, id);
        uint32_t length = vocabulary->entries[id].length;
        if (!length)
            continue;
        uint32_t hash = hash_end(hash_more(hash_begin(false), token, length));
        *slot_of(vocabulary, hash, false, token, length) = (struct dtr_vocabulary_slot){
            .hash = hash,
            .id_plus_one = id + 1,
        };
    }
}

int dtr_vocabulary_read(const char *path, struct dtr_vocabulary *vocabulary_p,
                        struct dtr_error *error) {
    struct dtr_vocabulary vocabulary = {.text = NULL};
    size_t size = 0, lines = 1;
    int status = read_file(path, &vocabulary.text, &size, error);
    if (status)
        return status;
    for (size_t i = 0; i < size; i++)
        lines += vocabulary.text[i] == '\n';
    uint32_t slots = 16;
    while (slots < 2 * lines)
        slots *= 2;
    vocabulary.mask = slots - 1;
    vocabulary.entries = calloc(lines, sizeof *vocabulary.entries);
    vocabulary.slots = calloc(slots, sizeof *vocabulary.slots);
    if (!vocabulary.entries || !vocabulary.slots)
        status = dtr_fail_memory(error);
    else
        status = split_lines(&vocabulary, size, path, error);
    if (status) {
        dtr_vocabulary_free(&vocabulary);
        return status;
    }
    fill_table(&vocabulary);
    *vocabulary_p = vocabulary;
    return DTR_OK;
}

void dtr_vocabulary_free(struct dtr_vocabulary *vocabulary) {
    free(vocabulary->text);
    free(vocabulary->entries);
    free(vocabulary->slots);
    *vocabulary = (struct dtr_vocabulary){.text = NULL};
}

const char *dtr_vocabulary_token(const struct dtr_vocabulary *vocabulary, uint32_t id) {
    return vocabulary->text + vocabulary->entries[id].offset;
}

int64_t dtr_vocabulary_find(const struct dtr_vocabulary *vocabulary, const char *bytes,
                            size_t length) {
    uint32_t hash = hash_end(hash_more(hash_begin(false), bytes, length));
    return (int64_t)slot_of(vocabulary, hash, false, bytes, length)->id_plus_one - 1;
}

int64_t dtr_vocabulary_longest(const struct dtr_vocabulary *vocabulary, bool continued,
                               const char *bytes, size_t length, size_t *matched_p) {
    uint64_t hash = hash_begin(continued);
    int64_t found = -1;
    if (length > vocabulary->longest)
        length = vocabulary->longest;
    /* Tokens are whole characters, so a beginning that ends within one is no token. */
    for (size_t i = 1; i <= length; i++) {
        hash = hash_more(hash, bytes + i - 1, 1);
        uint32_t id_plus_one =
            slot_of(vocabulary, hash_end(hash), continued, bytes, i)->id_plus_one;
        if (id_plus_one) {
            found = (int64_t)id_plus_one - 1;
            *matched_p = i;
        }
    }
    return found;
}

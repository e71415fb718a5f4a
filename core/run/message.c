/* SPDX-License-Identifier: MIT */
#include "run/message.h"

#include <stdlib.h>
#include <string.h>

void dtr_writer_clear(struct dtr_writer *writer) {
    writer->length = 0;
    writer->failed = false;
}

void dtr_writer_free(struct dtr_writer *writer) {
    free(writer->bytes);
    *writer = (struct dtr_writer){0};
}

/* Where so many more bytes go, which are counted from now on; NULL when there is no memory. */
static uint8_t *extend(struct dtr_writer *writer, size_t length) {
    if (writer->failed)
        return NULL;
    if (writer->length + length > writer->capacity) {
        const size_t capacity = 2 * (writer->length + length);
        uint8_t *larger = realloc(writer->bytes, capacity);
        if (!larger) {
            writer->failed = true;
            return NULL;
        }
        writer->bytes = larger;
        writer->capacity = capacity;
    }
    writer->length += length;
    return writer->bytes + writer->length - length;
}

void dtr_write_bytes(struct dtr_writer *writer, const void *bytes, size_t length) {
    uint8_t *to = length ? extend(writer, length) : NULL;
    if (to)
        memcpy(to, bytes, length);
}

void dtr_write_u32(struct dtr_writer *writer, uint32_t value) {
    dtr_write_bytes(writer, &value, sizeof value);
}

void dtr_write_u64(struct dtr_writer *writer, uint64_t value) {
    dtr_write_bytes(writer, &value, sizeof value);
}

/* Bits that a number below the bound needs. */
static unsigned bits_of(uint32_t bound) {
    return bound > 2 ? 32 - (unsigned)__builtin_clz(bound - 1) : 1;
}

static uint32_t mask_of(unsigned bits) {
    return (uint32_t)((UINT64_C(1) << bits) - 1);
}

void dtr_write_numbers(struct dtr_writer *writer, const uint32_t *numbers, size_t count,
                       uint32_t bound) {
    const unsigned bits = bits_of(bound);
    uint8_t *to = count ? extend(writer, (count * bits + 7) / 8) : NULL;
    uint64_t waiting = 0;
    unsigned have = 0;
    for (size_t i = 0; i < count && to; i++) {
        waiting |= (uint64_t)(numbers[i] & mask_of(bits)) << have;
        for (have += bits; have >= 8; have -= 8, waiting >>= 8)
            *to++ = (uint8_t)waiting;
    }
    if (to && have)
        *to = (uint8_t)waiting;
}

void dtr_write_text(struct dtr_writer *writer, const char *text) {
    const char *written = text ? text : "";
    dtr_write_u32(writer, (uint32_t)strlen(written) + 1);
    dtr_write_bytes(writer, written, strlen(written) + 1);
}

const void *dtr_read_bytes(struct dtr_reader *reader, size_t length) {
    if (reader->broken || length > reader->length - reader->at) {
        reader->broken = true;
        return NULL;
    }
    const void *bytes = reader->bytes + reader->at;
    reader->at += length;
    return bytes;
}

uint32_t dtr_read_u32(struct dtr_reader *reader) {
    uint32_t value = 0;
    const void *bytes = dtr_read_bytes(reader, sizeof value);
    if (bytes)
        memcpy(&value, bytes, sizeof value);
    return value;
}

uint64_t dtr_read_u64(struct dtr_reader *reader) {
    uint64_t value = 0;
    const void *bytes = dtr_read_bytes(reader, sizeof value);
    if (bytes)
        memcpy(&value, bytes, sizeof value);
    return value;
}

void dtr_read_words(struct dtr_reader *reader, uint32_t *words, size_t count) {
    if (count > reader->length / sizeof *words) {
        reader->broken = true;
        return;
    }
    const void *bytes = dtr_read_bytes(reader, count * sizeof *words);
    if (bytes && count)
        memcpy(words, bytes, count * sizeof *words);
}

void dtr_read_numbers(struct dtr_reader *reader, uint32_t *numbers, size_t count, uint32_t bound) {
    const unsigned bits = bits_of(bound);
    if (count > reader->length * 8 / bits) {
        reader->broken = true;
        return;
    }
    const uint8_t *bytes = dtr_read_bytes(reader, (count * bits + 7) / 8);
    uint64_t waiting = 0;
    unsigned have = 0;
    for (size_t i = 0; i < count && bytes; i++) {
        for (; have < bits; have += 8)
            waiting |= (uint64_t)*bytes++ << have;
        numbers[i] = (uint32_t)waiting & mask_of(bits);
        waiting >>= bits;
        have -= bits;
    }
}

const char *dtr_read_text(struct dtr_reader *reader) {
    const uint32_t length = dtr_read_u32(reader);
    const char *text = dtr_read_bytes(reader, length);
    if (text && length && text[length - 1] == '\0' && strlen(text) == length - 1)
        return text;
    reader->broken = true;
    return "";
}

bool dtr_reader_done(const struct dtr_reader *reader) {
    return !reader->broken && reader->at == reader->length;
}

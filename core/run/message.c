/* SPDX-License-Identifier: MIT */
#include "run/message.h"

#include <endian.h>
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

/* Bytes that a number below the bound needs. */
static size_t width_of(uint32_t bound) {
    return bound <= 1u << 8 ? 1 : bound <= 1u << 16 ? 2 : 4;
}

void dtr_write_numbers(struct dtr_writer *writer, const uint32_t *numbers, size_t count,
                       uint32_t bound) {
    const size_t width = width_of(bound);
    uint8_t *to = count ? extend(writer, count * width) : NULL;
    for (size_t i = 0; i < count && to; i++) {
        const uint32_t little = htole32(numbers[i]);
        memcpy(to + i * width, &little, width);
    }
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
    const size_t width = width_of(bound);
    if (count > reader->length / width) {
        reader->broken = true;
        return;
    }
    const uint8_t *bytes = dtr_read_bytes(reader, count * width);
    for (size_t i = 0; i < count && bytes; i++) {
        uint32_t little = 0;
        memcpy(&little, bytes + i * width, width);
        numbers[i] = le32toh(little);
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

/* SPDX-License-Identifier: MIT
 *
 * message.h -- writing and reading the bytes of control frames.  A reader never goes past the end:
 * what is missing reads as zero and leaves the reader broken, which is checked once.
 */
#ifndef DTR_RUN_MESSAGE_H
#define DTR_RUN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes under construction; the memory is used again after dtr_writer_clear(). */
struct dtr_writer {
    uint8_t *bytes;
    size_t length, capacity;
    bool failed; /* out of memory */
};

void dtr_writer_clear(struct dtr_writer *writer);
void dtr_writer_free(struct dtr_writer *writer);
void dtr_write_bytes(struct dtr_writer *writer, const void *bytes, size_t length);
void dtr_write_u32(struct dtr_writer *writer, uint32_t value);
void dtr_write_u64(struct dtr_writer *writer, uint64_t value);
void dtr_write_text(struct dtr_writer *writer, const char *text); /* NULL as "" */

/* Each in as few bits as all numbers below the bound need, which both ends know; the whole in
 * bytes. */
void dtr_write_numbers(struct dtr_writer *writer, const uint32_t *numbers, size_t count,
                       uint32_t bound);

struct dtr_reader {
    const uint8_t *bytes;
    size_t length, at;
    bool broken;
};

const void *dtr_read_bytes(struct dtr_reader *reader, size_t length); /* NULL when too short */
uint32_t dtr_read_u32(struct dtr_reader *reader);
uint64_t dtr_read_u64(struct dtr_reader *reader);

/* Copies 32-bit words, or numbers below the bound; `count` was read from the message and is checked
 * here, the numbers are not. */
void dtr_read_words(struct dtr_reader *reader, uint32_t *words, size_t count);
void dtr_read_numbers(struct dtr_reader *reader, uint32_t *numbers, size_t count, uint32_t bound);

/* Points into the message; "" when broken. */
const char *dtr_read_text(struct dtr_reader *reader);

/* All was there, and nothing is left over. */
bool dtr_reader_done(const struct dtr_reader *reader);

#endif

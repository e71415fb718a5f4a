/* SPDX-License-Identifier: MIT
 *
 * vocabulary.h -- a WordPiece vocabulary: a text file with one token a line, whose number, from 0,
 * is the token's id.  Tokens that go on a word begin with "##".
 */
#ifndef DTR_MODEL_VOCABULARY_H
#define DTR_MODEL_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dtr_vocabulary {
    char *text; /* the file, each line ended by a zero */
    struct dtr_vocabulary_entry *entries;
    uint32_t count;
    uint32_t longest;                  /* bytes of the longest token */
    struct dtr_vocabulary_slot *slots; /* a hash table of mask + 1 slots */
    uint32_t mask;
};

/* Reads the file, which may be a pipe; lines end with LF or CR LF.  Empty lines count but are no
 * tokens; of tokens written twice the later one counts, as in BERT's own tokenizer.  What is not
 * UTF-8 or larger than 16 MiB is refused.  DTR_E_CONFIG, DTR_E_MEMORY. */
int dtr_vocabulary_read(const char *path, struct dtr_vocabulary *vocabulary_p,
                        struct dtr_error *error);
void dtr_vocabulary_free(struct dtr_vocabulary *vocabulary);

/* Zero-terminated; `id` is below count. */
const char *dtr_vocabulary_token(const struct dtr_vocabulary *vocabulary, uint32_t id);

/* The token that is exactly these bytes, or -1. */
int64_t dtr_vocabulary_find(const struct dtr_vocabulary *vocabulary, const char *bytes,
                            size_t length);

/* The longest token that these bytes (UTF-8) begin with, or -1; `continued`: among those that begin
 * with "##", which is not part of the bytes.  *matched_p: how many bytes it covers, at least 1. */
int64_t dtr_vocabulary_longest(const struct dtr_vocabulary *vocabulary, bool continued,
                               const char *bytes, size_t length, size_t *matched_p);

#endif

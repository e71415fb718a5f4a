/* SPDX-License-Identifier: MIT
 *
 * vocab_fuzz.c -- a vocabulary, and texts through its tokenizer.  Input: a byte of options, two
 * with the vocabulary's length, the vocabulary, and a text (two where a TAB is in it).
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "model/tokenizer.h"

static const char specials[] = "[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

enum { LIMIT = 24 };

static void check(const struct dtr_tokenizer *tokenizer, const struct dtr_tokens *tokens,
                  size_t length) {
    for (size_t i = 0; i < tokens->count; i++) {
        fuzz_need(tokens->ids[i] < dtr_tokenizer_size(tokenizer), "no such token");
        fuzz_need(tokens->begin[i] < tokens->end[i] && tokens->end[i] <= length,
                  "a token stands for no part of the text");
        fuzz_need(!i || tokens->begin[i - 1] <= tokens->begin[i], "tokens go back in the text");
        dtr_tokenizer_token(tokenizer, tokens->ids[i]);
    }
}

static void make_sequence(const struct dtr_tokenizer *tokenizer, const char *text, size_t length,
                          uint32_t limit, bool keep_first) {
    uint32_t memory[4][LIMIT];
    struct dtr_sequence sequence = {memory[0], memory[1], memory[2], memory[3], 0, 0, false};
    struct dtr_error error = {0};
    const char *tab = memchr(text, '\t', length);
    const size_t first = tab ? (size_t)(tab - text) : length;
    const int status =
        dtr_tokenizer_sequence(tokenizer, text, first, tab ? tab + 1 : NULL,
                               tab ? length - first - 1 : 0, limit, keep_first, &sequence, &error);
    if (fuzz_sentence(status, &error))
        fuzz_need(sequence.count <= limit && sequence.second <= sequence.count,
                  "a sequence is too long");
}

static void encode(const struct dtr_tokenizer *tokenizer, const char *text, size_t length,
                   uint8_t choice) {
    struct dtr_tokens tokens = {0};
    struct dtr_error error = {0};
    if (fuzz_sentence(dtr_tokenizer_encode(tokenizer, text, length, &tokens, &error), &error))
        check(tokenizer, &tokens, length);
    dtr_tokens_free(&tokens);
    make_sequence(tokenizer, text, length, choice % (LIMIT + 1), choice & 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    const uint8_t choice = fuzz_byte(&bytes), high = fuzz_byte(&bytes), low = fuzz_byte(&bytes);
    const size_t before = choice & 128 ? sizeof specials - 1 : 0;
    size_t length;
    const uint8_t *vocab = fuzz_take(&bytes, (size_t)high << 8 | low, &length);
    uint8_t *lines = malloc(before + length + 1);
    fuzz_need(lines != NULL, "no memory");
    memcpy(lines, specials, before);
    memcpy(lines + before, vocab, length);
    struct dtr_tokenizer *tokenizer;
    struct dtr_error error = {0};
    const char *path = fuzz_file("vocab.txt", lines, before + length);
    free(lines);
    if (!fuzz_sentence(dtr_tokenizer_open(path, choice & 32, &tokenizer, &error), &error))
        return 0;
    encode(tokenizer, (const char *)bytes.data, bytes.size, choice);
    dtr_tokenizer_close(tokenizer);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/vocabulary.h"
#include "model/words.h"

/* Longer words are [UNK], as in BERT's WordPiece. */
enum { LONGEST_WORD = 100, SPECIALS = 5 };

struct dtr_tokenizer {
    struct dtr_vocabulary vocabulary;
    struct dtr_words_options options;
    const char *whole[SPECIALS];
    uint32_t unknown, classify, separate;
};

struct job {
    const struct dtr_tokenizer *tokenizer;
    const char *text;
    struct dtr_tokens *tokens;
};

static int need(const struct dtr_tokenizer *tokenizer, const char *path, const char *token,
                uint32_t *id_p, struct dtr_error *error) {
    int64_t id = dtr_tokenizer_id(tokenizer, token);
    if (id < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: not a BERT vocabulary, it has no line %s", path,
                        token);
    *id_p = (uint32_t)id;
    return DTR_OK;
}

static void find_specials(struct dtr_tokenizer *tokenizer) {
    static const char *const specials[SPECIALS] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    for (size_t i = 0; i < SPECIALS; i++)
        if (dtr_tokenizer_id(tokenizer, specials[i]) >= 0)
            tokenizer->whole[tokenizer->options.whole_count++] = specials[i];
    tokenizer->options.whole = tokenizer->whole;
}

int dtr_tokenizer_open(const char *vocab, bool cased, struct dtr_tokenizer **tokenizer_p,
                       struct dtr_error *error) {
    struct dtr_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return dtr_fail_memory(error);
    tokenizer->options.lower = tokenizer->options.strip_accents = !cased;
    int status = dtr_vocabulary_read(vocab, &tokenizer->vocabulary, error);
    if (!status)
        status = need(tokenizer, vocab, "[UNK]", &tokenizer->unknown, error);
    if (!status)
        status = need(tokenizer, vocab, "[CLS]", &tokenizer->classify, error);
    if (!status)
        status = need(tokenizer, vocab, "[SEP]", &tokenizer->separate, error);
    if (status) {
        dtr_tokenizer_close(tokenizer);
        return status;
    }
    find_specials(tokenizer);
    *tokenizer_p = tokenizer;
    return DTR_OK;
}

void dtr_tokenizer_close(struct dtr_tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    dtr_vocabulary_free(&tokenizer->vocabulary);
    free(tokenizer);
}

uint32_t dtr_tokenizer_size(const struct dtr_tokenizer *tokenizer) {
    return tokenizer->vocabulary.count;
}

const char *dtr_tokenizer_token(const struct dtr_tokenizer *tokenizer, uint32_t id) {
    if (id >= tokenizer->vocabulary.count)
        id = tokenizer->unknown;
    return dtr_vocabulary_token(&tokenizer->vocabulary, id);
}

int64_t dtr_tokenizer_id(const struct dtr_tokenizer *tokenizer, const char *token) {
    return dtr_vocabulary_find(&tokenizer->vocabulary, token, strlen(token));
}

static int grow(uint32_t **array, size_t capacity) {
    uint32_t *larger = realloc(*array, capacity * sizeof *larger);
    if (!larger)
        return DTR_E_MEMORY;
    *array = larger;
    return DTR_OK;
}

static int append(struct dtr_tokens *tokens, int64_t id, uint32_t begin, uint32_t end) {
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? 2 * tokens->capacity : 64;
        if (grow(&tokens->ids, capacity) || grow(&tokens->begin, capacity) ||
            grow(&tokens->end, capacity))
            return DTR_E_MEMORY;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count] = (uint32_t)id;
    tokens->begin[tokens->count] = begin;
    tokens->end[tokens->count] = end;
    tokens->count++;
    return DTR_OK;
}

static int append_unknown(const struct job *job, const struct dtr_word *word) {
    return append(job->tokens, job->tokenizer->unknown, word->begin, word->end);
}

/* WordPiece: from the left the longest token each time; [UNK] for all of a word that cannot be
 * covered. */
static int append_pieces(const struct job *job, const struct dtr_word *word) {
    utf8proc_uint8_t bytes[4 * LONGEST_WORD];
    size_t start[LONGEST_WORD + 1]; /* of each character, in bytes */
    const size_t before = job->tokens->count;
    start[0] = 0;
    for (size_t i = 0; i < word->count; i++)
        start[i + 1] =
            start[i] + (size_t)utf8proc_encode_char(word->characters[i].code, bytes + start[i]);
    for (size_t from = 0, to; from < word->count; from = to) {
        size_t matched;
        int64_t id = dtr_vocabulary_longest(&job->tokenizer->vocabulary, from > 0,
                                            (const char *)bytes + start[from],
                                            start[word->count] - start[from], &matched);
        if (id < 0) {
            job->tokens->count = before;
            return append_unknown(job, word);
        }
        for (to = from + 1; start[to] < start[from] + matched;)
            to++;
        int status =
            append(job->tokens, id, word->characters[from].begin, word->characters[to - 1].end);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int append_word(void *context, const struct dtr_word *word) {
    const struct job *job = context;
    if (!word->characters)
        return append(job->tokens,
                      dtr_vocabulary_find(&job->tokenizer->vocabulary, job->text + word->begin,
                                          word->end - word->begin),
                      word->begin, word->end);
    return word->count > LONGEST_WORD ? append_unknown(job, word) : append_pieces(job, word);
}

int dtr_tokenizer_encode(const struct dtr_tokenizer *tokenizer, const char *text, size_t length,
                         struct dtr_tokens *tokens, struct dtr_error *error) {
    struct job job = {.tokenizer = tokenizer, .text = text, .tokens = tokens};
    tokens->count = 0;
    if (length > UINT32_MAX)
        return dtr_fail(error, DTR_E_CONFIG, "a text of %zu bytes is too long", length);
    int status = dtr_words(&tokenizer->options, text, (uint32_t)length, append_word, &job);
    if (!status)
        return DTR_OK;
    tokens->count = 0;
    return dtr_fail_memory(error);
}

void dtr_tokens_free(struct dtr_tokens *tokens) {
    free(tokens->ids);
    free(tokens->begin);
    free(tokens->end);
    *tokens = (struct dtr_tokens){.ids = NULL};
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many tokens of the first side stay where `room` is too small for both.  BERT's own scripts
 * take one from the longer side, or at a tie from the second, until the rest fits: this is where
 * that ends. */
static size_t truncated_first(size_t first, size_t second, size_t room, bool keep_first) {
    if (keep_first)
        return smaller(first, room);
    const size_t half = room / 2;
    return smaller(first, second <= half ? room - second : room - half);
}

static void put(struct dtr_sequence *sequence, uint32_t id, uint32_t type, uint32_t begin,
                uint32_t end) {
    const uint32_t at = sequence->count++;
    sequence->ids[at] = id;
    sequence->types[at] = type;
    sequence->begin[at] = begin;
    sequence->end[at] = end;
}

static void put_side(struct dtr_sequence *sequence, struct dtr_token_run run, uint32_t type,
                     uint32_t separate) {
    const struct dtr_tokens *tokens = run.tokens;
    for (size_t i = run.from; i < run.from + run.count; i++)
        put(sequence, tokens->ids[i], type, tokens->begin[i], tokens->end[i]);
    put(sequence, separate, type, 0, 0);
}

static void put_first(const struct dtr_tokenizer *tokenizer, struct dtr_token_run first,
                      struct dtr_sequence *sequence) {
    sequence->count = 0;
    put(sequence, tokenizer->classify, 0, 0, 0);
    put_side(sequence, first, 0, tokenizer->separate);
    sequence->second = sequence->count;
}

void dtr_tokenizer_pair(const struct dtr_tokenizer *tokenizer, struct dtr_token_run first,
                        struct dtr_token_run second, struct dtr_sequence *sequence) {
    put_first(tokenizer, first, sequence);
    put_side(sequence, second, 1, tokenizer->separate);
    sequence->truncated = false;
}

int dtr_tokenizer_sequence(const struct dtr_tokenizer *tokenizer, const char *first,
                           size_t first_length, const char *second, size_t second_length,
                           uint32_t limit, bool keep_first, struct dtr_sequence *sequence,
                           struct dtr_error *error) {
    const uint32_t specials = second ? 3 : 2;
    if (limit < specials)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%u tokens leave no room for the %u special ones of a %s", limit, specials,
                        second ? "pair" : "text");
    struct dtr_tokens a = {.ids = NULL}, b = {.ids = NULL};
    int status = dtr_tokenizer_encode(tokenizer, first, first_length, &a, error);
    if (!status && second)
        status = dtr_tokenizer_encode(tokenizer, second, second_length, &b, error);
    if (!status) {
        const size_t room = limit - specials;
        const bool truncated = a.count + b.count > room;
        const size_t keep =
            truncated ? truncated_first(a.count, b.count, room, keep_first) : a.count;
        const struct dtr_token_run rest = {&b, 0, truncated ? room - keep : b.count};
        put_first(tokenizer, (struct dtr_token_run){&a, 0, keep}, sequence);
        if (second)
            put_side(sequence, rest, 1, tokenizer->separate);
        sequence->truncated = truncated;
    }
    dtr_tokens_free(&a);
    dtr_tokens_free(&b);
    return status;
}

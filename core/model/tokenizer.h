/* SPDX-License-Identifier: MIT
 *
 * tokenizer.h -- BERT's tokenizer (Devlin et al. 2019): clean-up, CJK spacing, lower case and
 * accents for uncased vocabularies, punctuation, then greedy longest-match WordPiece.
 */
#ifndef DTR_MODEL_TOKENIZER_H
#define DTR_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dtr_tokenizer;

/* `vocab`: a file with one token a line (model/vocabulary.h); it must hold [UNK], [CLS] and [SEP]
 * (nothing is ever padded).  DTR_E_CONFIG. */
int dtr_tokenizer_open(const char *vocab, bool cased, struct dtr_tokenizer **tokenizer_p,
                       struct dtr_error *error);
void dtr_tokenizer_close(struct dtr_tokenizer *tokenizer);

uint32_t dtr_tokenizer_size(const struct dtr_tokenizer *tokenizer);

/* As the vocabulary writes it ("##ing"); "[UNK]" for an id that it does not reach. */
const char *dtr_tokenizer_token(const struct dtr_tokenizer *tokenizer, uint32_t id);

/* -1 where the vocabulary has no such token ("[MASK]"). */
int64_t dtr_tokenizer_id(const struct dtr_tokenizer *tokenizer, const char *token);

/* One piece of text as token ids, special tokens left out.  Those written in the text stay whole,
 * wherever they stand ([MASK], in capitals), as far as the vocabulary has them; bytes that are not
 * UTF-8 are passed over.  begin/end: byte offsets in `text` of what each token stands for.  The
 * arrays are written anew, grow as needed and belong to the caller, who zeroes the struct first and
 * frees them with dtr_tokens_free().  Any thread. */
struct dtr_tokens {
    uint32_t *ids;
    uint32_t *begin, *end;
    size_t count, capacity;
};
int dtr_tokenizer_encode(const struct dtr_tokenizer *tokenizer, const char *text, size_t length,
                         struct dtr_tokens *tokens, struct dtr_error *error);
void dtr_tokens_free(struct dtr_tokens *tokens);

/* One sequence for the model: [CLS] first [SEP], or [CLS] first [SEP] second [SEP] with token types
 * 0 and 1.  Truncated to `limit` tokens, special ones counted: a pair loses its last tokens from
 * the longer side first, or only from the second when `keep_first` (questions stay whole as far as
 * possible).  `second` is NULL without a pair.  Arrays of the result hold `limit` entries and
 * belong to the caller.  DTR_E_CONFIG when the special tokens alone exceed `limit`. */
struct dtr_sequence {
    uint32_t *ids, *types;
    uint32_t *begin, *end; /* byte offsets in the text of the side, 0 for special tokens */
    uint32_t count;
    uint32_t second; /* index of the first token of the second text, or count */
    bool truncated;
};
int dtr_tokenizer_sequence(const struct dtr_tokenizer *tokenizer, const char *first,
                           size_t first_length, const char *second, size_t second_length,
                           uint32_t limit, bool keep_first, struct dtr_sequence *sequence,
                           struct dtr_error *error);

/* The same from tokens: [CLS] first [SEP] second [SEP].  Nothing is truncated; arrays hold all of
 * them and the three special ones. */
struct dtr_token_run {
    const struct dtr_tokens *tokens;
    size_t from, count;
};
void dtr_tokenizer_pair(const struct dtr_tokenizer *tokenizer, struct dtr_token_run first,
                        struct dtr_token_run second, struct dtr_sequence *sequence);

#endif

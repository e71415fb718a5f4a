/* SPDX-License-Identifier: MIT
 *
 * words.h -- BERT's basic tokenizer: text to the words and punctuation marks that WordPiece then
 * takes apart.  Every character knows which bytes of the text it stands for.
 */
#ifndef DTR_MODEL_WORDS_H
#define DTR_MODEL_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dtr_words_options {
    bool lower;
    bool strip_accents; /* canonical decomposition, then without non-spacing marks */
    /* Strings that stay whole, untouched, wherever they are in the text; `whole_count` of them. */
    const char *const *whole;
    size_t whole_count;
};

struct dtr_character {
    int32_t code;        /* Unicode */
    uint32_t begin, end; /* bytes of the text, with the marks that were dropped behind it */
};

struct dtr_word {
    const struct dtr_character *characters; /* NULL: one of those that stay whole */
    size_t count;
    uint32_t begin, end; /* bytes of the text */
};

/* Another value than 0 ends the walk and is handed up. */
typedef int (*dtr_word_fn)(void *context, const struct dtr_word *word);

/* Calls `found` for each word in turn.  Bytes that are not UTF-8 are passed over.  0, what `found`
 * returned, or DTR_E_MEMORY.
 *
 * As in the tokenizer that BERT was trained with (google-research/bert, tokenization.py) and in
 * Hugging Face's: control characters, those without a meaning, U+0000 and U+FFFD go; CJK
 * ideographs are words of their own; lower-casing is Unicode's full one, so a sigma that ends a
 * word becomes U+03C2.  Cased text is not normalised. */
int dtr_words(const struct dtr_words_options *options, const char *text, uint32_t length,
              dtr_word_fn found, void *context);

/* Unicode's full lower case of a character in its text: one or two characters, which it returns the
 * number of. */
size_t dtr_lower_case(const struct dtr_character *text, size_t count, size_t at, int32_t lower[2]);

#endif

/* SPDX-License-Identifier: MIT */
#include "base/suggest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Longer words are no slips of the finger. */
#define WORD_MAX 63u

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Optimal string alignment distance: insertions, deletions, substitutions, and swaps of
 * neighbours; upper and lower case are alike. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    uint8_t row[3][WORD_MAX + 1];
    uint8_t *before = row[0], *above = row[1], *here = row[2];
    for (size_t j = 0; j <= b_length; j++)
        above[j] = (uint8_t)j;
    for (size_t i = 1; i <= a_length; i++) {
        here[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_length; j++) {
            const char p = lower(a[i - 1]), q = lower(b[j - 1]);
            size_t d = least(above[j] + 1u, here[j - 1] + 1u);
            d = least(d, above[j - 1] + (p != q));
            if (i > 1 && j > 1 && p == lower(b[j - 2]) && lower(a[i - 2]) == q)
                d = least(d, before[j - 2] + 1u);
            here[j] = (uint8_t)d;
        }
        uint8_t *oldest = before;
        before = above;
        above = here;
        here = oldest;
    }
    return above[b_length];
}

void dtr_suggest_offer(struct dtr_suggestion *suggestion, const char *candidate) {
    const size_t a = strlen(suggestion->word), b = strlen(candidate);
    if (!a || !b || a > WORD_MAX || b > WORD_MAX)
        return;
    const size_t d = distance(suggestion->word, a, candidate, b);
    const size_t longer = a > b ? a : b;
    if (d > (longer + 1) / 3 || (suggestion->best && d >= suggestion->distance))
        return;
    suggestion->best = candidate;
    suggestion->distance = d;
}

const char *dtr_suggest_text(const struct dtr_suggestion *suggestion, char *text, size_t bytes) {
    if (suggestion->best)
        snprintf(text, bytes, "; did you mean '%s'?", suggestion->best);
    else if (bytes)
        text[0] = '\0';
    return text;
}

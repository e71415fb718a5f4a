/* SPDX-License-Identifier: MIT
 *
 * suggest.h -- "did you mean": the known word nearest to one that is not known, by edit distance.
 * Words are offered one after the other, so that no list has to be made first.
 */
#ifndef DTR_BASE_SUGGEST_H
#define DTR_BASE_SUGGEST_H

#include <stddef.h>

struct dtr_suggestion {
    const char *word; /* what was written */
    const char *best; /* the nearest so far, as offered; NULL: none is near enough to be meant */
    size_t distance;  /* of `best` */
};

/* `candidate` stays the caller's and is kept by reference. */
void dtr_suggest_offer(struct dtr_suggestion *suggestion, const char *candidate);

/* "; did you mean 'x'?", or "" when nothing is near.  Returns `text`. */
const char *dtr_suggest_text(const struct dtr_suggestion *suggestion, char *text, size_t bytes);

#endif

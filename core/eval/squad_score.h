/* SPDX-License-Identifier: MIT
 *
 * squad_score.h -- an answer against the right ones by the rules of SQuAD's own evaluation script,
 * version 1.1 (Rajpurkar et al. 2016).
 */
#ifndef DTR_EVAL_SQUAD_SCORE_H
#define DTR_EVAL_SQUAD_SCORE_H

#include "base/error.h"

/* A text as it is compared: in lower case, without ASCII punctuation, without the words a, an and
 * the, words separated by one blank.  "Lower case", "word" and "blank" are Python's, over Unicode.
 * The caller frees it.  NULL: no memory. */
char *dtr_squad_normalize(const char *text);

/* 1 for the same, and how much the words have in common; both texts normalized.  Two empty texts
 * are the same and have nothing in common.  DTR_E_MEMORY. */
struct dtr_squad_score {
    double exact, f1;
};
int dtr_squad_compare(const char *answer, const char *right, struct dtr_squad_score *score,
                      struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * answer.h -- the answer to a question out of the logits for where it begins and ends (Devlin et
 * al. 2019, section 4.2).
 */
#ifndef DTR_MODEL_ANSWER_H
#define DTR_MODEL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

enum { DTR_ANSWER_CANDIDATES_MAX = 100 };

struct dtr_answer_request {
    const float *logits; /* [tokens, 2]: beginning, end */
    uint32_t tokens;
    /* An answer begins at one of [first, last) and ends before `end`. */
    uint32_t first, last, end;
    uint32_t longest;    /* in tokens */
    uint32_t candidates; /* only the likeliest beginnings and ends are looked at: how many of each,
                            at most DTR_ANSWER_CANDIDATES_MAX */
};

struct dtr_answer {
    uint32_t first, last; /* tokens */
    double score;         /* the sum of the two logits */
};

/* The pair with the highest sum; among equals the one whose beginning is likelier.  False when no
 * pair of candidates is an answer. */
bool dtr_answer_find(const struct dtr_answer_request *request, struct dtr_answer *answer);

#endif

/* SPDX-License-Identifier: MIT */
#include "model/answer.h"

#include <stddef.h>

struct ranked {
    uint32_t token[DTR_ANSWER_CANDIDATES_MAX];
    uint32_t count;
};

/* The tokens with the highest logits in a column, the highest first; of equals the earlier. */
static void rank(const struct dtr_answer_request *request, uint32_t column, struct ranked *ranked) {
    const float *logits = request->logits + column;
    const uint32_t most = request->candidates < DTR_ANSWER_CANDIDATES_MAX
                              ? request->candidates
                              : DTR_ANSWER_CANDIDATES_MAX;
    ranked->count = 0;
    for (uint32_t i = 0; i < request->tokens; i++) {
        const float value = logits[2 * (size_t)i];
        uint32_t at = ranked->count;
        while (at > 0 && value > logits[2 * (size_t)ranked->token[at - 1]])
            at--;
        if (at == most)
            continue;
        if (ranked->count < most)
            ranked->count++;
        for (uint32_t j = ranked->count - 1; j > at; j--)
            ranked->token[j] = ranked->token[j - 1];
        ranked->token[at] = i;
    }
}

bool dtr_answer_find(const struct dtr_answer_request *request, struct dtr_answer *answer) {
    struct ranked firsts, lasts;
    bool found = false;
    rank(request, 0, &firsts);
    rank(request, 1, &lasts);
    for (uint32_t i = 0; i < firsts.count; i++)
        for (uint32_t j = 0; j < lasts.count; j++) {
            const uint32_t first = firsts.token[i], last = lasts.token[j];
            if (first < request->first || first >= request->last || last < first ||
                last >= request->end || last - first >= request->longest)
                continue;
            const double score =
                (double)request->logits[2 * (size_t)first] + request->logits[2 * (size_t)last + 1];
            if (found && score <= answer->score)
                continue;
            *answer = (struct dtr_answer){first, last, score};
            found = true;
        }
    return found;
}

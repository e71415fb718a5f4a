/* SPDX-License-Identifier: MIT
 *
 * sequences.h -- the token sequences of an evaluation, and requests that take them in batches.
 * Sequences of like length travel together, so that most requests have a shape that was seen
 * before.
 */
#ifndef DTR_EVAL_SEQUENCES_H
#define DTR_EVAL_SEQUENCES_H

#include "run/device.h"

struct dtr_eval_sequence {
    size_t ids; /* where its ids begin */
    uint32_t count;
    uint32_t second; /* index of the first token of type 1, or count */
};

struct dtr_sequences {
    uint32_t *ids; /* of all, one after the other */
    size_t ids_count, ids_capacity;
    struct dtr_eval_sequence *sequence;
    size_t count, capacity;
    uint32_t *order; /* [count]: the sequences, the shortest first */
    uint32_t longest;
    size_t truncated; /* those that lost tokens */
    /* One request, with room for the largest. */
    uint32_t batch;
    uint32_t *lengths, *request_ids, *types, *select;
};

/* Appends a sequence, whose number is the count before.  DTR_E_CONFIG beyond 2^28 tokens. */
int dtr_sequences_add(struct dtr_sequences *sequences, const uint32_t *ids, uint32_t count,
                      uint32_t second, struct dtr_error *error);

/* All are there: puts them in order.  `batch` of them make a request. */
int dtr_sequences_close(struct dtr_sequences *sequences, uint32_t batch, struct dtr_error *error);
void dtr_sequences_free(struct dtr_sequences *sequences);

size_t dtr_sequences_requests(const struct dtr_sequences *sequences);

/* Request `number`; it lives until the next call.  `first_rows`: only the row of each sequence's
 * first token is wanted. */
void dtr_sequences_request(struct dtr_sequences *sequences, size_t number, bool first_rows,
                           struct dtr_request *request);

#endif

/* SPDX-License-Identifier: MIT */
#include "eval/sequences.h"

#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX ((size_t)1 << 28)

static int reserve(struct dtr_sequences *sequences, uint32_t count) {
    if (sequences->count == sequences->capacity) {
        const size_t capacity = sequences->capacity ? 2 * sequences->capacity : 1024;
        struct dtr_eval_sequence *larger =
            realloc(sequences->sequence, capacity * sizeof *sequences->sequence);
        if (!larger)
            return DTR_E_MEMORY;
        sequences->sequence = larger;
        sequences->capacity = capacity;
    }
    if (sequences->ids_capacity - sequences->ids_count < count) {
        const size_t capacity = 2 * sequences->ids_capacity + count;
        uint32_t *larger = realloc(sequences->ids, capacity * sizeof *larger);
        if (!larger)
            return DTR_E_MEMORY;
        sequences->ids = larger;
        sequences->ids_capacity = capacity;
    }
    return DTR_OK;
}

int dtr_sequences_add(struct dtr_sequences *sequences, const uint32_t *ids, uint32_t count,
                      uint32_t second, struct dtr_error *error) {
    if (count > TOKENS_MAX - sequences->ids_count)
        return dtr_fail(error, DTR_E_CONFIG, "these are more than %zu tokens", TOKENS_MAX);
    if (reserve(sequences, count))
        return dtr_fail_memory(error);
    memcpy(sequences->ids + sequences->ids_count, ids, count * sizeof *ids);
    sequences->sequence[sequences->count++] = (struct dtr_eval_sequence){
        .ids = sequences->ids_count,
        .count = count,
        .second = second,
    };
    sequences->ids_count += count;
    if (count > sequences->longest)
        sequences->longest = count;
    return DTR_OK;
}

/* By counting, which keeps the order of equals. */
static int sort(struct dtr_sequences *sequences) {
    const size_t lengths = (size_t)sequences->longest + 2;
    size_t *place = calloc(lengths, sizeof *place);
    sequences->order = calloc(sequences->count ? sequences->count : 1, sizeof *sequences->order);
    if (place && sequences->order) {
        for (size_t i = 0; i < sequences->count; i++)
            place[sequences->sequence[i].count + 1]++;
        for (size_t i = 1; i < lengths; i++)
            place[i] += place[i - 1];
        for (size_t i = 0; i < sequences->count; i++)
            sequences->order[place[sequences->sequence[i].count]++] = (uint32_t)i;
    }
    const bool done = place && sequences->order;
    free(place);
    return done ? DTR_OK : DTR_E_MEMORY;
}

int dtr_sequences_close(struct dtr_sequences *sequences, uint32_t batch, struct dtr_error *error) {
    const size_t tokens = (size_t)batch * sequences->longest;
    sequences->batch = batch;
    sequences->lengths = calloc(batch, sizeof *sequences->lengths);
    sequences->select = calloc(batch, sizeof *sequences->select);
    sequences->request_ids = calloc(tokens, sizeof *sequences->request_ids);
    sequences->types = calloc(tokens, sizeof *sequences->types);
    const bool allocated = sequences->lengths && sequences->select && sequences->request_ids &&
                           sequences->types && sort(sequences) == DTR_OK;
    return allocated ? DTR_OK : dtr_fail_memory(error);
}

void dtr_sequences_free(struct dtr_sequences *sequences) {
    free(sequences->ids);
    free(sequences->sequence);
    free(sequences->order);
    free(sequences->lengths);
    free(sequences->select);
    free(sequences->request_ids);
    free(sequences->types);
    *sequences = (struct dtr_sequences){0};
}

size_t dtr_sequences_requests(const struct dtr_sequences *sequences) {
    return (sequences->count + sequences->batch - 1) / sequences->batch;
}

void dtr_sequences_request(struct dtr_sequences *sequences, size_t number, bool first_rows,
                           struct dtr_request *request) {
    const size_t begin = number * sequences->batch, left = sequences->count - begin;
    const uint32_t count = left < sequences->batch ? (uint32_t)left : sequences->batch;
    uint32_t token = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct dtr_eval_sequence *sequence =
            &sequences->sequence[sequences->order[begin + i]];
        memcpy(sequences->request_ids + token, sequences->ids + sequence->ids,
               sequence->count * sizeof *sequences->ids);
        for (uint32_t j = 0; j < sequence->count; j++)
            sequences->types[token + j] = j >= sequence->second;
        sequences->lengths[i] = sequence->count;
        sequences->select[i] = token;
        token += sequence->count;
    }
    *request = (struct dtr_request){
        .sequences = count,
        .lengths = sequences->lengths,
        .ids = sequences->request_ids,
        .types = sequences->types,
        .select = first_rows ? sequences->select : NULL,
        .selected = first_rows ? count : 0,
    };
}

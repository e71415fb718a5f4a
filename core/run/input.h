/* SPDX-License-Identifier: MIT
 *
 * input.h -- what an experiment feeds its model: texts through the tokenizer, hidden states from a
 * file, or random tokens; one request after the other.
 */
#ifndef DTR_RUN_INPUT_H
#define DTR_RUN_INPUT_H

#include "model/tokenizer.h"
#include "run/device.h"

struct dtr_input;

/* A text of a request, for those who say what came of it. */
struct dtr_input_text {
    const char *first, *second; /* second: NULL where there is no pair */
    size_t first_length, second_length;
    const struct dtr_sequence *sequence;
};

/* Reads what the experiment names.  `all_rows`: requests select no rows. */
int dtr_input_open(const struct dtr_experiment *experiment, bool all_rows,
                   struct dtr_input **input_p, struct dtr_error *error);
void dtr_input_close(struct dtr_input *input);

/* The shape of the largest request: that many sequences of that many tokens. */
void dtr_input_largest(const struct dtr_input *input, uint32_t *sequences_p, uint32_t *tokens_p);

/* Checks that model and input fit together: vocabulary, positions, hidden size.  DTR_E_CONFIG; what
 * is only odd is said to `log`. */
int dtr_input_check(struct dtr_input *input, const struct dtr_model *model,
                    const struct dtr_log *log, struct dtr_error *error);

/* The part of it that concerns tokens; `tokenizer` may be NULL. */
int dtr_input_check_tokens(const struct dtr_experiment *experiment,
                           const struct dtr_tokenizer *tokenizer, const struct dtr_model *model,
                           const struct dtr_log *log, struct dtr_error *error);

/* Requests of one pass over the input. */
uint64_t dtr_input_pass(const struct dtr_input *input);

/* Request `number`; it wraps around at the end of the input.  The request lives until the next
 * call. */
int dtr_input_request(struct dtr_input *input, uint64_t number, struct dtr_request *request,
                      struct dtr_error *error);

/* The texts of the request that was made last, [sequences]; NULL where there are none. */
const struct dtr_input_text *dtr_input_texts(const struct dtr_input *input);
const struct dtr_tokenizer *dtr_input_tokenizer(const struct dtr_input *input);

#endif

/* SPDX-License-Identifier: MIT
 *
 * eval.h -- how good a model is: the GLUE tasks (Wang et al. 2018) and SQuAD v1.1 (Rajpurkar et al.
 * 2016), on their data as published.  It makes the requests and takes in the answers; who runs them
 * is the caller's affair, and so predictions of anybody's can be scored alone.
 */
#ifndef DTR_EVAL_EVAL_H
#define DTR_EVAL_EVAL_H

#include "config/experiment.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "run/session.h"

struct dtr_eval;

struct dtr_eval_options {
    uint32_t sequence_length; /* longest sequence, special tokens counted */
    uint32_t batch;           /* sequences a request */
    /* Of SQuAD, with BERT's usual values: the most tokens of a question; those from one window over
     * a long paragraph to the next; the most of an answer; and of how many likely beginnings and
     * ends the best pair is sought. */
    uint32_t question_tokens, stride, answer_tokens, candidates;
};

enum { DTR_EVAL_METRICS = 2 };

struct dtr_eval_metric {
    const char *name;
    double value; /* of SQuAD in percent, as its own script has it; NaN where it is not defined */
    int decimals; /* that say all there is to say */
};

struct dtr_eval_scores {
    struct dtr_eval_metric metric[DTR_EVAL_METRICS];
    size_t count;
    size_t missing; /* examples without a prediction, which count as wrong */
};

/* DTR_E_CONFIG, with the task that may be meant or all that there are, where it is not known. */
int dtr_eval_check_task(const char *task, struct dtr_error *error);

/* Reads the data of a task.  The arguments outlive it.  DTR_E_CONFIG, with file and line. */
int dtr_eval_open(const char *task, const char *data, struct dtr_eval **eval_p,
                  struct dtr_error *error);
void dtr_eval_close(struct dtr_eval *eval);

/* The names of the tasks in turn; NULL behind the last. */
const char *dtr_eval_task(size_t index);

/* The head that a model needs. */
enum dtr_task dtr_eval_head(const struct dtr_eval *eval);
size_t dtr_eval_examples(const struct dtr_eval *eval);

/* --- with a model ----------------------------------------------------------------------------- */

/* Makes all requests.  Tokenizer and model outlive the evaluation.  DTR_E_CONFIG when the model's
 * labels are not the task's. */
int dtr_eval_prepare(struct dtr_eval *eval, const struct dtr_tokenizer *tokenizer,
                     const struct dtr_model *model, const struct dtr_eval_options *options,
                     struct dtr_error *error);
size_t dtr_eval_requests(const struct dtr_eval *eval);
uint32_t dtr_eval_longest(const struct dtr_eval *eval); /* tokens of the longest sequence */
size_t dtr_eval_truncated(const struct dtr_eval *eval); /* examples that were too long */

/* Request `number`, which lives until the next call; and what came of it. */
void dtr_eval_request(struct dtr_eval *eval, size_t number, struct dtr_request *request);
int dtr_eval_take(struct dtr_eval *eval, size_t number, const struct dtr_response *response,
                  struct dtr_error *error);

/* --- predictions ------------------------------------------------------------------------------ */

/* In the form that the benchmarks take them: GLUE's is a table `index`, `prediction`, SQuAD's a
 * JSON object from the questions' ids to answers. */
int dtr_eval_read_predictions(struct dtr_eval *eval, const char *path, struct dtr_error *error);
int dtr_eval_write_predictions(const struct dtr_eval *eval, const char *path,
                               struct dtr_error *error);

int dtr_eval_score(struct dtr_eval *eval, struct dtr_eval_scores *scores, struct dtr_error *error);

#endif

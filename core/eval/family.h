/* SPDX-License-Identifier: MIT
 *
 * family.h -- what eval.c asks of a family of tasks: GLUE's share one form of data, SQuAD has its
 * own.
 */
#ifndef DTR_EVAL_FAMILY_H
#define DTR_EVAL_FAMILY_H

#include <stdio.h>

#include "eval/eval.h"
#include "eval/sequences.h"
#include "model/model.h"
#include "model/tokenizer.h"

struct dtr_eval_family {
    const char *const *tasks; /* names; NULL ends them */
    enum dtr_task head;
    /* Reads the data; everything is checked.  `path` outlives the state. */
    int (*open)(const char *task, const char *path, void **state_p, struct dtr_error *error);
    void (*close)(void *state);
    size_t (*examples)(const void *state);
    /* Makes the sequences for a model whose head fits, or fails.  `model` outlives the state. */
    int (*prepare)(void *state, const struct dtr_tokenizer *tokenizer,
                   const struct dtr_model *model, const struct dtr_eval_options *options,
                   struct dtr_sequences *sequences, struct dtr_error *error);
    /* What the model said of one sequence: [labels], or [tokens, 2] for DTR_TASK_ANSWER. */
    int (*take)(void *state, size_t sequence, const float *logits, struct dtr_error *error);
    int (*read)(void *state, const char *path, struct dtr_error *error);
    int (*write)(const void *state, FILE *file, struct dtr_error *error);
    int (*score)(void *state, struct dtr_eval_scores *scores, struct dtr_error *error);
};

extern const struct dtr_eval_family dtr_eval_glue, dtr_eval_squad;

#endif

/* SPDX-License-Identifier: MIT
 *
 * squad_data.h -- SQuAD v1.1 as published: one JSON file of articles, paragraphs, questions and
 * answers.
 */
#ifndef DTR_EVAL_SQUAD_DATA_H
#define DTR_EVAL_SQUAD_DATA_H

#include <cjson/cJSON.h>

#include "base/error.h"

struct dtr_squad_paragraph {
    const char *context;
    size_t first, count; /* its questions */
};

struct dtr_squad_question {
    const char *id, *text;
    size_t paragraph;
    const cJSON *answers; /* array of objects with `text`, at least one */
};

/* Texts belong to the tree that was read. */
struct dtr_squad_data {
    cJSON *tree;
    struct dtr_squad_paragraph *paragraph;
    struct dtr_squad_question *question;
    size_t paragraphs, questions;
};

/* Where an answer begins is not looked at: no score depends on it.  DTR_E_CONFIG, naming article,
 * paragraph and question. */
int dtr_squad_read(const char *path, struct dtr_squad_data *data, struct dtr_error *error);
void dtr_squad_free(struct dtr_squad_data *data);

#endif

/* SPDX-License-Identifier: MIT */
#include "eval/eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "eval/family.h"

struct dtr_eval {
    const struct dtr_eval_family *family;
    void *state;
    struct dtr_sequences sequences;
};

static const struct dtr_eval_family *const families[] = {&dtr_eval_glue, &dtr_eval_squad};
enum { FAMILIES = sizeof families / sizeof families[0] };

const char *dtr_eval_task(size_t index) {
    for (size_t i = 0; i < FAMILIES; i++)
        for (const char *const *task = families[i]->tasks; *task; task++)
            if (index-- == 0)
                return *task;
    return NULL;
}

static const struct dtr_eval_family *find_family(const char *task) {
    for (size_t i = 0; i < FAMILIES; i++)
        for (const char *const *name = families[i]->tasks; *name; name++)
            if (strcmp(*name, task) == 0)
                return families[i];
    return NULL;
}

/* All of them fit: there are ten, with short names. */
static const char *list_tasks(char *text, size_t bytes) {
    const char *known;
    size_t length = 0;
    for (size_t i = 0; (known = dtr_eval_task(i)) && length < bytes; i++)
        length += (size_t)snprintf(text + length, bytes - length, "%s%s", i ? ", " : "", known);
    return text;
}

int dtr_eval_check_task(const char *task, struct dtr_error *error) {
    char text[200];
    struct dtr_suggestion suggestion = {.word = task};
    const char *known;
    if (find_family(task))
        return DTR_OK;
    for (size_t i = 0; (known = dtr_eval_task(i)); i++)
        dtr_suggest_offer(&suggestion, known);
    if (suggestion.best)
        return dtr_fail(error, DTR_E_CONFIG, "unknown task '%.100s'%s", task,
                        dtr_suggest_text(&suggestion, text, sizeof text));
    return dtr_fail(error, DTR_E_CONFIG, "unknown task '%.100s'; there are %s", task,
                    list_tasks(text, sizeof text));
}

int dtr_eval_open(const char *task, const char *data, struct dtr_eval **eval_p,
                  struct dtr_error *error) {
    const struct dtr_eval_family *family = find_family(task);
    if (!family)
        return dtr_eval_check_task(task, error);
    struct dtr_eval *eval = calloc(1, sizeof *eval);
    if (!eval)
        return dtr_fail_memory(error);
    eval->family = family;
    int status = family->open(task, data, &eval->state, error);
    if (!status && !family->examples(eval->state))
        status = dtr_fail(error, DTR_E_CONFIG, "%s: holds no example", data);
    if (status) {
        dtr_eval_close(eval);
        return status;
    }
    *eval_p = eval;
    return DTR_OK;
}

void dtr_eval_close(struct dtr_eval *eval) {
    if (!eval)
        return;
    dtr_sequences_free(&eval->sequences);
    eval->family->close(eval->state);
    free(eval);
}

enum dtr_task dtr_eval_head(const struct dtr_eval *eval) {
    return eval->family->head;
}

size_t dtr_eval_examples(const struct dtr_eval *eval) {
    return eval->family->examples(eval->state);
}

int dtr_eval_prepare(struct dtr_eval *eval, const struct dtr_tokenizer *tokenizer,
                     const struct dtr_model *model, const struct dtr_eval_options *options,
                     struct dtr_error *error) {
    const int status =
        eval->family->prepare(eval->state, tokenizer, model, options, &eval->sequences, error);
    return status ? status : dtr_sequences_close(&eval->sequences, options->batch, error);
}

size_t dtr_eval_requests(const struct dtr_eval *eval) {
    return dtr_sequences_requests(&eval->sequences);
}

uint32_t dtr_eval_longest(const struct dtr_eval *eval) {
    return eval->sequences.longest;
}

size_t dtr_eval_truncated(const struct dtr_eval *eval) {
    return eval->sequences.truncated;
}

void dtr_eval_request(struct dtr_eval *eval, size_t number, struct dtr_request *request) {
    dtr_sequences_request(&eval->sequences, number, eval->family->head == DTR_TASK_CLASSIFY,
                          request);
}

int dtr_eval_take(struct dtr_eval *eval, size_t number, const struct dtr_response *response,
                  struct dtr_error *error) {
    const struct dtr_sequences *sequences = &eval->sequences;
    const bool answers = eval->family->head == DTR_TASK_ANSWER;
    const uint32_t *order = sequences->order + number * sequences->batch;
    const float *logits = response->logits;
    for (uint32_t i = 0; i < response->sequences; i++) {
        const int status = eval->family->take(eval->state, order[i], logits, error);
        if (status)
            return status;
        const size_t rows = answers ? sequences->sequence[order[i]].count : 1;
        logits += rows * response->logits_columns;
    }
    return DTR_OK;
}

int dtr_eval_read_predictions(struct dtr_eval *eval, const char *path, struct dtr_error *error) {
    return eval->family->read(eval->state, path, error);
}

int dtr_eval_write_predictions(const struct dtr_eval *eval, const char *path,
                               struct dtr_error *error) {
    FILE *file = fopen(path, "w");
    if (!file)
        return dtr_fail(error, DTR_E_SYSTEM, "%s: cannot be written: %s", path, strerror(errno));
    int status = eval->family->write(eval->state, file, error);
    const bool failed = ferror(file) != 0;
    if ((fclose(file) || failed) && !status)
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: could not be written", path);
    return status;
}

int dtr_eval_score(struct dtr_eval *eval, struct dtr_eval_scores *scores, struct dtr_error *error) {
    *scores = (struct dtr_eval_scores){0};
    return eval->family->score(eval->state, scores, error);
}

/* SPDX-License-Identifier: MIT
 *
 * glue.c -- the tasks of GLUE: one text or a pair a line, a label or a score each.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/family.h"
#include "eval/metrics.h"
#include "eval/table.h"

enum { LABELS = 3, NUMBER = 32, SHOWN = 40 };

enum metric { NONE, ACCURACY, F1, MATTHEWS, PEARSON, SPEARMAN };

struct task {
    const char *first, *second, *label; /* columns */
    bool headless;                      /* there is no line of names; `column` then says where */
    uint32_t columns, column[2];        /* how many; of the first text and the label */
    /* In the order that models are trained with, as the data or Hugging Face's copy of it names
     * them; none: a score is wanted. */
    const char *labels[LABELS];
    bool words; /* the data has the names, not the numbers */
    enum metric metrics[DTR_EVAL_METRICS];
};

#define ENTAILMENT \
    { "entailment", "not_entailment" }

static const char *const names[] = {"cola", "sst2", "mrpc", "stsb", "qqp",
                                    "mnli", "qnli", "rte",  "wnli", NULL};

static const struct task tasks[] = {
    /* cola */
    {.headless = true,
     .columns = 4,
     .column = {3, 1},
     .labels = {"unacceptable", "acceptable"},
     .metrics = {MATTHEWS}},
    /* sst2 */
    {"sentence", NULL, "label", .labels = {"negative", "positive"}, .metrics = {ACCURACY}},
    /* mrpc */
    {"#1 String", "#2 String", "Quality", .labels = {"not_equivalent", "equivalent"},
     .metrics = {ACCURACY, F1}},
    /* stsb */
    {"sentence1", "sentence2", "score", .metrics = {PEARSON, SPEARMAN}},
    /* qqp */
    {"question1", "question2", "is_duplicate", .labels = {"not_duplicate", "duplicate"},
     .metrics = {ACCURACY, F1}},
    /* mnli */
    {"sentence1", "sentence2", "gold_label", .words = true,
     .labels = {"entailment", "neutral", "contradiction"}, .metrics = {ACCURACY}},
    /* qnli */
    {"question", "sentence", "label", .words = true, .labels = ENTAILMENT, .metrics = {ACCURACY}},
    /* rte */
    {"sentence1", "sentence2", "label", .words = true, .labels = ENTAILMENT, .metrics = {ACCURACY}},
    /* wnli */
    {"sentence1", "sentence2", "label", .labels = {"not_entailment", "entailment"},
     .metrics = {ACCURACY}},
};

struct example {
    struct dtr_field first, second;
    uint64_t line;
};

struct glue {
    const struct task *task;
    struct dtr_table table; /* stays open: the texts are in it */
    struct example *example;
    double *gold, *predicted; /* [count] */
    size_t count;
    uint32_t labels;             /* 0: scores */
    uint32_t from_model[LABELS]; /* the task's label for each of the model's */
};

/* --- labels and scores ------------------------------------------------------------------------ */

static bool parse_number(struct dtr_field field, double *value_p) {
    char text[NUMBER], *end;
    if (!field.length || field.length >= sizeof text || !strchr("+-.0123456789", field.text[0]))
        return false;
    memcpy(text, field.text, field.length);
    text[field.length] = '\0';
    const double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return false;
    *value_p = value;
    return true;
}

/* Writes what stands for a label in the data; `text` holds NUMBER bytes. */
static const char *label_text(const struct task *task, uint32_t label, char *text) {
    if (task->words)
        return task->labels[label];
    snprintf(text, NUMBER, "%u", label);
    return text;
}

static int bad_value(const struct glue *glue, const struct dtr_table *table, struct dtr_field field,
                     struct dtr_error *error) {
    char number[NUMBER], known[100] = "a number";
    const int shown = field.length < SHOWN ? (int)field.length : SHOWN;
    for (uint32_t i = 0; i < glue->labels; i++) {
        const char *before = i == 0 ? "" : i + 1 < glue->labels ? ", " : " or ";
        const size_t used = i ? strlen(known) : 0;
        snprintf(known + used, sizeof known - used, "%s%s", before,
                 label_text(glue->task, i, number));
    }
    return dtr_fail(error, DTR_E_CONFIG, "%s:%llu: '%.*s' must be %s", table->path,
                    (unsigned long long)table->line, shown, field.text, known);
}

/* A label, or a score, from a field. */
static int parse_value(const struct glue *glue, const struct dtr_table *table,
                       struct dtr_field field, double *value_p, struct dtr_error *error) {
    char number[NUMBER];
    if (!glue->labels && parse_number(field, value_p))
        return DTR_OK;
    for (uint32_t i = 0; i < glue->labels; i++)
        if (dtr_field_is(field, label_text(glue->task, i, number))) {
            *value_p = i;
            return DTR_OK;
        }
    return bad_value(glue, table, field, error);
}

/* --- the data --------------------------------------------------------------------------------- */

struct columns {
    uint32_t first, second, label, count;
};

static int find_columns(struct glue *glue, struct columns *columns, struct dtr_error *error) {
    const struct task *task = glue->task;
    *columns = (struct columns){task->column[0], 0, task->column[1], task->columns};
    if (task->headless)
        return DTR_OK;
    struct dtr_row header;
    int status = dtr_table_next(&glue->table, &header, error);
    columns->count = header.count;
    if (!status)
        status = dtr_table_column(&glue->table, &header, task->first, &columns->first, error);
    if (!status && task->second)
        status = dtr_table_column(&glue->table, &header, task->second, &columns->second, error);
    if (!status)
        status = dtr_table_column(&glue->table, &header, task->label, &columns->label, error);
    return status;
}

static int check_count(const struct dtr_table *table, const struct dtr_row *row, uint32_t wanted,
                       struct dtr_error *error) {
    return row->count == wanted
               ? DTR_OK
               : dtr_fail(error, DTR_E_CONFIG, "%s:%llu: has %u columns where %u are due",
                          table->path, (unsigned long long)table->line, row->count, wanted);
}

static int read_examples(struct glue *glue, const struct columns *columns,
                         struct dtr_error *error) {
    for (;;) {
        struct dtr_row row;
        int status = dtr_table_next(&glue->table, &row, error);
        if (status || !row.count)
            return status;
        status = check_count(&glue->table, &row, columns->count, error);
        if (!status)
            status = parse_value(glue, &glue->table, row.field[columns->label],
                                 &glue->gold[glue->count], error);
        if (status)
            return status;
        glue->example[glue->count++] = (struct example){
            .first = row.field[columns->first],
            .second = row.field[columns->second],
            .line = glue->table.line,
        };
    }
}

static int read_data(struct glue *glue, const char *path, struct dtr_error *error) {
    struct columns columns;
    int status = dtr_table_open(path, &glue->table, error);
    if (!status)
        status = find_columns(glue, &columns, error);
    if (status)
        return status;
    const size_t lines = dtr_table_lines(&glue->table) + 1;
    glue->example = calloc(lines, sizeof *glue->example);
    glue->gold = calloc(lines, sizeof *glue->gold);
    glue->predicted = calloc(lines, sizeof *glue->predicted);
    return glue->example && glue->gold && glue->predicted ? read_examples(glue, &columns, error)
                                                          : dtr_fail_memory(error);
}

static void glue_close(void *state) {
    struct glue *glue = state;
    if (!glue)
        return;
    dtr_table_close(&glue->table);
    free(glue->example);
    free(glue->gold);
    free(glue->predicted);
    free(glue);
}

static int glue_open(const char *task, const char *path, void **state_p, struct dtr_error *error) {
    struct glue *glue = calloc(1, sizeof *glue);
    if (!glue)
        return dtr_fail_memory(error);
    *state_p = glue;
    size_t index = 0;
    while (strcmp(names[index], task) != 0)
        index++;
    glue->task = &tasks[index];
    while (glue->labels < LABELS && glue->task->labels[glue->labels])
        glue->labels++;
    return read_data(glue, path, error);
}

static size_t glue_examples(const void *state) {
    return ((const struct glue *)state)->count;
}

/* --- with a model ----------------------------------------------------------------------------- */

static int find_label(const struct glue *glue, const char *name) {
    for (uint32_t i = 0; i < glue->labels; i++)
        if (strcasecmp(glue->task->labels[i], name) == 0)
            return (int)i;
    return -1;
}

/* By name where the model has the task's names, else in the task's order. */
static void map_labels(struct glue *glue, const struct dtr_model *model) {
    bool named = true, seen[LABELS] = {false};
    for (uint32_t i = 0; i < glue->labels && named; i++) {
        const int label = find_label(glue, model->label[i]);
        named = label >= 0 && !seen[label];
        if (named)
            seen[label] = true;
        glue->from_model[i] = (uint32_t)label;
    }
    for (uint32_t i = 0; i < glue->labels && !named; i++)
        glue->from_model[i] = i;
}

static int make_sequences(const struct glue *glue, const struct dtr_tokenizer *tokenizer,
                          uint32_t limit, struct dtr_sequence *sequence,
                          struct dtr_sequences *sequences, struct dtr_error *error) {
    for (size_t i = 0; i < glue->count; i++) {
        const struct example *example = &glue->example[i];
        const bool pair = glue->task->second != NULL;
        int status = dtr_tokenizer_sequence(tokenizer, example->first.text, example->first.length,
                                            pair ? example->second.text : NULL,
                                            pair ? example->second.length : 0, limit, false,
                                            sequence, error);
        if (!status)
            status = dtr_sequences_add(sequences, sequence->ids, sequence->count, sequence->second,
                                       error);
        if (status)
            return status;
        sequences->truncated += sequence->truncated;
    }
    return DTR_OK;
}

static int glue_prepare(void *state, const struct dtr_tokenizer *tokenizer,
                        const struct dtr_model *model, const struct dtr_eval_options *options,
                        struct dtr_sequences *sequences, struct dtr_error *error) {
    struct glue *glue = state;
    const uint32_t wanted = glue->labels ? glue->labels : 1, limit = options->sequence_length;
    if (model->labels != wanted)
        return dtr_fail(error, DTR_E_CONFIG,
                        "the model's classifier has %u labels, and the task needs %u",
                        model->labels, wanted);
    map_labels(glue, model);
    uint32_t *memory = calloc(4 * (size_t)limit, sizeof *memory);
    if (!memory)
        return dtr_fail_memory(error);
    struct dtr_sequence sequence = {
        memory, memory + limit, memory + 2 * (size_t)limit, memory + 3 * (size_t)limit, 0,
        0,      false};
    const int status = make_sequences(glue, tokenizer, limit, &sequence, sequences, error);
    free(memory);
    return status;
}

static int glue_take(void *state, size_t sequence, const float *logits, struct dtr_error *error) {
    struct glue *glue = state;
    uint32_t best = 0;
    for (uint32_t i = 0; i < (glue->labels ? glue->labels : 1); i++) {
        if (!isfinite(logits[i]))
            return dtr_fail(error, DTR_E_CORRUPT, "%s:%llu: the model's answer is not a number",
                            glue->table.path, (unsigned long long)glue->example[sequence].line);
        best = logits[i] > logits[best] ? i : best;
    }
    glue->predicted[sequence] = glue->labels ? glue->from_model[best] : (double)logits[0];
    return DTR_OK;
}

/* --- predictions ------------------------------------------------------------------------------ */

static int read_prediction(struct glue *glue, const struct dtr_table *table,
                           const struct dtr_row *row, size_t index, struct dtr_error *error) {
    char number[NUMBER];
    const int status = check_count(table, row, 2, error);
    if (status)
        return status;
    snprintf(number, sizeof number, "%zu", index);
    if (!dtr_field_is(row->field[0], number))
        return dtr_fail(error, DTR_E_CONFIG, "%s:%llu: the prediction with index %s is due here",
                        table->path, (unsigned long long)table->line, number);
    return parse_value(glue, table, row->field[1], &glue->predicted[index], error);
}

static int read_rows(struct glue *glue, struct dtr_table *table, struct dtr_error *error) {
    struct dtr_row row;
    size_t index = 0;
    int status = dtr_table_next(table, &row, error);
    if (!status && (row.count != 2 || !dtr_field_is(row.field[0], "index") ||
                    !dtr_field_is(row.field[1], "prediction")))
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s:1: the first line must name the columns index and prediction",
                        table->path);
    while (!status && !(status = dtr_table_next(table, &row, error)) && row.count) {
        if (index == glue->count)
            return dtr_fail(error, DTR_E_CONFIG, "%s:%llu: there are only %zu examples",
                            table->path, (unsigned long long)table->line, glue->count);
        status = read_prediction(glue, table, &row, index++, error);
    }
    if (!status && index < glue->count)
        return dtr_fail(error, DTR_E_CONFIG, "%s: has %zu predictions for %zu examples",
                        table->path, index, glue->count);
    return status;
}

static int glue_read(void *state, const char *path, struct dtr_error *error) {
    struct dtr_table table;
    int status = dtr_table_open(path, &table, error);
    if (!status)
        status = read_rows(state, &table, error);
    dtr_table_close(&table);
    return status;
}

static int glue_write(const void *state, FILE *file, struct dtr_error *error) {
    (void)error;
    const struct glue *glue = state;
    char number[NUMBER];
    fputs("index\tprediction\n", file);
    for (size_t i = 0; i < glue->count; i++)
        if (glue->labels)
            fprintf(file, "%zu\t%s\n", i,
                    label_text(glue->task, (uint32_t)glue->predicted[i], number));
        else
            fprintf(file, "%zu\t%.9g\n", i, glue->predicted[i]);
    return DTR_OK;
}

/* --- the score -------------------------------------------------------------------------------- */

static int compute(const struct glue *glue, enum metric metric, double *value_p,
                   struct dtr_error *error) {
    const double *predicted = glue->predicted, *gold = glue->gold;
    switch (metric) {
    case F1:
        *value_p = dtr_metric_f1(predicted, gold, glue->count);
        break;
    case MATTHEWS:
        *value_p = dtr_metric_matthews(predicted, gold, glue->count);
        break;
    case PEARSON:
        *value_p = dtr_metric_pearson(predicted, gold, glue->count);
        break;
    case SPEARMAN:
        return dtr_metric_spearman(predicted, gold, glue->count, value_p, error);
    default:
        *value_p = dtr_metric_accuracy(predicted, gold, glue->count);
    }
    return DTR_OK;
}

static int glue_score(void *state, struct dtr_eval_scores *scores, struct dtr_error *error) {
    static const char *const metric_names[] = {NULL,       "accuracy", "f1",
                                               "matthews", "pearson",  "spearman"};
    const struct glue *glue = state;
    for (size_t i = 0; i < DTR_EVAL_METRICS && glue->task->metrics[i]; i++) {
        struct dtr_eval_metric *metric = &scores->metric[scores->count++];
        *metric = (struct dtr_eval_metric){metric_names[glue->task->metrics[i]], 0, 4};
        const int status = compute(glue, glue->task->metrics[i], &metric->value, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

const struct dtr_eval_family dtr_eval_glue = {
    .tasks = names,
    .head = DTR_TASK_CLASSIFY,
    .open = glue_open,
    .close = glue_close,
    .examples = glue_examples,
    .prepare = glue_prepare,
    .take = glue_take,
    .read = glue_read,
    .write = glue_write,
    .score = glue_score,
};

/* SPDX-License-Identifier: MIT */
#include "report/outcome.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/answer.h"

/* Candidates shown for a mask; the longest answer, in tokens, as SQuAD's scorers take it. */
enum { CANDIDATES = 5, ANSWER_TOKENS = 30 };

static void softmax(const float *logits, uint32_t count, double *out) {
    double most = logits[0], sum = 0;
    for (uint32_t i = 1; i < count; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < count; i++)
        sum += out[i] = exp(logits[i] - most);
    for (uint32_t i = 0; i < count; i++)
        out[i] /= sum;
}

static void add_text(cJSON *object, const char *key, const char *text, size_t length) {
    char *copy = strndup(text, length);
    if (copy)
        cJSON_AddStringToObject(object, key, copy);
    free(copy);
}

static cJSON *sequence_object(const struct dtr_input *input, uint32_t index, uint32_t tokens) {
    cJSON *object = cJSON_CreateObject();
    const struct dtr_input_text *text = dtr_input_texts(input);
    if (text) {
        add_text(object, "text", text[index].first, text[index].first_length);
        if (text[index].second)
            add_text(object, "second", text[index].second, text[index].second_length);
        if (text[index].sequence->truncated)
            cJSON_AddTrueToObject(object, "truncated");
    }
    cJSON_AddNumberToObject(object, "tokens", tokens);
    return object;
}

/* --- encode ----------------------------------------------------------------------------------- */

static void encode(cJSON *object, const struct dtr_model *model, const float *first_row) {
    double sum = 0;
    cJSON *head = cJSON_AddArrayToObject(object, "cls");
    for (uint32_t i = 0; i < model->shape.hidden; i++)
        sum += (double)first_row[i] * first_row[i];
    for (uint32_t i = 0; i < 4 && i < model->shape.hidden; i++)
        cJSON_AddItemToArray(head, cJSON_CreateNumber(first_row[i]));
    cJSON_AddNumberToObject(object, "norm", sqrt(sum));
}

/* --- classify --------------------------------------------------------------------------------- */

static void classify(cJSON *object, const struct dtr_model *model, const float *logits,
                     uint32_t labels) {
    double *probability = malloc(labels * sizeof *probability);
    uint32_t best = 0;
    if (!probability)
        return;
    softmax(logits, labels, probability);
    cJSON *scores = cJSON_AddObjectToObject(object, "scores");
    for (uint32_t i = 0; i < labels; i++) {
        cJSON_AddNumberToObject(scores, model->label[i], probability[i]);
        best = logits[i] > logits[best] ? i : best;
    }
    cJSON_AddStringToObject(object, "label", model->label[best]);
    cJSON_AddNumberToObject(object, "score", probability[best]);
    free(probability);
}

/* --- fill-mask -------------------------------------------------------------------------------- */

static void fill_mask(cJSON *masks, const struct dtr_input *input, const float *logits,
                      uint32_t vocabulary) {
    const struct dtr_tokenizer *tokenizer = dtr_input_tokenizer(input);
    const uint32_t words =
        dtr_tokenizer_size(tokenizer) < vocabulary ? dtr_tokenizer_size(tokenizer) : vocabulary;
    double *probability = malloc(vocabulary * sizeof *probability);
    cJSON *candidates = cJSON_CreateArray();
    cJSON_AddItemToArray(masks, candidates);
    if (!probability)
        return;
    softmax(logits, vocabulary, probability);
    for (int rank = 0; rank < CANDIDATES; rank++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < words; i++)
            best = probability[i] > probability[best] ? i : best;
        cJSON *candidate = cJSON_CreateObject();
        cJSON_AddStringToObject(candidate, "token", dtr_tokenizer_token(tokenizer, best));
        cJSON_AddNumberToObject(candidate, "score", probability[best]);
        cJSON_AddItemToArray(candidates, candidate);
        probability[best] = -1;
    }
    free(probability);
}

/* --- answer ----------------------------------------------------------------------------------- */

static void answer(cJSON *object, const struct dtr_input_text *text, const float *logits) {
    const struct dtr_sequence *sequence = text->sequence;
    /* The last token is [SEP]. */
    const struct dtr_answer_request request = {
        .logits = logits,
        .tokens = sequence->count,
        .first = sequence->second,
        .last = sequence->count - 1,
        .end = sequence->count - 1,
        .longest = ANSWER_TOKENS,
        .candidates = DTR_ANSWER_CANDIDATES_MAX,
    };
    struct dtr_answer best;
    if (!dtr_answer_find(&request, &best)) {
        cJSON_AddStringToObject(object, "answer", "");
        return;
    }
    const uint32_t begin = sequence->begin[best.first];
    add_text(object, "answer", text->second + begin, sequence->end[best.last] - begin);
    cJSON_AddNumberToObject(object, "score", best.score);
}

/* --- all -------------------------------------------------------------------------------------- */

cJSON *dtr_outcome_create(const struct dtr_experiment *experiment, const struct dtr_model *model,
                          const struct dtr_input *input, const struct dtr_request *request,
                          const struct dtr_response *response) {
    cJSON *outcome = cJSON_CreateArray();
    const struct dtr_input_text *texts = dtr_input_texts(input);
    const uint32_t columns = response->logits_columns;
    const int64_t mask = texts ? dtr_tokenizer_id(dtr_input_tokenizer(input), "[MASK]") : -1;
    uint32_t token = 0, row = 0;
    for (uint32_t i = 0; i < request->sequences; token += request->lengths[i], i++) {
        cJSON *object = sequence_object(input, i, request->lengths[i]);
        cJSON_AddItemToArray(outcome, object);
        if (experiment->task == DTR_TASK_ENCODE)
            encode(object, model, response->hidden + (size_t)token * model->shape.hidden);
        if (experiment->task == DTR_TASK_CLASSIFY)
            classify(object, model, response->logits + (size_t)i * columns, columns);
        if (experiment->task == DTR_TASK_ANSWER && texts)
            answer(object, &texts[i], response->logits + (size_t)token * columns);
        if (experiment->task != DTR_TASK_FILL_MASK || !texts)
            continue;
        cJSON *masks = cJSON_AddArrayToObject(object, "masks");
        for (uint32_t j = token; j < token + request->lengths[i]; j++)
            if (request->ids[j] == (uint32_t)mask)
                fill_mask(masks, input,
                          response->logits + (size_t)(request->select ? row++ : j) * columns,
                          columns);
    }
    return outcome;
}

static const char *text_of(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
    return text ? text : "";
}

static double number_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItem(object, key);
    return item ? item->valuedouble : 0;
}

static void print_masks(const cJSON *object, FILE *out) {
    const cJSON *mask, *candidate;
    cJSON_ArrayForEach(mask, cJSON_GetObjectItem(object, "masks")) {
        const char *separator = "    ";
        cJSON_ArrayForEach(candidate, mask) {
            fprintf(out, "%s%s %.1f %%", separator, text_of(candidate, "token"),
                    100 * number_of(candidate, "score"));
            separator = ", ";
        }
        fputc('\n', out);
    }
}

/* The text, or the pair; nothing where the input was none. */
static void print_texts(const cJSON *object, const char *before, FILE *out) {
    if (cJSON_HasObjectItem(object, "text"))
        fprintf(out, "%s%s", before, text_of(object, "text"));
    if (cJSON_HasObjectItem(object, "second"))
        fprintf(out, " | %s", text_of(object, "second"));
    fputc('\n', out);
}

static void print_answer(const cJSON *object, FILE *out) {
    fprintf(out, "%s\n    %s\n", text_of(object, "text"),
            cJSON_HasObjectItem(object, "second")
                ? text_of(object, "answer")
                : "(no paragraph: a TAB separates it from the question)");
}

static void print_sequence(enum dtr_task task, const cJSON *object, FILE *out) {
    const double tokens = number_of(object, "tokens");
    if (task == DTR_TASK_CLASSIFY) {
        fprintf(out, "%-12s %5.1f %%", text_of(object, "label"), 100 * number_of(object, "score"));
        print_texts(object, "  ", out);
    } else if (task == DTR_TASK_ENCODE) {
        fprintf(out, "%3.0f tokens, |h[CLS]| = %.3f", tokens, number_of(object, "norm"));
        print_texts(object, "  ", out);
    } else if (!cJSON_HasObjectItem(object, "text")) {
        fprintf(out, "%3.0f tokens, which are no text\n", tokens);
    } else if (task == DTR_TASK_ANSWER) {
        print_answer(object, out);
    } else {
        print_texts(object, "", out);
        print_masks(object, out);
    }
}

void dtr_outcome_print(const struct dtr_experiment *experiment, const cJSON *outcome, FILE *out) {
    const cJSON *object;
    cJSON_ArrayForEach(object, outcome) print_sequence(experiment->task, object, out);
}

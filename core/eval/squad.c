/* SPDX-License-Identifier: MIT
 *
 * squad.c -- SQuAD v1.1: a question and a paragraph, and the words in it that are the answer.  Long
 * paragraphs go through the model in windows, as with BERT (Devlin et al. 2019, run_squad.py).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "eval/family.h"
#include "eval/squad_data.h"
#include "eval/squad_score.h"
#include "model/answer.h"
#include "model/json.h"

/* A part of a paragraph that is one sequence with the question. */
struct window {
    size_t question;
    uint32_t from, count;         /* tokens of the paragraph */
    uint32_t starts_from, starts; /* those that have their widest context here: an answer may begin
                                     at them; in the paragraph, how many */
    uint32_t second;              /* where the paragraph's tokens begin in the sequence */
};

struct best {
    double score;
    size_t window;
};

struct squad {
    const char *path;
    struct dtr_squad_data data;
    char **prediction;         /* [questions]; NULL: there is none */
    struct best *best;         /* [questions] */
    struct dtr_tokens *tokens; /* [paragraphs] */
    struct window *window;     /* [windows], a sequence each */
    size_t windows, windows_capacity;
    uint32_t answer_tokens, candidates;
};

static void squad_close(void *state) {
    struct squad *squad = state;
    if (!squad)
        return;
    for (size_t i = 0; squad->prediction && i < squad->data.questions; i++)
        free(squad->prediction[i]);
    for (size_t i = 0; squad->tokens && i < squad->data.paragraphs; i++)
        dtr_tokens_free(&squad->tokens[i]);
    free(squad->prediction);
    free(squad->best);
    free(squad->tokens);
    free(squad->window);
    dtr_squad_free(&squad->data);
    free(squad);
}

static int squad_open(const char *task, const char *path, void **state_p, struct dtr_error *error) {
    (void)task;
    struct squad *squad = calloc(1, sizeof *squad);
    if (!squad)
        return dtr_fail_memory(error);
    *state_p = squad;
    squad->path = path;
    const int status = dtr_squad_read(path, &squad->data, error);
    if (status)
        return status;
    squad->prediction = calloc(squad->data.questions + 1, sizeof *squad->prediction);
    squad->best = calloc(squad->data.questions + 1, sizeof *squad->best);
    squad->tokens = calloc(squad->data.paragraphs + 1, sizeof *squad->tokens);
    return squad->prediction && squad->best && squad->tokens ? DTR_OK : dtr_fail_memory(error);
}

static size_t squad_examples(const void *state) {
    return ((const struct squad *)state)->data.questions;
}

/* --- windows ---------------------------------------------------------------------------------- */

/* How much a window shows around a token, and a little for how much it shows at all. */
static double context(const struct window *window, uint32_t token) {
    const uint32_t end = window->from + window->count;
    if (token < window->from || token >= end)
        return -1;
    const uint32_t left = token - window->from, right = end - 1 - token;
    return (left < right ? left : right) + 0.01 * window->count;
}

/* Gives each token to the window with the most context around it, the first of equals. */
static void share_starts(struct window *window, size_t count, uint32_t tokens) {
    size_t at = 0;
    for (uint32_t token = 0; token < tokens; token++) {
        while (at + 1 < count && context(&window[at + 1], token) > context(&window[at], token))
            at++;
        if (!window[at].starts)
            window[at].starts_from = token;
        window[at].starts++;
    }
}

static struct window *new_window(struct squad *squad) {
    if (squad->windows == squad->windows_capacity) {
        const size_t capacity = squad->windows ? 2 * squad->windows : 1024;
        struct window *larger = realloc(squad->window, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        squad->window = larger;
        squad->windows_capacity = capacity;
    }
    return &squad->window[squad->windows++];
}

/* What the windows of one paragraph are made with. */
struct cutter {
    struct squad *squad;
    const struct dtr_tokenizer *tokenizer;
    const struct dtr_eval_options *options;
    struct dtr_sequences *sequences;
    struct dtr_tokens question;
    struct dtr_sequence sequence;
    struct dtr_error *error;
};

static int add_window(struct cutter *cutter, size_t question, uint32_t question_tokens,
                      uint32_t from, uint32_t count) {
    struct squad *squad = cutter->squad;
    struct window *window = new_window(squad);
    if (!window)
        return dtr_fail_memory(cutter->error);
    *window = (struct window){
        .question = question,
        .from = from,
        .count = count,
        .second = question_tokens + 2,
    };
    const struct dtr_tokens *paragraph = &squad->tokens[squad->data.question[question].paragraph];
    const struct dtr_token_run first = {&cutter->question, 0, question_tokens};
    const struct dtr_token_run second = {paragraph, from, count};
    struct dtr_sequence *sequence = &cutter->sequence;
    dtr_tokenizer_pair(cutter->tokenizer, first, second, sequence);
    return dtr_sequences_add(cutter->sequences, sequence->ids, sequence->count, sequence->second,
                             cutter->error);
}

static int cut(struct cutter *cutter, size_t question) {
    struct squad *squad = cutter->squad;
    const struct dtr_eval_options *options = cutter->options;
    const struct dtr_squad_question *asked = &squad->data.question[question];
    int status = dtr_tokenizer_encode(cutter->tokenizer, asked->text, strlen(asked->text),
                                      &cutter->question, cutter->error);
    if (status)
        return status;
    const bool truncated = cutter->question.count > options->question_tokens;
    const uint32_t question_tokens =
        truncated ? options->question_tokens : (uint32_t)cutter->question.count;
    const uint32_t specials = 3, tokens = (uint32_t)squad->tokens[asked->paragraph].count;
    if (options->sequence_length <= question_tokens + specials)
        return dtr_fail(cutter->error, DTR_E_CONFIG,
                        "a sequence_length of %u leaves no room for a paragraph beside a question "
                        "of %u tokens",
                        options->sequence_length, question_tokens);
    const uint32_t room = options->sequence_length - question_tokens - specials;
    const uint32_t stride = room < options->stride ? room : options->stride;
    const size_t first = squad->windows;
    cutter->sequences->truncated += truncated;
    for (uint32_t from = 0; !status; from += stride) {
        const uint32_t left = tokens - from;
        status = add_window(cutter, question, question_tokens, from, left < room ? left : room);
        if (left <= room)
            break;
    }
    if (!status)
        share_starts(squad->window + first, squad->windows - first, tokens);
    return status;
}

static int cut_all(struct cutter *cutter) {
    struct squad *squad = cutter->squad;
    for (size_t i = 0; i < squad->data.paragraphs; i++) {
        const struct dtr_squad_paragraph *paragraph = &squad->data.paragraph[i];
        int status =
            dtr_tokenizer_encode(cutter->tokenizer, paragraph->context, strlen(paragraph->context),
                                 &squad->tokens[i], cutter->error);
        for (size_t j = 0; j < paragraph->count && !status; j++)
            status = cut(cutter, paragraph->first + j);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int squad_prepare(void *state, const struct dtr_tokenizer *tokenizer,
                         const struct dtr_model *model, const struct dtr_eval_options *options,
                         struct dtr_sequences *sequences, struct dtr_error *error) {
    (void)model;
    struct squad *squad = state;
    const size_t limit = options->sequence_length;
    uint32_t *memory = calloc(4 * limit, sizeof *memory);
    if (!memory)
        return dtr_fail_memory(error);
    struct cutter cutter = {
        .squad = squad,
        .tokenizer = tokenizer,
        .options = options,
        .sequences = sequences,
        .sequence = {memory, memory + limit, memory + 2 * limit, memory + 3 * limit, 0, 0, false},
        .error = error,
    };
    squad->answer_tokens = options->answer_tokens;
    squad->candidates = options->candidates;
    const int status = cut_all(&cutter);
    dtr_tokens_free(&cutter.question);
    free(memory);
    return status;
}

/* --- answers ---------------------------------------------------------------------------------- */

static int replace(struct squad *squad, size_t question, const char *text, size_t length,
                   struct dtr_error *error) {
    char *copy = strndup(text, length);
    if (!copy)
        return dtr_fail_memory(error);
    free(squad->prediction[question]);
    squad->prediction[question] = copy;
    return DTR_OK;
}

static int keep_answer(struct squad *squad, size_t index, const struct dtr_answer *answer,
                       struct dtr_error *error) {
    const struct window *window = &squad->window[index];
    const size_t paragraph = squad->data.question[window->question].paragraph;
    const struct dtr_tokens *tokens = &squad->tokens[paragraph];
    const uint32_t begin = tokens->begin[answer->first - window->second + window->from];
    const uint32_t end = tokens->end[answer->last - window->second + window->from];
    squad->best[window->question] = (struct best){answer->score, index + 1};
    return replace(squad, window->question, squad->data.paragraph[paragraph].context + begin,
                   end - begin, error);
}

static int squad_take(void *state, size_t sequence, const float *logits, struct dtr_error *error) {
    struct squad *squad = state;
    const struct window *window = &squad->window[sequence];
    const uint32_t tokens = window->second + window->count + 1;
    const uint32_t first = window->second + window->starts_from - window->from;
    const struct best *best = &squad->best[window->question];
    for (size_t i = 0; i < 2 * (size_t)tokens; i++)
        if (!isfinite(logits[i]))
            return dtr_fail(error, DTR_E_CORRUPT,
                            "%s: the model's answer to question %zu is not a number", squad->path,
                            window->question + 1);
    const struct dtr_answer_request request = {
        .logits = logits,
        .tokens = tokens,
        .first = first,
        .last = window->starts ? first + window->starts : first,
        .end = tokens - 1,
        .longest = squad->answer_tokens,
        .candidates = squad->candidates,
    };
    struct dtr_answer answer;
    if (!dtr_answer_find(&request, &answer))
        return squad->prediction[window->question] ? DTR_OK
                                                   : replace(squad, window->question, "", 0, error);
    /* Of equals the earlier window's, whichever came first through the model. */
    const bool better = !best->window || answer.score > best->score ||
                        (answer.score == best->score && sequence + 1 < best->window);
    return better ? keep_answer(squad, sequence, &answer, error) : DTR_OK;
}

/* --- predictions ------------------------------------------------------------------------------ */

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* The entries sorted by their keys; the caller frees the array. */
static const cJSON **sort_entries(const cJSON *object, size_t *count_p) {
    const size_t count = (size_t)cJSON_GetArraySize(object);
    const cJSON **entries = calloc(count + 1, sizeof *entries), *entry;
    size_t i = 0;
    if (!entries)
        return NULL;
    cJSON_ArrayForEach(entry, object) entries[i++] = entry;
    qsort(entries, count, sizeof *entries, compare_keys);
    *count_p = count;
    return entries;
}

static int take_entries(struct squad *squad, const char *path, const cJSON *object,
                        struct dtr_error *error) {
    size_t count = 0;
    const cJSON **entries = sort_entries(object, &count);
    int status = entries ? DTR_OK : dtr_fail_memory(error);
    for (size_t i = 0; i < squad->data.questions && !status; i++) {
        const cJSON key = {.string = (char *)(uintptr_t)squad->data.question[i].id}, *wanted = &key;
        const cJSON **found = bsearch(&wanted, entries, count, sizeof *entries, compare_keys);
        if (!found)
            continue;
        const char *text = cJSON_GetStringValue(*found);
        status =
            text && dtr_utf8_is_valid(text, strlen(text))
                ? replace(squad, i, text, strlen(text), error)
                : dtr_fail(error, DTR_E_CONFIG, "%s: the answer to question '%.60s' is no text",
                           path, (*found)->string);
    }
    free(entries);
    return status;
}

static int squad_read(void *state, const char *path, struct dtr_error *error) {
    cJSON *object = NULL;
    int status = dtr_json_read(path, &object, error);
    if (!status)
        status = take_entries(state, path, object, error);
    cJSON_Delete(object);
    return status;
}

static int squad_write(const void *state, FILE *file, struct dtr_error *error) {
    const struct squad *squad = state;
    cJSON *object = cJSON_CreateObject();
    bool complete = object != NULL;
    for (size_t i = 0; i < squad->data.questions && complete; i++)
        complete = cJSON_AddStringToObject(object, squad->data.question[i].id,
                                           squad->prediction[i] ? squad->prediction[i] : "");
    char *text = complete ? cJSON_Print(object) : NULL;
    if (text)
        fprintf(file, "%s\n", text);
    cJSON_Delete(object);
    cJSON_free(text);
    return text ? DTR_OK : dtr_fail_memory(error);
}

/* --- the score -------------------------------------------------------------------------------- */

/* The best over the right answers, each measure for itself. */
static int score_question(const struct dtr_squad_question *question, const char *prediction,
                          struct dtr_squad_score *best, struct dtr_error *error) {
    char *normal = dtr_squad_normalize(prediction);
    int status = normal ? DTR_OK : dtr_fail_memory(error);
    *best = (struct dtr_squad_score){0};
    for (const cJSON *answer = question->answers->child; answer && !status; answer = answer->next) {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "text"));
        char *right = dtr_squad_normalize(text);
        struct dtr_squad_score score = {0};
        status = right ? dtr_squad_compare(normal, right, &score, error) : dtr_fail_memory(error);
        best->exact = fmax(best->exact, score.exact);
        best->f1 = fmax(best->f1, score.f1);
        free(right);
    }
    free(normal);
    return status;
}

static int squad_score(void *state, struct dtr_eval_scores *scores, struct dtr_error *error) {
    const struct squad *squad = state;
    const size_t questions = squad->data.questions;
    struct dtr_squad_score sum = {0};
    for (size_t i = 0; i < questions; i++) {
        struct dtr_squad_score score;
        if (!squad->prediction[i]) {
            scores->missing++;
            continue;
        }
        const int status =
            score_question(&squad->data.question[i], squad->prediction[i], &score, error);
        if (status)
            return status;
        sum.exact += score.exact;
        sum.f1 += score.f1;
    }
    scores->count = 2;
    scores->metric[0] =
        (struct dtr_eval_metric){"exact_match", 100 * sum.exact / (double)questions, 3};
    scores->metric[1] = (struct dtr_eval_metric){"f1", 100 * sum.f1 / (double)questions, 3};
    return DTR_OK;
}

static const char *const names[] = {"squad", NULL};

const struct dtr_eval_family dtr_eval_squad = {
    .tasks = names,
    .head = DTR_TASK_ANSWER,
    .open = squad_open,
    .close = squad_close,
    .examples = squad_examples,
    .prepare = squad_prepare,
    .take = squad_take,
    .read = squad_read,
    .write = squad_write,
    .score = squad_score,
};

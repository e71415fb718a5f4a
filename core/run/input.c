/* SPDX-License-Identifier: MIT */
#include "run/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/safetensors.h"

enum { SPECIALS_MOST = 3 }; /* [CLS] first [SEP] second [SEP] */

struct line {
    const char *text;
    size_t length;
    uint64_t number; /* in the file, from 1; 0: not from a file */
};

struct dtr_input {
    const struct dtr_experiment *experiment;
    bool all_rows;
    uint32_t vocabulary; /* of the model; random tokens are below it */
    struct dtr_tokenizer *tokenizer;
    char *file; /* its bytes */
    struct line *lines;
    size_t lines_count;
    struct dtr_safetensors *hidden_file;
    float *hidden;
    uint32_t hidden_size;
    /* The request made last: room for the largest. */
    uint32_t sequences_max, tokens_max;
    uint32_t sequences;
    uint32_t *lengths, *ids, *types, *select;
    uint32_t selected;
    struct dtr_input_text *texts;
    struct dtr_sequence *sequence;
};

static int wrong(const struct dtr_input *input, struct dtr_error *error, const char *key,
                 const char *what) {
    return dtr_fail(error, DTR_E_CONFIG, "%s: [input] %s: %s",
                    dtr_experiment_origin(input->experiment, "input", key), key, what);
}

/* --- texts ------------------------------------------------------------------------------------ */

static int read_file(const char *path, char **bytes_p, size_t *length_p, struct dtr_error *error) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    char *bytes = NULL;
    size_t length = 0, capacity = 0, got;
    do {
        if (capacity - length < 65536) {
            capacity = capacity ? 2 * capacity : 1 << 17;
            char *larger = realloc(bytes, capacity);
            if (!larger) {
                free(bytes);
                fclose(file);
                return dtr_fail_memory(error);
            }
            bytes = larger;
        }
        got = fread(bytes + length, 1, capacity - length - 1, file);
        length += got;
    } while (got);
    const int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed) {
        free(bytes);
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(failed));
    }
    *bytes_p = bytes;
    *length_p = length;
    return DTR_OK;
}

/* What is printed and saved must be text. */
static int check_line(const struct dtr_input *input, const struct line *line,
                      struct dtr_error *error) {
    if (dtr_utf8_is_valid(line->text, line->length) && !memchr(line->text, '\0', line->length))
        return DTR_OK;
    return line->number ? dtr_fail(error, DTR_E_CONFIG, "%s:%llu: this text is not UTF-8",
                                   input->experiment->input_value, (unsigned long long)line->number)
                        : wrong(input, error, "text", "this text is not UTF-8");
}

static int split_lines(struct dtr_input *input, const char *text, size_t length,
                       struct dtr_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += text[i] == '\n';
    input->lines = calloc(count + 1, sizeof *input->lines);
    if (!input->lines)
        return dtr_fail_memory(error);
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        const size_t line = end ? (size_t)(end - text) - at : length - at;
        const size_t trimmed = line && text[at + line - 1] == '\r' ? line - 1 : line;
        struct line *next = &input->lines[input->lines_count];
        *next = (struct line){text + at, trimmed, ++input->lines_count};
        const int status = check_line(input, next, error);
        if (status)
            return status;
        at += line + 1;
    }
    return DTR_OK;
}

static int open_text(struct dtr_input *input, struct dtr_error *error) {
    const struct dtr_experiment *experiment = input->experiment;
    if (!experiment->vocab)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: [model] needs the key 'vocab' for an input of text", experiment->file);
    int status = dtr_tokenizer_open(experiment->vocab, experiment->cased, &input->tokenizer, error);
    if (status)
        return status;
    if (experiment->input == DTR_INPUT_TEXT) {
        input->lines = calloc(1, sizeof *input->lines);
        if (!input->lines)
            return dtr_fail_memory(error);
        input->lines[0] =
            (struct line){experiment->input_value, strlen(experiment->input_value), 0};
        input->lines_count = 1;
        return check_line(input, &input->lines[0], error);
    }
    size_t length = 0;
    status = read_file(experiment->input_value, &input->file, &length, error);
    if (!status)
        status = split_lines(input, input->file, length, error);
    if (!status && !input->lines_count)
        status = wrong(input, error, "file", "the file holds no line");
    return status;
}

/* --- hidden states ---------------------------------------------------------------------------- */

static int read_lengths(struct dtr_input *input, const struct dtr_stored_tensor *lengths,
                        uint64_t tokens, struct dtr_error *error) {
    uint64_t sum = 0;
    if (!lengths) {
        input->sequences = 1;
        input->lengths[0] = (uint32_t)tokens;
        return DTR_OK;
    }
    for (uint64_t i = 0; i < lengths->shape[0]; i++) {
        int64_t length;
        memcpy(&length, lengths->data + i * sizeof length, sizeof length);
        if (length < 1 || (uint64_t)length > tokens - sum)
            return wrong(input, error, "hidden", "'lengths' do not add up to the tokens");
        input->lengths[i] = (uint32_t)length;
        sum += (uint64_t)length;
    }
    input->sequences = (uint32_t)lengths->shape[0];
    return sum == tokens ? DTR_OK
                         : wrong(input, error, "hidden", "'lengths' do not add up to the tokens");
}

static int open_hidden(struct dtr_input *input, struct dtr_error *error) {
    int status = dtr_safetensors_open(input->experiment->input_value, &input->hidden_file, error);
    if (status)
        return status;
    const struct dtr_stored_tensor *hidden = dtr_safetensors_find(input->hidden_file, "hidden");
    const struct dtr_stored_tensor *lengths = dtr_safetensors_find(input->hidden_file, "lengths");
    if (!hidden || hidden->type != DTR_STORED_F32 || hidden->rank != 2 || !hidden->shape[0] ||
        hidden->shape[0] > UINT32_MAX / 2 || hidden->shape[1] > UINT32_MAX / 2)
        return wrong(input, error, "hidden", "needs a tensor 'hidden' of F32 [tokens, hidden]");
    if (lengths && (lengths->type != DTR_STORED_I64 || lengths->rank != 1 || !lengths->shape[0] ||
                    lengths->shape[0] > hidden->shape[0]))
        return wrong(input, error, "hidden", "'lengths' is not I64 [batch]");
    input->sequences_max = lengths ? (uint32_t)lengths->shape[0] : 1;
    input->tokens_max = (uint32_t)hidden->shape[0];
    input->hidden_size = (uint32_t)hidden->shape[1];
    input->lengths = calloc(input->sequences_max, sizeof *input->lengths);
    input->select = calloc(input->sequences_max, sizeof *input->select);
    input->hidden = malloc((size_t)hidden->bytes);
    if (!input->lengths || !input->select || !input->hidden)
        return dtr_fail_memory(error);
    memcpy(input->hidden, hidden->data, (size_t)hidden->bytes);
    return read_lengths(input, lengths, hidden->shape[0], error);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int allocate_tokens(struct dtr_input *input, struct dtr_error *error) {
    const struct dtr_experiment *experiment = input->experiment;
    const size_t sequences = experiment->batch;
    const size_t tokens = sequences * experiment->sequence_length;
    input->sequences_max = experiment->batch;
    input->tokens_max = (uint32_t)tokens;
    input->lengths = calloc(sequences, sizeof *input->lengths);
    input->ids = calloc(tokens, sizeof *input->ids);
    input->types = calloc(tokens, sizeof *input->types);
    input->select = calloc(tokens, sizeof *input->select);
    input->texts = calloc(sequences, sizeof *input->texts);
    input->sequence = calloc(sequences, sizeof *input->sequence);
    if (!input->lengths || !input->ids || !input->types || !input->select || !input->texts ||
        !input->sequence)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < sequences; i++) {
        struct dtr_sequence *sequence = &input->sequence[i];
        sequence->ids = calloc(4 * (size_t)experiment->sequence_length, sizeof *sequence->ids);
        if (!sequence->ids)
            return dtr_fail_memory(error);
        sequence->types = sequence->ids + experiment->sequence_length;
        sequence->begin = sequence->types + experiment->sequence_length;
        sequence->end = sequence->begin + experiment->sequence_length;
    }
    return DTR_OK;
}

int dtr_input_open(const struct dtr_experiment *experiment, bool all_rows,
                   struct dtr_input **input_p, struct dtr_error *error) {
    struct dtr_input *input = calloc(1, sizeof *input);
    if (!input)
        return dtr_fail_memory(error);
    input->experiment = experiment;
    input->all_rows = all_rows;
    int status = DTR_OK;
    if (experiment->input == DTR_INPUT_HIDDEN) {
        status = open_hidden(input, error);
    } else {
        status = allocate_tokens(input, error);
        if (!status && experiment->input != DTR_INPUT_RANDOM)
            status = open_text(input, error);
    }
    if (status) {
        dtr_input_close(input);
        return status;
    }
    *input_p = input;
    return DTR_OK;
}

void dtr_input_close(struct dtr_input *input) {
    if (!input)
        return;
    for (uint32_t i = 0; input->sequence && i < input->sequences_max; i++)
        free(input->sequence[i].ids);
    dtr_tokenizer_close(input->tokenizer);
    dtr_safetensors_close(input->hidden_file);
    free(input->file);
    free(input->lines);
    free(input->hidden);
    free(input->lengths);
    free(input->ids);
    free(input->types);
    free(input->select);
    free(input->texts);
    free(input->sequence);
    free(input);
}

void dtr_input_largest(const struct dtr_input *input, uint32_t *sequences_p, uint32_t *tokens_p) {
    const bool hidden = input->experiment->input == DTR_INPUT_HIDDEN;
    *sequences_p = hidden ? 1 : input->sequences_max;
    *tokens_p = hidden ? input->tokens_max : input->experiment->sequence_length;
}

/* A model may have rows to spare, up to a round number; random weights know no words anyway. */
static bool is_of_another(const struct dtr_experiment *experiment, uint32_t tokens,
                          const struct dtr_model *model) {
    const uint32_t spare = 128;
    return experiment->model_weights && tokens + spare < model->vocabulary;
}

int dtr_input_check_tokens(const struct dtr_experiment *experiment,
                           const struct dtr_tokenizer *tokenizer, const struct dtr_model *model,
                           const struct dtr_log *log, struct dtr_error *error) {
    const uint32_t tokens = tokenizer ? dtr_tokenizer_size(tokenizer) : model->vocabulary;
    if (experiment->sequence_length > model->positions)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: [input] sequence_length %u is more than the model's %u positions",
                        dtr_experiment_origin(experiment, "input", "sequence_length"),
                        experiment->sequence_length, model->positions);
    if (tokens > model->vocabulary)
        return dtr_fail(
            error, DTR_E_CONFIG, "%s: [model] vocab holds %u tokens, the model knows %u",
            dtr_experiment_origin(experiment, "model", "vocab"), tokens, model->vocabulary);
    if (is_of_another(experiment, tokens, model))
        dtr_log(log, DTR_LOG_WARN,
                "%s: [model] vocab holds %u tokens, the model knows %u: is it another model's?",
                dtr_experiment_origin(experiment, "model", "vocab"), tokens, model->vocabulary);
    return DTR_OK;
}

int dtr_input_check(struct dtr_input *input, const struct dtr_model *model,
                    const struct dtr_log *log, struct dtr_error *error) {
    const struct dtr_experiment *experiment = input->experiment;
    input->vocabulary = model->vocabulary;
    if (!input->hidden)
        return dtr_input_check_tokens(experiment, input->tokenizer, model, log, error);
    return input->hidden_size == model->shape.hidden
               ? DTR_OK
               : dtr_fail(error, DTR_E_CONFIG,
                          "%s: [input] hidden: the states have %u columns, the model's %u",
                          dtr_experiment_origin(experiment, "input", "hidden"), input->hidden_size,
                          model->shape.hidden);
}

uint64_t dtr_input_pass(const struct dtr_input *input) {
    const uint32_t batch = input->experiment->batch;
    return input->lines_count ? (input->lines_count + batch - 1) / batch : 1;
}

/* --- requests --------------------------------------------------------------------------------- */

static int make_sequence(struct dtr_input *input, uint32_t index, const struct line *line,
                         struct dtr_error *error) {
    const struct dtr_experiment *experiment = input->experiment;
    const char *tab = memchr(line->text, '\t', line->length);
    const size_t first = tab ? (size_t)(tab - line->text) : line->length;
    struct dtr_input_text *text = &input->texts[index];
    *text = (struct dtr_input_text){
        .first = line->text,
        .first_length = first,
        .second = tab ? tab + 1 : NULL,
        .second_length = tab ? line->length - first - 1 : 0,
        .sequence = &input->sequence[index],
    };
    const int status =
        dtr_tokenizer_sequence(input->tokenizer, text->first, text->first_length, text->second,
                               text->second_length, experiment->sequence_length,
                               experiment->task == DTR_TASK_ANSWER, &input->sequence[index], error);
    if (status && experiment->sequence_length < SPECIALS_MOST)
        dtr_error_prefix(error, "%s: [input] sequence_length",
                         dtr_experiment_origin(experiment, "input", "sequence_length"));
    return status;
}

static int make_texts(struct dtr_input *input, uint64_t number, struct dtr_error *error) {
    const uint32_t batch = input->experiment->batch;
    uint32_t token = 0;
    input->sequences = batch;
    for (uint32_t i = 0; i < batch; i++) {
        const struct line *line = &input->lines[(number * batch + i) % input->lines_count];
        const int status = make_sequence(input, i, line, error);
        if (status)
            return status;
        const struct dtr_sequence *sequence = &input->sequence[i];
        memcpy(input->ids + token, sequence->ids, sequence->count * sizeof *input->ids);
        memcpy(input->types + token, sequence->types, sequence->count * sizeof *input->types);
        input->lengths[i] = sequence->count;
        token += sequence->count;
    }
    return DTR_OK;
}

/* SplitMix64 (Steele, Lea and Flood 2014) as a hash of the position. */
static uint64_t mix(uint64_t value) {
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static void make_random(struct dtr_input *input, uint64_t number) {
    const struct dtr_experiment *experiment = input->experiment;
    const uint64_t seed = mix(experiment->seed ^ mix(number));
    input->sequences = experiment->batch;
    for (uint32_t i = 0; i < experiment->batch; i++)
        input->lengths[i] = experiment->sequence_length;
    for (uint32_t i = 0; i < input->tokens_max; i++) {
        input->ids[i] = (uint32_t)(mix(seed + i) % input->vocabulary);
        input->types[i] = 0;
    }
}

static int select_masks(struct dtr_input *input, struct dtr_error *error) {
    const int64_t mask = input->tokenizer ? dtr_tokenizer_id(input->tokenizer, "[MASK]") : -1;
    uint32_t tokens = 0;
    for (uint32_t i = 0; i < input->sequences; i++)
        tokens += input->lengths[i];
    for (uint32_t i = 0; i < tokens; i++)
        if (mask >= 0 && input->ids[i] == (uint32_t)mask)
            input->select[input->selected++] = i;
    if (!input->selected && input->tokenizer)
        return dtr_fail(error, DTR_E_CONFIG, "%s: the task fill-mask finds no [MASK] in '%.*s'",
                        input->experiment->file, (int)input->texts[0].first_length,
                        input->texts[0].first);
    return DTR_OK;
}

static int select_rows(struct dtr_input *input, struct dtr_error *error) {
    input->selected = 0;
    if (input->experiment->task == DTR_TASK_FILL_MASK && input->ids)
        return select_masks(input, error);
    uint32_t token = 0;
    for (uint32_t i = 0; input->experiment->task == DTR_TASK_CLASSIFY && i < input->sequences;
         i++) {
        input->select[input->selected++] = token;
        token += input->lengths[i];
    }
    return DTR_OK;
}

int dtr_input_request(struct dtr_input *input, uint64_t number, struct dtr_request *request,
                      struct dtr_error *error) {
    int status = DTR_OK;
    if (input->lines_count)
        status = make_texts(input, number, error);
    else if (!input->hidden)
        make_random(input, number);
    if (!status)
        status = select_rows(input, error);
    if (status)
        return status;
    const bool selects = input->selected && !input->all_rows;
    *request = (struct dtr_request){
        .sequences = input->sequences,
        .lengths = input->lengths,
        .ids = input->ids,
        .types = input->types,
        .hidden = input->hidden,
        .select = selects ? input->select : NULL,
        .selected = selects ? input->selected : 0,
    };
    return DTR_OK;
}

const struct dtr_input_text *dtr_input_texts(const struct dtr_input *input) {
    return input->lines_count ? input->texts : NULL;
}

const struct dtr_tokenizer *dtr_input_tokenizer(const struct dtr_input *input) {
    return input->tokenizer;
}

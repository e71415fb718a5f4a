/* SPDX-License-Identifier: MIT */
#include "eval/squad_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/json.h"

/* SQuAD's training data is 30 MB. */
#define BYTES_MAX ((size_t)64 << 20)

struct reader {
    const char *path;
    struct dtr_squad_data *data;
    size_t article, paragraph, question; /* from 1; 0: not that far */
    struct dtr_error *error;
};

static int wrong(const struct reader *reader, const char *what) {
    char place[100] = "";
    if (reader->question)
        snprintf(place, sizeof place, "article %zu, paragraph %zu, question %zu: ", reader->article,
                 reader->paragraph, reader->question);
    else if (reader->paragraph)
        snprintf(place, sizeof place, "article %zu, paragraph %zu: ", reader->article,
                 reader->paragraph);
    else if (reader->article)
        snprintf(place, sizeof place, "article %zu: ", reader->article);
    return dtr_fail(reader->error, DTR_E_CONFIG, "%s: %s%s", reader->path, place, what);
}

static const cJSON *find(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *find_text(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(find(object, key));
    return text && dtr_utf8_is_valid(text, strlen(text)) ? text : NULL;
}

static int read_question(struct reader *reader, const cJSON *object) {
    struct dtr_squad_question *question = &reader->data->question[reader->data->questions];
    *question = (struct dtr_squad_question){
        .id = find_text(object, "id"),
        .text = find_text(object, "question"),
        .paragraph = reader->data->paragraphs,
        .answers = find(object, "answers"),
    };
    if (!question->id || !*question->id)
        return wrong(reader, "has no text 'id'");
    if (!question->text)
        return wrong(reader, "has no text 'question'");
    if (!cJSON_IsArray(question->answers) || !question->answers->child)
        return wrong(reader, "has no 'answers' (version 1.1 has some for every question)");
    for (const cJSON *answer = question->answers->child; answer; answer = answer->next)
        if (!find_text(answer, "text"))
            return wrong(reader, "an answer has no 'text'");
    reader->data->questions++;
    return DTR_OK;
}

static int read_paragraph(struct reader *reader, const cJSON *object) {
    struct dtr_squad_data *data = reader->data;
    struct dtr_squad_paragraph *paragraph = &data->paragraph[data->paragraphs];
    *paragraph = (struct dtr_squad_paragraph){
        .context = find_text(object, "context"),
        .first = data->questions,
    };
    if (!paragraph->context)
        return wrong(reader, "has no text 'context'");
    const cJSON *questions = find(object, "qas"), *question;
    if (!cJSON_IsArray(questions))
        return wrong(reader, "has no array 'qas'");
    cJSON_ArrayForEach(question, questions) {
        reader->question++;
        const int status = read_question(reader, question);
        if (status)
            return status;
    }
    paragraph->count = data->questions - paragraph->first;
    data->paragraphs++;
    reader->question = 0;
    return DTR_OK;
}

/* How many paragraphs and questions there can be at most. */
static void count(const cJSON *articles, size_t *paragraphs_p, size_t *questions_p) {
    const cJSON *article, *paragraph;
    cJSON_ArrayForEach(article, articles) {
        cJSON_ArrayForEach(paragraph, find(article, "paragraphs")) {
            ++*paragraphs_p;
            *questions_p += (size_t)cJSON_GetArraySize(find(paragraph, "qas"));
        }
    }
}

static int read_articles(struct reader *reader) {
    const cJSON *articles = find(reader->data->tree, "data"), *article, *paragraph;
    size_t paragraphs = 1, questions = 1;
    if (!cJSON_IsArray(articles))
        return wrong(reader, "has no array 'data', so it is not SQuAD");
    count(articles, &paragraphs, &questions);
    reader->data->paragraph = calloc(paragraphs, sizeof *reader->data->paragraph);
    reader->data->question = calloc(questions, sizeof *reader->data->question);
    if (!reader->data->paragraph || !reader->data->question)
        return dtr_fail_memory(reader->error);
    cJSON_ArrayForEach(article, articles) {
        reader->article++;
        if (!cJSON_IsArray(find(article, "paragraphs")))
            return wrong(reader, "has no array 'paragraphs'");
        cJSON_ArrayForEach(paragraph, find(article, "paragraphs")) {
            reader->paragraph++;
            const int status = read_paragraph(reader, paragraph);
            if (status)
                return status;
        }
        reader->paragraph = 0;
    }
    return DTR_OK;
}

int dtr_squad_read(const char *path, struct dtr_squad_data *data, struct dtr_error *error) {
    *data = (struct dtr_squad_data){0};
    struct reader reader = {.path = path, .data = data, .error = error};
    int status = dtr_json_read_large(path, BYTES_MAX, &data->tree, error);
    if (!status)
        status = read_articles(&reader);
    if (status)
        dtr_squad_free(data);
    return status;
}

void dtr_squad_free(struct dtr_squad_data *data) {
    cJSON_Delete(data->tree);
    free(data->paragraph);
    free(data->question);
    *data = (struct dtr_squad_data){0};
}

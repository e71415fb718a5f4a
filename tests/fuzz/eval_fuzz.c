/* SPDX-License-Identifier: MIT
 *
 * eval_fuzz.c -- the data of `eval`, and predictions for it.  Input: a byte that chooses the task,
 * two with the length of the data, the data, the predictions.
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "eval/squad_score.h"

static void score(struct dtr_eval *eval, const char *predictions) {
    struct dtr_eval_scores scores;
    struct dtr_error error = {0};
    if (!fuzz_sentence(dtr_eval_read_predictions(eval, predictions, &error), &error))
        return;
    const int status = dtr_eval_score(eval, &scores, &error);
    fuzz_need(fuzz_sentence(status, &error) && scores.count, "no score");
    for (size_t i = 0; i < scores.count; i++)
        fuzz_need(isnan(scores.metric[i].value) ||
                      (scores.metric[i].value >= -1.001 && scores.metric[i].value <= 100.001),
                  "a score is out of range");
    const char *path = fuzz_file("written", NULL, 0);
    fuzz_need(!dtr_eval_write_predictions(eval, path, &error), "predictions are not written");
}

static void normalize(const uint8_t *data, size_t size) {
    char *text = strndup((const char *)data, size);
    char *once = text ? dtr_squad_normalize(text) : NULL;
    char *twice = once ? dtr_squad_normalize(once) : NULL;
    fuzz_need(twice != NULL, "no memory");
    fuzz_need(strlen(twice) <= strlen(once), "a normal text becomes longer");
    free(text);
    free(once);
    free(twice);
}

/* Through requests, with logits that are as good as any. */
static void run(struct dtr_eval *eval, uint8_t choice) {
    static struct dtr_tokenizer *tokenizer;
    static const char *labels[] = {"no", "entailment", "neutral"};
    const struct dtr_model model = {.labels = 1 + choice % 3u, .label = labels};
    const struct dtr_eval_options options = {
        .sequence_length = 4 + choice % 16u,
        .batch = 1 + choice % 5u,
        .question_tokens = 1 + choice % 7u,
        .stride = 1 + choice % 4u,
        .answer_tokens = 3,
        .candidates = 1 + choice % 9u,
    };
    static float logits[20 * 5 * 2];
    struct dtr_error error = {0};
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++)
        logits[i] = (float)((i + choice) * 7919 % 101);
    if (!tokenizer)
        fuzz_need(!dtr_tokenizer_open(fuzz_fixture("full-4/vocab.txt"), false, &tokenizer, &error),
                  "no tokenizer");
    if (!fuzz_sentence(dtr_eval_prepare(eval, tokenizer, &model, &options, &error), &error))
        return;
    for (size_t i = 0; i < dtr_eval_requests(eval); i++) {
        struct dtr_request request;
        dtr_eval_request(eval, i, &request);
        const struct dtr_response response = {
            .sequences = request.sequences,
            .logits = logits,
            .logits_columns = dtr_eval_head(eval) == DTR_TASK_ANSWER ? 2 : model.labels,
        };
        fuzz_need(!dtr_eval_take(eval, i, &response, &error), "an answer is not taken");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    size_t tasks = 0, length;
    while (dtr_eval_task(tasks))
        tasks++;
    const uint8_t choice = fuzz_byte(&bytes);
    const char *task = dtr_eval_task(choice % tasks);
    const uint8_t high = fuzz_byte(&bytes), low = fuzz_byte(&bytes);
    const uint8_t *file = fuzz_take(&bytes, (size_t)high << 8 | low, &length);
    const char *path = fuzz_file("data", file, length);
    const char *predictions = fuzz_file("predictions", bytes.data, bytes.size);
    struct dtr_eval *eval;
    struct dtr_error error = {0};
    normalize(bytes.data, bytes.size);
    if (!fuzz_sentence(dtr_eval_open(task, path, &eval, &error), &error))
        return 0;
    run(eval, (uint8_t)(choice * 31u));
    score(eval, predictions);
    dtr_eval_close(eval);
    return 0;
}

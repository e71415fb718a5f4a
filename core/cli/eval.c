/* SPDX-License-Identifier: MIT
 *
 * eval.c -- `detransformer eval EXP.ini --task TASK --data FILE`.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/experiment.h"
#include "eval/eval.h"
#include "model/answer.h"
#include "report/progress.h"
#include "report/report.h"

static const struct dtr_option options[] = {
    {"task", "TASK", "cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli or squad", false},
    {"data", "FILE", "the task's examples with their right answers, as published", false},
    {"predictions", "FILE", "score these; no experiment is run", false},
    {"output", "FILE", "write the predictions, in the same form; also -o", false},
    {"json", "FILE", "write the metrics and the report as JSON; - is standard output", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {"stride", "N", "squad: tokens from one window over a paragraph to the next (128)", false},
    {"question-tokens", "N", "squad: the most that is read of a question (64)", false},
    {"answer-tokens", "N", "squad: the longest answer (30)", false},
    {"candidates", "N", "squad: how many beginnings and ends are tried (20)", false},
    {NULL, NULL, NULL, false},
};

struct evaluation {
    const struct dtr_cli *cli;
    const struct dtr_arguments *arguments;
    const char *task, *data;
    struct dtr_eval *eval;
    struct dtr_eval_options options;
    /* With a model. */
    struct dtr_opened opened;
    struct dtr_tokenizer *tokenizer;
    struct dtr_progress progress;
    cJSON *json;
};

static const char *option(const struct evaluation *evaluation, const char *name) {
    return dtr_argument(&dtr_command_eval, evaluation->arguments, name);
}

/* --- the command line ------------------------------------------------------------------------- */

static int read_number(const struct evaluation *evaluation, const char *name, uint32_t most,
                       uint32_t *value, struct dtr_error *error) {
    const char *text = option(evaluation, name);
    if (!text)
        return DTR_OK;
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (!strchr("0123456789", text[0]) || !*text || *end || errno || number < 1 || number > most)
        return dtr_fail(error, DTR_E_CONFIG, "--%s: '%.40s' is not a number from 1 to %u", name,
                        text, most);
    *value = (uint32_t)number;
    return DTR_OK;
}

static int read_options(struct evaluation *evaluation, struct dtr_error *error) {
    struct dtr_eval_options *values = &evaluation->options;
    int status = read_number(evaluation, "stride", UINT16_MAX, &values->stride, error);
    if (!status)
        status =
            read_number(evaluation, "question-tokens", UINT16_MAX, &values->question_tokens, error);
    if (!status)
        status =
            read_number(evaluation, "answer-tokens", UINT16_MAX, &values->answer_tokens, error);
    if (!status)
        status = read_number(evaluation, "candidates", DTR_ANSWER_CANDIDATES_MAX,
                             &values->candidates, error);
    return status;
}

static int check_arguments(struct evaluation *evaluation, struct dtr_error *error) {
    const bool scores = option(evaluation, "predictions") != NULL;
    evaluation->task = option(evaluation, "task");
    evaluation->data = option(evaluation, "data");
    if (!evaluation->task)
        return dtr_fail(error, DTR_E_CONFIG, "eval needs --task TASK");
    const int unknown = dtr_eval_check_task(evaluation->task, error);
    if (unknown)
        return unknown;
    if (!evaluation->data)
        return dtr_fail(error, DTR_E_CONFIG, "eval needs --data FILE");
    if (scores && evaluation->arguments->operands_count)
        return dtr_fail(error, DTR_E_CONFIG,
                        "--predictions are scored without an experiment; leave one of both out");
    if (!scores && !evaluation->arguments->operands_count)
        return dtr_fail(error, DTR_E_CONFIG, "eval needs an experiment, or --predictions FILE");
    static const char *const files[] = {"output", "json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = option(evaluation, files[i]);
        if (!path || (strcmp(path, "-") == 0 && i == 1))
            continue;
        const int status = dtr_report_check_file(path, false, error);
        if (status) {
            dtr_error_prefix(error, "--%s", files[i]);
            return status;
        }
    }
    return read_options(evaluation, error);
}

/* --- with a model ----------------------------------------------------------------------------- */

static void show(void *arg, const char *what, uint32_t done, uint32_t total) {
    dtr_progress_step(arg, what, done, total);
}

/* The data is the input, in place of the experiment's, and the task brings its head. */
static int load(struct evaluation *evaluation, struct dtr_error *error) {
    struct dtr_settings settings;
    char *input = NULL;
    int status = dtr_cli_settings(&dtr_command_eval, evaluation->arguments, &settings, error);
    if (status)
        return status;
    if (asprintf(&input, "input.file=%s", evaluation->data) < 0) {
        dtr_cli_settings_free(&settings);
        return dtr_fail_memory(error);
    }
    settings.list[settings.count++].text = input;
    settings.list[settings.count++].text = dtr_eval_head(evaluation->eval) == DTR_TASK_ANSWER
                                               ? "model.task=answer"
                                               : "model.task=classify";
    status = dtr_cli_load(evaluation->cli, evaluation->arguments->operands[0], &settings,
                          &evaluation->opened, error);
    dtr_cli_settings_free(&settings);
    free(input);
    return status;
}

static int prepare(struct evaluation *evaluation, struct dtr_error *error) {
    struct dtr_opened *opened = &evaluation->opened;
    const struct dtr_experiment *experiment = opened->experiment;
    const struct dtr_model_source source = dtr_experiment_model(experiment);
    int status =
        dtr_tokenizer_open(experiment->vocab, experiment->cased, &evaluation->tokenizer, error);
    if (!status)
        status = dtr_model_open(&source, &opened->model, error);
    if (!status)
        status = dtr_input_check_tokens(experiment, evaluation->tokenizer, opened->model,
                                        &evaluation->cli->log, error);
    if (status)
        return status;
    evaluation->options.sequence_length = experiment->sequence_length;
    evaluation->options.batch = experiment->batch;
    status = dtr_eval_prepare(evaluation->eval, evaluation->tokenizer, opened->model,
                              &evaluation->options, error);
    if (status == DTR_E_CONFIG)
        dtr_error_prefix(error, "%s: --task %s", experiment->file, evaluation->task);
    if (status)
        return status;
    opened->options.sequences_max = experiment->batch;
    opened->options.length_max = dtr_eval_longest(evaluation->eval);
    const size_t truncated = dtr_eval_truncated(evaluation->eval);
    if (truncated)
        dtr_log(&evaluation->cli->log, DTR_LOG_WARN,
                "%zu of %zu examples are longer than what the model is given of them", truncated,
                dtr_eval_examples(evaluation->eval));
    return DTR_OK;
}

static int run_requests(struct evaluation *evaluation, struct dtr_session *session,
                        struct dtr_report *report, struct dtr_error *error) {
    const size_t requests = dtr_eval_requests(evaluation->eval);
    for (size_t i = 0; i < requests; i++) {
        struct dtr_request request;
        struct dtr_response response;
        dtr_progress_step(&evaluation->progress, "requests", i, requests);
        dtr_eval_request(evaluation->eval, i, &request);
        int status = dtr_session_run(session, &request, &response, error);
        if (!status)
            status = dtr_eval_take(evaluation->eval, i, &response, error);
        if (!status)
            status = dtr_report_add(report, &response, NULL, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int run_model(struct evaluation *evaluation, struct dtr_error *error) {
    struct dtr_opened *opened = &evaluation->opened;
    const struct dtr_session_progress progress = {&evaluation->progress, show};
    struct dtr_session *session = NULL;
    struct dtr_report *report = NULL;
    int status = load(evaluation, error);
    if (!status)
        status = prepare(evaluation, error);
    if (!status)
        status =
            dtr_session_open(opened->experiment, opened->plugins, &evaluation->cli->launch,
                             &opened->options, &evaluation->cli->log, &progress, &session, error);
    if (!status)
        status = dtr_report_create(opened->experiment, session, &report, error);
    if (!status)
        status = run_requests(evaluation, session, report, error);
    dtr_progress_end(&evaluation->progress);
    if (!status && !(evaluation->json = dtr_report_json(report)))
        status = dtr_fail_memory(error);
    dtr_report_free(report);
    dtr_session_close(session);
    return status;
}

/* --- what came of it -------------------------------------------------------------------------- */

static void print_scores(const struct dtr_eval_scores *scores) {
    for (size_t i = 0; i < scores->count; i++) {
        const struct dtr_eval_metric *metric = &scores->metric[i];
        if (isnan(metric->value))
            printf("%s undefined\n", metric->name);
        else
            printf("%s %.*f\n", metric->name, metric->decimals, metric->value);
    }
}

static int write_json(struct evaluation *evaluation, const struct dtr_eval_scores *scores,
                      struct dtr_error *error) {
    if (!evaluation->json)
        evaluation->json = cJSON_CreateObject();
    cJSON *object = cJSON_AddObjectToObject(evaluation->json, "eval");
    cJSON_AddStringToObject(object, "task", evaluation->task);
    cJSON_AddStringToObject(object, "data", evaluation->data);
    cJSON_AddNumberToObject(object, "examples", (double)dtr_eval_examples(evaluation->eval));
    cJSON_AddNumberToObject(object, "missing", (double)scores->missing);
    cJSON_AddNumberToObject(object, "truncated", (double)dtr_eval_truncated(evaluation->eval));
    cJSON *metrics = cJSON_AddObjectToObject(object, "metrics");
    for (size_t i = 0; i < scores->count; i++)
        cJSON_AddNumberToObject(metrics, scores->metric[i].name, scores->metric[i].value);
    return dtr_report_write_json(option(evaluation, "json"), evaluation->json, error);
}

static int report(struct evaluation *evaluation, struct dtr_error *error) {
    const char *output = option(evaluation, "output"), *json = option(evaluation, "json");
    struct dtr_eval_scores scores;
    int status = dtr_eval_score(evaluation->eval, &scores, error);
    if (!status && scores.missing)
        dtr_log(&evaluation->cli->log, DTR_LOG_WARN,
                "%zu of %zu examples have no prediction, which counts as wrong", scores.missing,
                dtr_eval_examples(evaluation->eval));
    if (!status && output)
        status = dtr_eval_write_predictions(evaluation->eval, output, error);
    if (status)
        return status;
    if (!json || strcmp(json, "-") != 0)
        print_scores(&scores);
    return json ? write_json(evaluation, &scores, error) : DTR_OK;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct evaluation evaluation = {
        .cli = cli,
        .arguments = arguments,
        .options = {.question_tokens = 64, .stride = 128, .answer_tokens = 30, .candidates = 20},
    };
    struct dtr_error error = {0};
    dtr_progress_begin(&evaluation.progress);
    int status = check_arguments(&evaluation, &error);
    if (!status)
        status = dtr_eval_open(evaluation.task, evaluation.data, &evaluation.eval, &error);
    const char *predictions = option(&evaluation, "predictions");
    if (!status)
        status = predictions ? dtr_eval_read_predictions(evaluation.eval, predictions, &error)
                             : run_model(&evaluation, &error);
    if (!status)
        status = report(&evaluation, &error);
    cJSON_Delete(evaluation.json);
    dtr_eval_close(evaluation.eval);
    dtr_tokenizer_close(evaluation.tokenizer);
    dtr_cli_close(&evaluation.opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_eval = {
    .name = "eval",
    .summary = "how good a model is: the GLUE tasks and SQuAD v1.1",
    .operands = "[EXP.ini]",
    .operands_max = 1,
    .options = options,
    .help =
        "Runs all examples in place of the experiment's input, and prints a line a metric, such\n"
        "as `accuracy 0.8123`.  With --predictions it only scores what others predicted.",
    .leads = true,
    .run = run,
};

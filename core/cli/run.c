/* SPDX-License-Identifier: MIT
 *
 * run.c -- `detransformer run EXP.ini`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/experiment.h"
#include "report/outcome.h"
#include "report/progress.h"
#include "report/report.h"
#include "run/session.h"

static const struct dtr_option options[] = {
    {"check", NULL, "only check the experiment, start nothing", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {"text", "T", "the input, in place of the experiment's", false},
    {"json", "FILE", "write the report as JSON; - is standard output", false},
    {"dump", "FILE", "write the last request's tensors as safetensors", false},
    {"dump-layers", NULL, "with --dump: the output of every layer as well", false},
    {"trace", "FILE", "write the last request as Chrome trace events", false},
    {NULL, NULL, NULL, false},
};

struct job {
    const struct dtr_cli *cli;
    const struct dtr_arguments *arguments;
    struct dtr_opened opened;
    struct dtr_session *session;
    struct dtr_report *report;
    struct dtr_progress progress;
    bool quiet; /* standard output is the JSON's */
};

static const char *option(const struct job *job, const char *name) {
    return dtr_argument(&dtr_command_run, job->arguments, name);
}

static void show_stage(void *arg, const char *what, uint32_t done, uint32_t total) {
    dtr_progress_step(arg, what, done, total);
}

static int measure(struct job *job, const struct dtr_request *request,
                   const struct dtr_response *response, struct dtr_error *error) {
    const struct dtr_experiment *experiment = job->opened.experiment;
    cJSON *outcome = dtr_outcome_create(experiment, dtr_session_model(job->session),
                                        job->opened.input, request, response);
    if (!outcome)
        return dtr_fail_memory(error);
    dtr_progress_end(&job->progress);
    if (!job->quiet)
        dtr_outcome_print(experiment, outcome, stdout);
    return dtr_report_add(job->report, response, outcome, error);
}

static int write_last(const struct job *job, const struct dtr_response *response,
                      struct dtr_error *error) {
    int status = DTR_OK;
    if (option(job, "dump"))
        status = dtr_report_dump(option(job, "dump"), dtr_session_model(job->session), response,
                                 error);
    if (!status && option(job, "trace"))
        status = dtr_report_trace(option(job, "trace"), job->session,
                                  job->opened.experiment->devices, error);
    return status;
}

static int run_requests(struct job *job, struct dtr_error *error) {
    const struct dtr_experiment *experiment = job->opened.experiment;
    const uint64_t requests =
        experiment->requests ? experiment->requests : dtr_input_pass(job->opened.input);
    const uint64_t total = experiment->warmup + requests;
    for (uint64_t i = 0; i < total; i++) {
        const bool warm = i >= experiment->warmup;
        struct dtr_request request;
        struct dtr_response response;
        int status = dtr_input_request(job->opened.input, warm ? i - experiment->warmup : i,
                                       &request, error);
        dtr_progress_step(&job->progress, "requests", i, total);
        if (!status)
            status = dtr_session_run(job->session, &request, &response, error);
        if (!status && warm)
            status = measure(job, &request, &response, error);
        if (!status && i + 1 == total)
            status = write_last(job, &response, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int tell(struct job *job, struct dtr_error *error) {
    const char *json_path = option(job, "json");
    cJSON *json = dtr_report_json(job->report);
    if (!json)
        return dtr_fail_memory(error);
    if (!job->quiet)
        dtr_report_print(job->report, stdout);
    int status = dtr_report_save(job->opened.experiment, json, job->cli->argc, job->cli->argv,
                                 error);
    if (!status && json_path)
        status = dtr_report_write_json(json_path, json, error);
    cJSON_Delete(json);
    return status;
}

static int check(struct job *job, struct dtr_error *error) {
    struct dtr_model *model = NULL;
    struct dtr_plan *plan = NULL;
    const int status = dtr_cli_check(job->cli, &job->opened, &model, &plan, error);
    dtr_model_close(model);
    dtr_plan_free(plan);
    return status;
}

static int start(struct job *job, struct dtr_error *error) {
    const struct dtr_experiment *experiment = job->opened.experiment;
    const struct dtr_session_progress progress = {&job->progress, show_stage};
    int status = dtr_report_make_folder(experiment->results, error);
    if (!status)
        status = dtr_session_open(experiment, job->opened.plugins, job->cli->plugin_path,
                                  &job->opened.options, &job->cli->log, &progress, &job->session,
                                  error);
    if (!status)
        status = dtr_report_create(experiment, job->session, &job->report, error);
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct job job = {.cli = cli, .arguments = arguments};
    struct dtr_error error = {0};
    job.quiet = option(&job, "json") && strcmp(option(&job, "json"), "-") == 0;
    dtr_progress_begin(&job.progress);
    int status = DTR_OK;
    if (option(&job, "dump-layers") && !option(&job, "dump"))
        status = dtr_fail(&error, DTR_E_CONFIG, "--dump-layers needs --dump");
    if (!status)
        status = dtr_cli_open(&dtr_command_run, cli, arguments, &job.opened, &error);
    if (!status)
        status = check(&job, &error);
    if (!status && option(&job, "check")) {
        printf("%s is fine\n", arguments->operands[0]);
        goto out_close;
    }
    if (!status)
        status = start(&job, &error);
    if (!status)
        status = run_requests(&job, &error);
    if (!status)
        status = tell(&job, &error);
out_close:
    dtr_progress_end(&job.progress);
    dtr_report_free(job.report);
    dtr_session_close(job.session);
    dtr_cli_close(&job.opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_run = {
    .name = "run",
    .summary = "run an experiment",
    .operands = "EXP.ini",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .help = "Prints what came of every request, then a table.  The effective experiment, the\n"
            "command, a line a request and the report are left in the results folder.",
    .run = run,
};

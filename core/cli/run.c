/* SPDX-License-Identifier: MIT
 *
 * run.c -- `detransformer run EXP.ini`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/measure.h"
#include "report/report.h"

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

static const char *option(const struct dtr_arguments *arguments, const char *name) {
    return dtr_argument(&dtr_command_run, arguments, name);
}

static int measure(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                   struct dtr_opened *opened, struct dtr_progress *progress,
                   struct dtr_error *error) {
    const char *json_path = option(arguments, "json");
    const struct dtr_measure wanted = {
        .dump = option(arguments, "dump"),
        .trace = option(arguments, "trace"),
        /* Standard output is the JSON's when it goes there. */
        .outcomes = !json_path || strcmp(json_path, "-") != 0,
        .progress = progress,
    };
    cJSON *json = NULL;
    int status = dtr_report_make_folder(opened->experiment->results, error);
    if (!status)
        status = dtr_cli_measure(cli, opened, &wanted, &json, error);
    if (!status)
        status = dtr_report_save(opened->experiment, json, cli->argc, cli->argv, error);
    if (!status && json_path)
        status = dtr_report_write_json(json_path, json, error);
    cJSON_Delete(json);
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_opened opened = {0};
    struct dtr_progress progress;
    struct dtr_error error = {0};
    dtr_progress_begin(&progress);
    int status = DTR_OK;
    if (option(arguments, "dump-layers") && !option(arguments, "dump"))
        status = dtr_fail(&error, DTR_E_CONFIG, "--dump-layers needs --dump");
    if (!status)
        status = dtr_cli_open(&dtr_command_run, cli, arguments, &opened, &error);
    if (!status)
        status = dtr_cli_check(cli, &opened, &error);
    if (!status && option(arguments, "check"))
        printf("%s is fine\n", arguments->operands[0]);
    else if (!status)
        status = measure(cli, arguments, &opened, &progress, &error);
    dtr_progress_end(&progress);
    dtr_cli_close(&opened);
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

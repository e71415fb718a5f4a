/* SPDX-License-Identifier: MIT
 *
 * run.c -- `detransformer run EXP.ini`.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* --- what narrow types cost ------------------------------------------------------------------- */

/* True when something is kept, multiplied or sent in less than 32 bits. */
static bool narrow(const struct dtr_experiment *experiment) {
    bool any = experiment->devices > 1 && experiment->wire != DTR_F32;
    for (uint32_t i = 0; i < experiment->devices; i++)
        any |= experiment->device[i].dtype != DTR_F32;
    return any;
}

/* `device.0.divisions=0 1 ...`, all of them; the caller frees. */
static char *all_divisions(uint32_t divisions) {
    static const char key[] = "device.0.divisions=";
    char *text = malloc(sizeof key + (size_t)divisions * 11);
    size_t length = sizeof key - 1;
    if (!text)
        return NULL;
    memcpy(text, key, sizeof key);
    for (uint32_t i = 0; i < divisions; i++)
        length += (size_t)sprintf(text + length, "%u ", i);
    return text;
}

/* The experiment of the leader alone, all in f32. */
static void add_exact(struct dtr_settings *settings, const char *divisions) {
    static const char *const alone[] = {
        "cluster.devices=1",   "cluster.launch=local", "cluster.addresses=",
        "kernel.dtype=f32",    "planner.profile=",     "transport.wire=f32",
        "experiment.warmup=0", "device.0.share=1",     "device.0.kernel.dtype=f32",
    };
    _Static_assert(sizeof alone / sizeof alone[0] < DTR_SETTINGS_MORE, "room for these and one");
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
        settings->list[settings->count++].text = alone[i];
    if (divisions)
        settings->list[settings->count++].text = divisions;
}

/* Runs the last request again on one device, all in f32; nobody who was started with this process
 * takes part. */
static int run_exact(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                     const struct dtr_opened *measured, struct dtr_kept *exact,
                     struct dtr_error *error) {
    struct dtr_settings settings;
    struct dtr_opened opened = {0};
    struct dtr_cli alone = *cli;
    const struct dtr_measure wanted = {
        .kept = exact,
        .first = dtr_cli_requests(measured->experiment, measured->input) - 1,
        .requests = 1,
    };
    cJSON *json = NULL;
    int status = dtr_cli_settings(&dtr_command_run, arguments, &settings, error);
    if (status)
        return status;
    char *divisions = measured->experiment->device[0].has_divisions
                          ? all_divisions(measured->model->shape.divisions)
                          : NULL;
    add_exact(&settings, divisions);
    alone.launch.world = NULL;
    opened.options.all_rows = option(arguments, "dump") != NULL;
    status = dtr_cli_open_with(&alone, arguments->operands[0], &settings, &opened, error);
    if (!status)
        status = dtr_cli_check(&alone, &opened, error);
    if (!status)
        status = dtr_cli_measure(&alone, &opened, &wanted, &json, error);
    cJSON_Delete(json);
    dtr_cli_settings_free(&settings);
    dtr_cli_close(&opened);
    free(divisions);
    return status;
}

/* Adds what became of the hidden states to the report. */
static int add_error(const struct dtr_kept *kept, const struct dtr_kept *exact, cJSON *json,
                     bool print, struct dtr_error *error) {
    double difference = 0, norm = 0, most = 0;
    if (kept->count != exact->count)
        return dtr_fail(error, DTR_E_PLUGIN, "the last request gave another number of rows");
    for (size_t i = 0; i < kept->count; i++) {
        const double apart = fabs((double)kept->hidden[i] - exact->hidden[i]);
        difference += apart * apart;
        norm += (double)exact->hidden[i] * exact->hidden[i];
        most = apart > most ? apart : most;
    }
    const double relative = norm > 0 ? sqrt(difference / norm) : 0;
    cJSON *object = cJSON_AddObjectToObject(json, "error");
    cJSON_AddNumberToObject(object, "relative_l2", relative);
    cJSON_AddNumberToObject(object, "max_abs", most);
    if (print)
        printf("\nagainst f32 on one device: relative L2 error %.2e, largest difference %.2e\n",
               relative, most);
    return DTR_OK;
}

/* That the leader alone cannot run it, perhaps for want of memory, is no reason to lose what was
 * measured. */
static int compare_exact(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                         const struct dtr_opened *opened, const struct dtr_kept *kept, cJSON *json,
                         bool print, struct dtr_error *error) {
    struct dtr_kept exact = {0};
    struct dtr_error cause = {0};
    int status = DTR_OK;
    if (!run_exact(cli, arguments, opened, &exact, &cause)) {
        status = add_error(kept, &exact, json, print, error);
    } else {
        dtr_log(&cli->log, DTR_LOG_WARN, "not compared with f32 on one device: %s", cause.text);
        cJSON_AddStringToObject(json, "not_compared", cause.text);
    }
    free(exact.hidden);
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Then nothing else goes to standard output. */
static bool is_json_output(const struct dtr_arguments *arguments) {
    const char *path = option(arguments, "json");
    return path && strcmp(path, "-") == 0;
}

static int make_folder(const struct dtr_experiment *experiment, struct dtr_error *error) {
    const int status = dtr_report_make_folder(experiment->results, error);
    if (status)
        dtr_error_prefix(error, "%s: [experiment] results",
                         dtr_experiment_origin(experiment, "experiment", "results"));
    return status;
}

static int measure(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                   struct dtr_opened *opened, struct dtr_progress *progress,
                   struct dtr_error *error) {
    const char *json_path = option(arguments, "json");
    const bool compares = narrow(opened->experiment);
    struct dtr_kept kept = {0};
    const struct dtr_measure wanted = {
        .dump = option(arguments, "dump"),
        .trace = option(arguments, "trace"),
        .outcomes = !is_json_output(arguments),
        .progress = progress,
        .kept = compares ? &kept : NULL,
    };
    cJSON *json = NULL;
    int status = make_folder(opened->experiment, error);
    if (!status)
        status = dtr_cli_measure(cli, opened, &wanted, &json, error);
    /* Nothing is left of an experiment that is wrong. */
    if (status == DTR_E_CONFIG)
        rmdir(opened->experiment->results);
    if (!status && compares)
        status = compare_exact(cli, arguments, opened, &kept, json, wanted.outcomes, error);
    if (!status)
        status = dtr_report_save(opened->experiment, json, cli->argc, cli->argv, error);
    if (!status && json_path)
        status = dtr_report_write_json(json_path, json, error);
    free(kept.hidden);
    cJSON_Delete(json);
    return status;
}

/* Not after all has been computed. */
static int check_files(const struct dtr_arguments *arguments, struct dtr_error *error) {
    static const char *const names[] = {"json", "dump", "trace"};
    int status = DTR_OK;
    if (option(arguments, "dump-layers") && !option(arguments, "dump"))
        status = dtr_fail(error, DTR_E_CONFIG, "--dump-layers needs --dump");
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !status; i++) {
        const char *path = option(arguments, names[i]);
        if (!path || strcmp(path, "-") == 0)
            continue;
        status = dtr_report_check_file(path, strcmp(names[i], "dump") == 0, error);
        if (status)
            dtr_error_prefix(error, "--%s", names[i]);
    }
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_opened opened = {0};
    struct dtr_progress progress;
    struct dtr_error error = {0};
    dtr_progress_begin(&progress);
    int status = check_files(arguments, &error);
    if (!status)
        status = dtr_cli_open(&dtr_command_run, cli, arguments, &opened, &error);
    if (!status)
        status = dtr_cli_check(cli, &opened, &error);
    if (!status && option(arguments, "check"))
        fprintf(is_json_output(arguments) ? stderr : stdout, "%s is fine\n",
                arguments->operands[0]);
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
    .leads = true,
    .run = run,
};

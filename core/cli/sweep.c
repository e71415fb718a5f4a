/* SPDX-License-Identifier: MIT
 *
 * sweep.c -- `detransformer sweep EXP.ini`: the experiment at every point of its grid.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/measure.h"
#include "report/report.h"
#include "report/sweep.h"

static const struct dtr_option options[] = {
    {"predict", NULL, "simulate every point with the experiment's profile; nothing is run", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {NULL, NULL, NULL, false},
};

struct job {
    const struct dtr_cli *cli;
    const struct dtr_arguments *arguments;
    struct dtr_opened opened; /* the experiment that holds the grid */
    struct dtr_sweep *sweep;
    struct dtr_settings settings; /* of a point: those of the command line, then the point's */
    size_t given;
    struct dtr_progress progress;
    bool predict;
};

static const struct dtr_settings *settings_of(struct job *job, size_t point) {
    job->settings.count =
        job->given + dtr_sweep_settings(job->sweep, point, job->settings.list + job->given);
    return &job->settings;
}

static int run_point(struct job *job, size_t point, cJSON **json_p, struct dtr_error *error) {
    struct dtr_opened opened = {0};
    const struct dtr_measure wanted = {.progress = NULL};
    int status = dtr_cli_open_with(job->cli, job->arguments->operands[0], settings_of(job, point),
                                   &opened, error);
    if (!status)
        status = dtr_sweep_identify(job->sweep, point, opened.experiment, error);
    if (!status)
        status = dtr_cli_check(job->cli, &opened, error);
    if (!status)
        status = job->predict ? dtr_cli_predict(&opened, json_p, error)
                              : dtr_cli_measure(job->cli, &opened, &wanted, json_p, error);
    dtr_cli_close(&opened);
    return status;
}

/* A point that fails is noted, and the others go on. */
static int run_points(struct job *job, struct dtr_error *error) {
    const size_t points = dtr_sweep_points(job->sweep);
    for (size_t i = 0; i < points; i++) {
        struct dtr_error failure = {0};
        cJSON *json = NULL;
        if (dtr_sweep_done(job->sweep, i))
            continue;
        dtr_progress_step(&job->progress, dtr_sweep_name(job->sweep, i), i, points);
        run_point(job, i, &json, &failure);
        const int status = dtr_sweep_add(job->sweep, i, json, failure.text, error);
        cJSON_Delete(json);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* Only figures of the same experiment stay; a point that cannot be opened has none. */
static int check_known(struct job *job, struct dtr_error *error) {
    const size_t points = dtr_sweep_points(job->sweep);
    int status = DTR_OK;
    for (size_t i = 0; !status && i < points; i++) {
        struct dtr_opened opened = {0};
        struct dtr_error failure = {0};
        if (!dtr_sweep_known(job->sweep, i))
            continue;
        dtr_cli_load(job->cli, job->arguments->operands[0], settings_of(job, i), &opened, &failure);
        status = dtr_sweep_identify(job->sweep, i, opened.experiment, error);
        dtr_cli_close(&opened);
    }
    return status;
}

/* A folder of the sweep's own, without the time in its name, so that the next run finds it. */
static char *folder_of(const struct dtr_experiment *experiment) {
    char *folder;
    if (strcmp(dtr_experiment_origin(experiment, "experiment", "results"), "default") != 0)
        return strdup(experiment->results);
    return asprintf(&folder, "results/%s-sweep", experiment->name) < 0 ? NULL : folder;
}

static int sweep_into(struct job *job, const char *folder, struct dtr_error *error) {
    bool drawn = false;
    int status = dtr_report_make_folder(folder, error);
    if (!status)
        status = dtr_sweep_read(job->sweep, folder, job->predict, error);
    if (!status)
        status = check_known(job, error);
    if (!status)
        status = dtr_sweep_start(job->sweep, error);
    if (!status)
        status = run_points(job, error);
    if (!status)
        status = dtr_sweep_end(job->sweep, error);
    dtr_progress_end(&job->progress);
    if (status)
        return status;
    dtr_sweep_print(job->sweep, stdout);
    status = dtr_sweep_plot(job->sweep, job->opened.experiment->name, &drawn, error);
    if (!status)
        printf("%s/sweep.csv%s\n", folder,
               drawn ? ", sweep.png and sweep.svg" : "; no plot: gnuplot does not run here");
    return status;
}

static int prepare(struct job *job, struct dtr_error *error) {
    const struct dtr_arguments *arguments = job->arguments;
    int status = dtr_cli_open(&dtr_command_sweep, job->cli, arguments, &job->opened, error);
    if (!status)
        status = dtr_sweep_create(job->opened.experiment, &job->sweep, error);
    if (status)
        return status;
    job->settings.list = calloc(arguments->all_count + dtr_sweep_settings_max(job->sweep) + 1,
                                sizeof *job->settings.list);
    if (!job->settings.list)
        return dtr_fail_memory(error);
    for (size_t i = 0; i + 1 < arguments->all_count; i += 2)
        if (strcmp(arguments->all[i], "set") == 0)
            job->settings.list[job->given++].text = arguments->all[i + 1];
    return DTR_OK;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct job job = {
        .cli = cli,
        .arguments = arguments,
        .predict = dtr_argument(&dtr_command_sweep, arguments, "predict") != NULL,
    };
    struct dtr_error error = {0};
    dtr_progress_begin(&job.progress);
    int status = prepare(&job, &error);
    char *folder = status ? NULL : folder_of(job.opened.experiment);
    if (!status)
        status = folder ? sweep_into(&job, folder, &error) : dtr_fail_memory(&error);
    dtr_progress_end(&job.progress);
    free(folder);
    dtr_cli_settings_free(&job.settings);
    dtr_sweep_free(job.sweep);
    dtr_cli_close(&job.opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_sweep = {
    .name = "sweep",
    .summary = "run an experiment at every point of its grid",
    .operands = "EXP.ini",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .help =
        "The grid is [sweep] and the [series.NAME] sections.  Each point adds a line to\n"
        "sweep.csv in the results folder (results/NAME-sweep by default); a grid that was\n"
        "interrupted goes on where it stopped, and measures again what is of another experiment.\n"
        "gnuplot draws sweep.png and sweep.svg: what was measured, and dashed what was predicted.\n"
        "With --predict nothing runs: that is for scenarios of more devices than there are;\n"
        "measuring later keeps the predictions.",
    .leads = true,
    .run = run,
};

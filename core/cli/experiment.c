/* SPDX-License-Identifier: MIT */
#include "cli/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dtr_cli_settings(const struct dtr_command *command, const struct dtr_arguments *arguments,
                     struct dtr_settings *settings, struct dtr_error *error) {
    const char *text = dtr_argument(command, arguments, "text");
    *settings = (struct dtr_settings){
        .list = calloc(arguments->all_count + DTR_SETTINGS_MORE, sizeof *settings->list)};
    if (!settings->list || (text && asprintf(&settings->text, "input.text=%s", text) < 0)) {
        dtr_cli_settings_free(settings);
        return dtr_fail_memory(error);
    }
    for (size_t i = 0; i + 1 < arguments->all_count; i += 2)
        if (strcmp(arguments->all[i], "set") == 0)
            settings->list[settings->count++].text = arguments->all[i + 1];
    if (text)
        settings->list[settings->count++].text = settings->text;
    return DTR_OK;
}

void dtr_cli_settings_free(struct dtr_settings *settings) {
    free(settings->list);
    free(settings->text);
    *settings = (struct dtr_settings){0};
}

int dtr_cli_open(const struct dtr_command *command, const struct dtr_cli *cli,
                 const struct dtr_arguments *arguments, struct dtr_opened *opened,
                 struct dtr_error *error) {
    struct dtr_settings settings;
    int status = dtr_cli_settings(command, arguments, &settings, error);
    if (status)
        return status;
    const bool layers = dtr_argument(command, arguments, "dump-layers") != NULL;
    opened->options.keep_layers = layers;
    opened->options.all_rows = layers || dtr_argument(command, arguments, "dump") != NULL;
    opened->options.trace = dtr_argument(command, arguments, "trace") != NULL;
    status = dtr_cli_open_with(cli, arguments->operands[0], &settings, opened, error);
    dtr_cli_settings_free(&settings);
    return status;
}

/* In a world its launcher is meant, unless the experiment says otherwise. */
static int load(const struct dtr_cli *cli, const char *file, const struct dtr_settings *settings,
                struct dtr_opened *opened, struct dtr_error *error) {
    const struct dtr_world *world = cli->launch.world;
    char launch[64];
    struct dtr_setting *list = calloc(settings->count + 1, sizeof *list);
    if (!list)
        return dtr_fail_memory(error);
    if (settings->count)
        memcpy(list, settings->list, settings->count * sizeof *list);
    if (world)
        snprintf(launch, sizeof launch, "cluster.launch=%s", dtr_world_launcher(world));
    list[settings->count] = (struct dtr_setting){.text = launch, .fallback = true};
    const int status = dtr_experiment_load(file, list, settings->count + (world ? 1 : 0),
                                           opened->plugins, &cli->log, &opened->experiment, error);
    free(list);
    return status;
}

int dtr_cli_load(const struct dtr_cli *cli, const char *file, const struct dtr_settings *settings,
                 struct dtr_opened *opened, struct dtr_error *error) {
    const int status = dtr_cli_plugins(cli, &opened->plugins, error);
    return status ? status : load(cli, file, settings, opened, error);
}

int dtr_cli_open_with(const struct dtr_cli *cli, const char *file,
                      const struct dtr_settings *settings, struct dtr_opened *opened,
                      struct dtr_error *error) {
    int status = dtr_cli_load(cli, file, settings, opened, error);
    if (!status)
        status =
            dtr_input_open(opened->experiment, opened->options.all_rows, &opened->input, error);
    if (!status)
        dtr_input_largest(opened->input, &opened->options.sequences_max,
                          &opened->options.length_max);
    return status;
}

/* Texts that the task cannot take are found before anything starts. */
static int check_requests(struct dtr_input *input, struct dtr_error *error) {
    const uint64_t requests = dtr_input_pass(input);
    for (uint64_t i = 0; i < requests; i++) {
        struct dtr_request request;
        const int status = dtr_input_request(input, i, &request, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

int dtr_cli_check(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error) {
    const struct dtr_experiment *experiment = opened->experiment;
    const struct dtr_model_source source = dtr_experiment_model(experiment);
    int status = dtr_launch_check(&cli->launch, experiment, error);
    if (!status)
        status = dtr_model_open(&source, &opened->model, error);
    if (!status)
        status = dtr_input_check(opened->input, opened->model, &cli->log, error);
    if (!status)
        status = check_requests(opened->input, error);
    if (!status)
        status = dtr_planning_read_profile(experiment, opened->model, &opened->profile, error);
    if (status || dtr_planning_needs_profile(experiment))
        return status;
    return dtr_cli_plan(cli, opened, error);
}

int dtr_cli_plan(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error) {
    const int status =
        dtr_planning_create(opened->experiment, opened->plugins, &opened->options, opened->model,
                            opened->profile, NULL, &cli->log, &opened->planning, error);
    return status ? status : dtr_planning_plan(opened->planning, &opened->plan, error);
}

void dtr_cli_close(struct dtr_opened *opened) {
    dtr_plan_free(opened->plan);
    dtr_planning_free(opened->planning);
    dtr_profile_free(opened->profile);
    dtr_model_close(opened->model);
    dtr_input_close(opened->input);
    dtr_experiment_free(opened->experiment);
    dtr_plugins_free(opened->plugins);
}

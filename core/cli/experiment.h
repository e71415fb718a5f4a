/* SPDX-License-Identifier: MIT
 *
 * experiment.h -- what the sub-commands that take an experiment file have in common: reading it
 * with --set and --text, its input, its model.
 */
#ifndef DTR_CLI_EXPERIMENT_H
#define DTR_CLI_EXPERIMENT_H

#include "cli/command.h"
#include "run/input.h"
#include "run/planning.h"

struct dtr_opened {
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment;
    struct dtr_input *input;
    struct dtr_session_options options;
    /* From dtr_cli_check() on. */
    struct dtr_model *model;
    struct dtr_profile *profile;
    struct dtr_planning *planning;
    struct dtr_plan *plan;
};

/* The settings of a command line: --set, then --text; with room for some more. */
#define DTR_SETTINGS_MORE 16
struct dtr_settings {
    struct dtr_setting *list;
    size_t count;
    char *text; /* memory of one of them */
};
int dtr_cli_settings(const struct dtr_command *command, const struct dtr_arguments *arguments,
                     struct dtr_settings *settings, struct dtr_error *error);
void dtr_cli_settings_free(struct dtr_settings *settings);

/* Reads the experiment named by the first operand, and its input.  `opened` is zero before; on
 * failure dtr_cli_close() frees what there is. */
int dtr_cli_open(const struct dtr_command *command, const struct dtr_cli *cli,
                 const struct dtr_arguments *arguments, struct dtr_opened *opened,
                 struct dtr_error *error);

/* The same for a file and settings; the options that are in `opened` stay. */
int dtr_cli_open_with(const struct dtr_cli *cli, const char *file,
                      const struct dtr_settings *settings, struct dtr_opened *opened,
                      struct dtr_error *error);

/* Only the experiment: `input` stays NULL, for those who have their own. */
int dtr_cli_load(const struct dtr_cli *cli, const char *file, const struct dtr_settings *settings,
                 struct dtr_opened *opened, struct dtr_error *error);

/* Opens the model and makes the plan, checking all that can be checked before anything starts.  A
 * plan that needs measurements is left out: `planning` and `plan` stay NULL. */
int dtr_cli_check(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error);

/* Makes the plan with the profile that has come meanwhile. */
int dtr_cli_plan(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error);
void dtr_cli_close(struct dtr_opened *opened);

#endif

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

/* Reads the experiment named by the first operand, and its input.  The options "set" and "text"
 * are taken from the arguments. */
int dtr_cli_open(const struct dtr_command *command, const struct dtr_cli *cli,
                 const struct dtr_arguments *arguments, struct dtr_opened *opened,
                 struct dtr_error *error);

/* The same for a file and settings, with no further options. */
int dtr_cli_open_with(const struct dtr_cli *cli, const char *file,
                      const struct dtr_setting *settings, size_t count,
                      struct dtr_opened *opened, struct dtr_error *error);

/* Opens the model and makes the plan, checking all that can be checked before anything starts.  A
 * plan that needs measurements is left out: `planning` and `plan` stay NULL. */
int dtr_cli_check(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error);

/* Makes the plan with the profile that has come meanwhile. */
int dtr_cli_plan(const struct dtr_cli *cli, struct dtr_opened *opened, struct dtr_error *error);
void dtr_cli_close(struct dtr_opened *opened);

#endif

/* SPDX-License-Identifier: MIT
 *
 * experiment.h -- what the sub-commands that take an experiment file have in common: reading it
 * with --set and --text, its input, its model.
 */
#ifndef DTR_CLI_EXPERIMENT_H
#define DTR_CLI_EXPERIMENT_H

#include "cli/command.h"
#include "run/input.h"

struct dtr_opened {
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment;
    struct dtr_input *input;
    struct dtr_session_options options;
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

/* Opens the model and makes the plan, checking all that can be checked before anything starts. */
int dtr_cli_check(const struct dtr_cli *cli, struct dtr_opened *opened,
                  struct dtr_model **model_p, struct dtr_plan **plan_p,
                  struct dtr_error *error);
void dtr_cli_close(struct dtr_opened *opened);

#endif

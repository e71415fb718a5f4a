/* SPDX-License-Identifier: MIT
 *
 * commands.h -- the list of sub-commands, for main.c.  Each is defined in the file of its name, and
 * so is each subject of `bench`.
 */
#ifndef DTR_CLI_COMMANDS_H
#define DTR_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct dtr_command dtr_command_bench;
extern const struct dtr_command dtr_command_bench_kernel;
extern const struct dtr_command dtr_command_bench_transport;
extern const struct dtr_command dtr_command_check;
extern const struct dtr_command dtr_command_eval;
extern const struct dtr_command dtr_command_plan;
extern const struct dtr_command dtr_command_inspect;
extern const struct dtr_command dtr_command_key;
extern const struct dtr_command dtr_command_plugins;
extern const struct dtr_command dtr_command_tokenize;
extern const struct dtr_command dtr_command_profile;
extern const struct dtr_command dtr_command_run;
extern const struct dtr_command dtr_command_sweep;
extern const struct dtr_command dtr_command_worker;

#endif

/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

const char *dtr_command_word(const struct dtr_command *command) {
    const char *blank = strrchr(command->name, ' ');
    return blank ? blank + 1 : command->name;
}

const char *dtr_argument(const struct dtr_command *command, const struct dtr_arguments *arguments,
                         const char *name) {
    for (size_t i = 0; command->options && command->options[i].name; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return arguments->values[i];
    return NULL;
}

int dtr_cli_fail(const struct dtr_error *error) {
    fflush(stdout);
    fprintf(stderr, "detransformer: %s\n", error->text);
    return error->status == DTR_E_CONFIG ? DTR_EXIT_USAGE : DTR_EXIT_FAILED;
}

int dtr_cli_plugins(const struct dtr_cli *cli, struct dtr_plugins **plugins_p,
                    struct dtr_error *error) {
    return dtr_plugins_create(cli->launch.plugin_path, &cli->log, plugins_p, error);
}

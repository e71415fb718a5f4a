/* SPDX-License-Identifier: MIT
 *
 * worker.c -- `detransformer worker`: the process of a device other than the leader's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "run/worker.h"

static const struct dtr_option options[] = {
    {"control", "FD", "the descriptor of the leader's control channel", false},
    {NULL, NULL, NULL, false},
};

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    struct dtr_plugins *plugins;
    const char *control = dtr_argument(&dtr_command_worker, arguments, "control");
    char *end = NULL;
    const long fd = control ? strtol(control, &end, 10) : -1;
    if (fd < 3 || fd > 1 << 20 || *end) {
        dtr_fail(&error, DTR_E_CONFIG, "worker needs --control FD; the leader starts workers");
        return dtr_cli_fail(&error);
    }
    if (dtr_cli_plugins(cli, &plugins, &error))
        return dtr_cli_fail(&error);
    const int status = dtr_worker_serve((int)fd, plugins, &cli->log, &error);
    dtr_plugins_free(plugins);
    /* The leader was told, and tells the user. */
    return status ? DTR_EXIT_FAILED : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_worker = {
    .name = "worker",
    .summary = "serve a leader as one of its devices",
    .options = options,
    .hidden = true,
    .run = run,
};

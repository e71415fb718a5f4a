/* SPDX-License-Identifier: MIT
 *
 * check.c -- `detransformer check PLUGIN.so`: the conformance suite of the plugin's kind.
 */
#include <stdio.h>
#include <string.h>

#include "check/kernel.h"
#include "check/planner.h"
#include "check/transport.h"
#include "cli/chain.h"
#include "cli/commands.h"

static const struct dtr_option options[] = {
    {"set", "KEY=VALUE", "gives the plugin's parameter KEY that value", true},
    {"faults", NULL, "a transport breaks on purpose: ask only that nothing hangs or leaks", false},
    {"only", "WORDS", "of a transport's cases those with WORDS in their name", false},
    {"launch", "COMMAND", "what starts processes for a transport that launches: \"mpirun -n\"",
     false},
    {"member", "FILE", "(for the processes that --launch starts)", false},
    {NULL, NULL, NULL, false},
};

static int build_chain(struct dtr_plugins *plugins, const struct dtr_plugin *plugin,
                       const struct dtr_arguments *arguments, struct dtr_chain *chain,
                       struct dtr_error *error) {
    int status = dtr_cli_chain_begin(plugin, chain, error);
    for (size_t i = 0; !status && i < arguments->all_count; i += 2)
        if (!strcmp(arguments->all[i], "set")) {
            status = dtr_cli_chain_set(chain, arguments->all[i + 1], error);
            dtr_error_prefix(error, "--set %s", arguments->all[i + 1]);
        }
    /* A kernel that does not say what it wraps is opened over the complete set. */
    if (!status)
        status = dtr_cli_chain_complete(plugins, plugin->kind == DTR_KERNEL ? "reference" : NULL,
                                        chain, error);
    return status;
}

static int check_transport(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                           const struct dtr_chain *chain, struct dtr_check *check,
                           struct dtr_error *error) {
    const struct dtr_command *command = &dtr_command_check;
    const struct dtr_check_how how = {
        .log = &cli->log,
        .faults = dtr_argument(command, arguments, "faults"),
        .only = dtr_argument(command, arguments, "only"),
        .launch = dtr_argument(command, arguments, "launch"),
        .member = dtr_argument(command, arguments, "member"),
        .argv = cli->argv,
    };
    return dtr_check_transport(chain, &how, check, error);
}

static int check_chain(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                       const struct dtr_chain *chain, struct dtr_check *check,
                       struct dtr_error *error) {
    switch (chain->plugin[0]->kind) {
    case DTR_KERNEL:
        return dtr_check_kernel(chain, &cli->log, check, error);
    case DTR_TRANSPORT:
        return check_transport(cli, arguments, chain, check, error);
    default:
        return dtr_check_planner(chain, &cli->log, check, error);
    }
}

static int check_plugin(const struct dtr_cli *cli, struct dtr_plugins *plugins,
                        const struct dtr_plugin *plugin, const struct dtr_arguments *arguments,
                        struct dtr_check *check, struct dtr_error *error) {
    struct dtr_chain chain = {.count = 0};
    int status = build_chain(plugins, plugin, arguments, &chain, error);
    if (!status)
        status = check_chain(cli, arguments, &chain, check, error);
    dtr_cli_chain_free(&chain);
    if (!status)
        dtr_check_end(check);
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    struct dtr_plugins *plugins;
    const struct dtr_plugin *plugin;
    struct dtr_check check = {.out = stdout};
    if (dtr_cli_plugins(cli, &plugins, &error))
        return dtr_cli_fail(&error);
    const char *name = arguments->operands[0];
    int status = strchr(name, '/') || strchr(name, '.')
                     ? dtr_plugins_load_file(plugins, name, &plugin, &error)
                     : dtr_plugins_find(plugins, name, &plugin, &error);
    if (!status)
        status = check_plugin(cli, plugins, plugin, arguments, &check, &error);
    dtr_plugins_free(plugins);
    if (status)
        return dtr_cli_fail(&error);
    return check.failed ? DTR_EXIT_FAILED : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_check = {
    .name = "check",
    .summary = "put a plugin through the conformance suite of its kind",
    .operands = "PLUGIN.so|NAME",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .help =
        "A kernel's results are compared with double precision, in every type and shape that\n"
        "it supports; a transport moves messages between up to nine processes, some of which\n"
        "die; a planner plans for one to 64 devices.  What a plugin wraps is set by `over`.  The\n"
        "output is TAP, a line a case.",
    .run = run,
};

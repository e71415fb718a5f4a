/* SPDX-License-Identifier: MIT
 *
 * check.c -- `detransformer check PLUGIN.so`: the conformance suite of the plugin's kind.
 */
#include <stdio.h>
#include <string.h>

#include "check/kernel.h"
#include "check/planner.h"
#include "check/transport.h"
#include "cli/commands.h"
#include "config/experiment.h"
#include "config/params.h"
#include "plugin/load.h"

static const struct dtr_option options[] = {
    {"set", "KEY=VALUE", "gives the plugin's parameter KEY that value", true},
    {"faults", NULL, "a transport breaks on purpose: ask only that nothing hangs or leaks", false},
    {"only", "WORDS", "of a transport's cases those with WORDS in their name", false},
    {"launch", "COMMAND", "what starts processes for a transport that launches: \"mpirun -n\"",
     false},
    {"member", "FILE", "(for the processes that --launch starts)", false},
    {NULL, NULL, NULL, false},
};

/* Adds a plugin below the others, its parameters at their defaults. */
static int add(struct dtr_chain *chain, const struct dtr_plugin *plugin, struct dtr_error *error) {
    void *params = NULL;
    const int status = dtr_params_defaults(plugin, &params, error);
    if (status)
        return status;
    chain->plugin[chain->count] = plugin;
    chain->params[chain->count++] = params;
    return DTR_OK;
}

static void free_chain(struct dtr_chain *chain) {
    while (chain->count-- > 0)
        dtr_params_free(chain->plugin[chain->count],
                        (void *)(uintptr_t)chain->params[chain->count]);
}

/* One `--set KEY=VALUE` for the outermost plugin. */
static int set(const struct dtr_chain *chain, const char *setting, struct dtr_error *error) {
    char key[64];
    const char *equals = strchr(setting, '=');
    if (!equals || (size_t)(equals - setting) >= sizeof key)
        return dtr_fail(error, DTR_E_CONFIG, "--set %s: should be KEY=VALUE", setting);
    memcpy(key, setting, (size_t)(equals - setting));
    key[equals - setting] = '\0';
    const struct dtr_plugin *plugin = chain->plugin[0];
    const struct dtr_param *row = dtr_table_find(dtr_plugin_table(plugin), key, NULL);
    if (!row)
        return dtr_fail(error, DTR_E_CONFIG, "--set %s: the plugin '%s' has no parameter '%s'",
                        setting, plugin->name, key);
    const int status =
        dtr_value_parse(row, equals + 1, NULL, (void *)(uintptr_t)chain->params[0], error);
    dtr_error_prefix(error, "--set %s", setting);
    return status;
}

/* The name of what the innermost plugin so far is to be opened over; "auto" says nothing. */
static const char *below(const struct dtr_chain *chain, const char *otherwise) {
    const uint32_t last = chain->count - 1;
    const struct dtr_param *row =
        dtr_table_find(dtr_plugin_table(chain->plugin[last]), "over", NULL);
    const char *name;
    memcpy(&name, (const char *)chain->params[last] + row->offset, sizeof name);
    return name && *name && strcmp(name, "auto") ? name : otherwise;
}

static int build_chain(struct dtr_plugins *plugins, const struct dtr_plugin *plugin,
                       const char *lower, const struct dtr_arguments *arguments,
                       struct dtr_chain *chain, struct dtr_error *error) {
    int status = add(chain, plugin, error);
    for (size_t i = 0; !status && i < arguments->all_count; i += 2)
        if (!strcmp(arguments->all[i], "set"))
            status = set(chain, arguments->all[i + 1], error);
    while (!status && (plugin->caps & DTR_CAP_WRAPS)) {
        const char *name = below(chain, lower);
        if (!name || chain->count == DTR_CHAIN_MAX)
            return dtr_fail(error, DTR_E_CONFIG, "the plugin '%s' wraps another: --set over=NAME",
                            plugin->name);
        status = dtr_plugins_get(plugins, plugin->kind, name, &plugin, error);
        if (!status)
            status = add(chain, plugin, error);
    }
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

/* A kernel that does not say what it wraps is opened over the complete set. */
static int check_plugin(const struct dtr_cli *cli, struct dtr_plugins *plugins,
                        const struct dtr_plugin *plugin, const struct dtr_arguments *arguments,
                        struct dtr_check *check, struct dtr_error *error) {
    struct dtr_chain chain = {.count = 0};
    int status = build_chain(plugins, plugin, plugin->kind == DTR_KERNEL ? "reference" : NULL,
                             arguments, &chain, error);
    if (!status)
        status = check_chain(cli, arguments, &chain, check, error);
    free_chain(&chain);
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
    .help = "A kernel's results are compared with double precision, in every type and shape that\n"
            "it supports; a transport moves messages between up to nine processes, some of which\n"
            "die; a planner plans for one to 64 devices.  What a plugin wraps is set by `over`.  The\n"
            "output is TAP, a line a case.",
    .run = run,
};

/* SPDX-License-Identifier: MIT
 *
 * plugins.c -- `detransformer plugins [NAME]`: what can be loaded, and what one plugin takes.
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "config/params.h"
#include "plugin/load.h"

static void print_row(struct dtr_plugins *plugins, const char *name) {
    const struct dtr_plugin *plugin;
    struct dtr_error error = {0};
    int score;
    if (dtr_plugins_find(plugins, name, &plugin, &error)) {
        printf("%-10s %-12s %-8s %s\n", "?", name, "-", error.text);
        return;
    }
    if (dtr_plugins_probe(plugins, plugin, &score, &error))
        printf("%-10s %-12s %-8s %s\n", dtr_kind_name(plugin->kind), plugin->name, "no",
               error.text);
    else
        printf("%-10s %-12s %-8d %s\n", dtr_kind_name(plugin->kind), plugin->name, score,
               plugin->summary);
}

static int list_plugins(struct dtr_plugins *plugins, struct dtr_error *error) {
    char **names;
    size_t count;
    const int status = dtr_plugins_list(plugins, &names, &count, error);
    if (status)
        return dtr_cli_fail(error);
    printf("%-10s %-12s %-8s %s\n", "kind", "name", "score", "summary");
    for (size_t i = 0; i < count; i++)
        print_row(plugins, names[i]);
    dtr_plugins_names_free(names, count);
    return DTR_EXIT_DONE;
}

static void print_param(const struct dtr_param *row) {
    printf("\n  %s (%s%s%s", row->key, dtr_param_type_name(row), row->unit ? ", " : "",
           row->unit ? row->unit : "");
    if (row->range)
        printf(", %s", row->range);
    printf("), %s%s\n      %s\n", row->fallback ? "default: " : "required",
           !row->fallback     ? ""
           : row->fallback[0] ? row->fallback
                              : "none",
           row->help);
}

static int show_plugin(struct dtr_plugins *plugins, const char *name, struct dtr_error *error) {
    const struct dtr_plugin *plugin;
    if (dtr_plugins_find(plugins, name, &plugin, error))
        return dtr_cli_fail(error);
    struct dtr_error cause = {0};
    int score;
    printf("%s plugin %s %s\n%s\n\nfile       %s\nplugin ABI %u.%u\n", dtr_kind_name(plugin->kind),
           plugin->name, plugin->version, plugin->summary, dtr_plugins_file(plugins, plugin),
           plugin->abi_major, plugin->abi_minor);
    if (dtr_plugins_probe(plugins, plugin, &score, &cause))
        printf("score      none: %s\n", cause.text);
    else
        printf("score      %d\n", score);
    const struct dtr_table table = dtr_plugin_table(plugin);
    printf("\n[%s.%s]%s\n", dtr_kind_name(plugin->kind), plugin->name,
           dtr_table_count(table) ? "" : " has no parameters");
    for (size_t i = 0; i < dtr_table_count(table); i++)
        print_param(dtr_table_row(table, i));
    return DTR_EXIT_DONE;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    struct dtr_plugins *plugins;
    if (dtr_cli_plugins(cli, &plugins, &error))
        return dtr_cli_fail(&error);
    const int status = arguments->operands_count
                           ? show_plugin(plugins, arguments->operands[0], &error)
                           : list_plugins(plugins, &error);
    dtr_plugins_free(plugins);
    return status;
}

const struct dtr_command dtr_command_plugins = {
    .name = "plugins",
    .summary = "list the plugins that can be found, or the parameters of one",
    .operands = "[NAME]",
    .operands_max = 1,
    .help = "Without a name: kind, name, how well each suits this machine (no: it cannot run\n"
            "here), and what it is.  `plugin = auto` takes the highest score.",
    .run = run,
};

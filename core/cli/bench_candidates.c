/* SPDX-License-Identifier: MIT
 *
 * bench_candidates.c -- which plugins take part, and with what parameters.
 */
#include <string.h>

#include "cli/bench_kernel.h"
#include "plugin/load.h"

/* The settings that are for this plugin. */
static int apply_settings(struct dtr_candidate *candidate, const struct dtr_arguments *arguments,
                          struct dtr_error *error) {
    const char *name = candidate->plugin->name;
    const size_t length = strlen(name);
    int status = DTR_OK;
    for (size_t i = 0; !status && i < arguments->all_count; i += 2) {
        const char *setting = arguments->all[i + 1];
        if (strcmp(arguments->all[i], "set") != 0 || strncmp(setting, name, length) != 0 ||
            setting[length] != '.')
            continue;
        status = dtr_cli_chain_set(&candidate->chain, setting + length + 1, error);
        dtr_error_prefix(error, "--set %s", setting);
    }
    return status;
}

/* Every setting is for one of those that take part. */
static int check_settings(const struct dtr_bench *bench, const struct dtr_arguments *arguments,
                          struct dtr_error *error) {
    for (size_t i = 0; i < arguments->all_count; i += 2) {
        const char *setting = arguments->all[i + 1];
        const size_t length = strcspn(setting, ".=");
        uint32_t c = 0;
        if (strcmp(arguments->all[i], "set") != 0)
            continue;
        while (c < bench->candidates &&
               (strlen(bench->candidate[c].plugin->name) != length ||
                strncmp(bench->candidate[c].plugin->name, setting, length)))
            c++;
        if (setting[length] != '.' || c == bench->candidates)
            return dtr_fail(error, DTR_E_CONFIG,
                            "--set %s: should be NAME.KEY=VALUE with the name of a plugin that is "
                            "measured",
                            setting);
    }
    return DTR_OK;
}

static int add_candidate(struct dtr_bench *bench, const struct dtr_plugin *plugin,
                         const struct dtr_arguments *arguments, struct dtr_error *error) {
    if (bench->candidates == DTR_BENCH_PLUGINS)
        return dtr_fail(error, DTR_E_CONFIG, "more than %d plugins", DTR_BENCH_PLUGINS);
    struct dtr_candidate *candidate = &bench->candidate[bench->candidates++];
    const struct dtr_plugin *best;
    candidate->plugin = plugin;
    int status = dtr_cli_chain_begin(plugin, &candidate->chain, error);
    if (!status)
        status = apply_settings(candidate, arguments, error);
    if (!status)
        status = dtr_plugins_best(bench->plugins, DTR_KERNEL, &best, error);
    if (!status)
        status = dtr_cli_chain_complete(bench->plugins, best->name, &candidate->chain, error);
    return status;
}

static void leave_out(struct dtr_bench *bench) {
    struct dtr_candidate *candidate = &bench->candidate[--bench->candidates];
    dtr_chain_close(candidate->open);
    dtr_cli_chain_free(&candidate->chain);
    *candidate = (struct dtr_candidate){0};
}

/* All that run here as they are; one that needs parameters says so. */
static int add_all(struct dtr_bench *bench, const struct dtr_arguments *arguments,
                   struct dtr_error *error) {
    char **names;
    size_t count;
    int status = dtr_plugins_list(bench->plugins, &names, &count, error);
    if (status)
        return status;
    for (size_t i = 0; i < count && !status; i++) {
        const struct dtr_plugin *plugin;
        struct dtr_error cause = {0};
        int score;
        if (dtr_plugins_find(bench->plugins, names[i], &plugin, &cause) ||
            plugin->kind != DTR_KERNEL || (plugin->caps & DTR_CAP_WRAPS) ||
            dtr_plugins_probe(bench->plugins, plugin, &score, &cause))
            continue;
        status = add_candidate(bench, plugin, arguments, error);
        struct dtr_candidate *candidate = &bench->candidate[bench->candidates - 1];
        if (!status && dtr_chain_open(&candidate->chain, &bench->cli->log, 1, 0, 1,
                                      &candidate->open, &cause)) {
            dtr_log(&bench->cli->log, DTR_LOG_WARN, "left out: %s", cause.text);
            leave_out(bench);
        } else if (!status) {
            dtr_chain_close(candidate->open);
            candidate->open = NULL;
        }
    }
    dtr_plugins_names_free(names, count);
    return status;
}

static int add_named(struct dtr_bench *bench, const char *list,
                     const struct dtr_arguments *arguments, struct dtr_error *error) {
    char word[100];
    int status = DTR_OK;
    for (const char *at = list; !status && dtr_bench_next_word(&at, word, sizeof word);) {
        const struct dtr_plugin *plugin;
        status = dtr_plugins_get(bench->plugins, DTR_KERNEL, word, &plugin, error);
        if (!status)
            status = add_candidate(bench, plugin, arguments, error);
    }
    return status;
}

int dtr_bench_candidates_choose(struct dtr_bench *bench, const char *list,
                                const struct dtr_arguments *arguments, struct dtr_error *error) {
    int status = list ? add_named(bench, list, arguments, error) : add_all(bench, arguments, error);
    if (!status && !bench->candidates)
        status = dtr_fail(error, DTR_E_CONFIG, "there is no kernel plugin to measure");
    return status ? status : check_settings(bench, arguments, error);
}

void dtr_bench_candidates_free(struct dtr_bench *bench) {
    while (bench->candidates > 0)
        leave_out(bench);
}

int dtr_bench_candidates_open(struct dtr_bench *bench, uint32_t threads, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t i = 0; !status && i < bench->candidates; i++) {
        struct dtr_candidate *candidate = &bench->candidate[i];
        dtr_chain_close(candidate->open);
        candidate->open = NULL;
        status = dtr_chain_open(&candidate->chain, &bench->cli->log, threads, 0, 1,
                                &candidate->open, error);
    }
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * chains.c -- which plugins each device uses, one over the other, and with which parameters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/store.h"
#include "plugin/load.h"
#include "plugin/registry.h"

/* Where a plugin is named, for messages. */
struct named {
    const char *section, *key;
};

static bool is_remote(const struct dtr_experiment_store *store) {
    return !strcmp(store->experiment.launch, "remote");
}

/* True when the device runs on this machine: what it uses can be tried. */
static bool is_here(const struct dtr_experiment_store *store, uint32_t device) {
    return store->files_checked && (!device || !strcmp(store->experiment.launch, "local"));
}

/* --- which ------------------------------------------------------------------------------------ */

static uint32_t dtype_of(const struct dtr_experiment_store *store, uint32_t device) {
    const struct dtr_section_kernel *kernel = store->kernel[device];
    return (uint32_t)kernel->dtype;
}

/* `plugin = auto`, decided once; the kernel for each type.  The transport that launches moves the
 * messages too; otherwise those that can launch take no part. */
static int choose(struct dtr_experiment_store *store, enum dtr_kind kind, uint32_t device,
                  const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    const struct dtr_plugin **chosen = kind == DTR_KERNEL
                                           ? &store->automatic_kernel[dtype_of(store, device)]
                                           : &store->automatic[kind];
    const char *launch = store->experiment.launch;
    int status = DTR_OK;
    if (!*chosen && kind == DTR_TRANSPORT && strcmp(launch, "local") && strcmp(launch, "remote"))
        status = dtr_plugins_get(store->plugins, kind, launch, chosen, error);
    else if (!*chosen && kind == DTR_TRANSPORT)
        status = dtr_plugins_choose(store->plugins, kind, is_remote(store) ? DTR_CAP_REMOTE : 0,
                                    DTR_CAP_WRAPS | DTR_CAP_LAUNCH, chosen, error);
    else if (!*chosen && kind == DTR_KERNEL)
        status = dtr_plugins_best_kernel(store->plugins, dtype_of(store, device), chosen, error);
    else if (!*chosen)
        status = dtr_plugins_best(store->plugins, kind, chosen, error);
    *plugin_p = *chosen;
    return status;
}

static int find_plugin(struct dtr_experiment_store *store, enum dtr_kind kind, uint32_t device,
                       const char *name, struct named named, const struct dtr_plugin **plugin_p,
                       struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    const int status = strcmp(name, "auto")
                           ? dtr_plugins_get(store->plugins, kind, name, plugin_p, &cause)
                           : choose(store, kind, device, plugin_p, &cause);
    if (status == DTR_E_MEMORY)
        return dtr_fail_memory(error);
    if (status)
        return dtr_fail_at(store, named.section, named.key, error, "%s: %s", named.key, cause.text);
    return DTR_OK;
}

/* --- with what -------------------------------------------------------------------------------- */

static int check_parameters(const struct dtr_experiment_store *store,
                            const struct dtr_plugin *plugin, uint32_t device, const void *values,
                            struct dtr_error *error) {
    char section[64];
    const struct dtr_param *row;
    snprintf(section, sizeof section, "%s.%s", dtr_kind_name(plugin->kind), plugin->name);
    for (size_t i = 0; (row = dtr_table_row(dtr_plugin_table(plugin), i)); i++) {
        const struct dtr_ini_entry *entry = dtr_plugin_entry(store, plugin, device, row->key);
        if (!entry && !row->fallback)
            return dtr_fail_required(store, section, row, error);
        if (!entry || row->type != DTR_PATH || !is_here(store, device))
            continue;
        const char *path = *(const char *const *)((const char *)values + row->offset);
        /* A word of the table's that stands for itself is no path. */
        const int status =
            *path == '/' ? dtr_file_check(store, entry->section, entry->key, path, error) : DTR_OK;
        if (status)
            return status;
    }
    return DTR_OK;
}

static struct dtr_block *find_block(const struct dtr_experiment_store *store,
                                    const struct dtr_plugin *plugin, uint32_t device) {
    for (size_t i = 0; i < store->blocks_count; i++)
        if (store->blocks[i]->plugin == plugin && store->blocks[i]->device == device)
            return store->blocks[i];
    return NULL;
}

bool dtr_plugin_is_used(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin) {
    for (size_t i = 0; i < store->blocks_count; i++)
        if (store->blocks[i]->plugin == plugin)
            return true;
    return false;
}

/* The block, made when it is not there. */
static int get_block(struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                     uint32_t device, struct dtr_block **block_p, struct dtr_error *error) {
    *block_p = find_block(store, plugin, device);
    if (*block_p)
        return DTR_OK;
    struct dtr_block **more =
        realloc(store->blocks, (store->blocks_count + 1) * sizeof *store->blocks);
    if (more)
        store->blocks = more;
    struct dtr_block *block = more ? calloc(1, sizeof *block) : NULL;
    if (!block)
        return dtr_fail_memory(error);
    *block = (struct dtr_block){.plugin = plugin, .device = device};
    more[store->blocks_count++] = block;
    *block_p = block;
    return dtr_plugin_values(store, plugin, device, &block->values, error);
}

/* The parameters of the plugin on the device.  Those of all devices are there in any case, to be
 * printed. */
static int make_block(struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                      uint32_t device, struct dtr_block **block_p, struct dtr_error *error) {
    int status = get_block(store, plugin, DTR_ALL_DEVICES, block_p, error);
    if (!status && dtr_plugin_differs(store, plugin, device))
        status = get_block(store, plugin, device, block_p, error);
    return status ? status : check_parameters(store, plugin, device, (*block_p)->values, error);
}

/* --- one over the other ----------------------------------------------------------------------- */

static bool is_in(const struct dtr_chain *chain, const struct dtr_plugin *plugin) {
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->plugin[i] == plugin)
            return true;
    return false;
}

/* Whoever was chosen can run here. */
static bool is_automatic(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                         uint32_t device) {
    return plugin->kind == DTR_KERNEL ? plugin == store->automatic_kernel[dtype_of(store, device)]
                                      : plugin == store->automatic[plugin->kind];
}

/* Puts the plugin below what is there. */
static int add_plugin(struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                      uint32_t device, struct named named, struct dtr_chain *chain,
                      struct dtr_block **block_p, struct dtr_error *error) {
    int score;
    struct dtr_error cause = {.status = DTR_OK};
    if (is_in(chain, plugin))
        return dtr_fail_at(store, named.section, named.key, error, "%s: '%s' would wrap itself",
                           named.key, plugin->name);
    if (chain->count == DTR_CHAIN_MAX)
        return dtr_fail_at(store, named.section, named.key, error,
                           "%s: more than %d plugins one over the other", named.key, DTR_CHAIN_MAX);
    if (is_here(store, device) && !is_automatic(store, plugin, device) &&
        !dtr_plugin_is_used(store, plugin) &&
        dtr_plugins_probe(store->plugins, plugin, &score, &cause))
        return dtr_fail_at(store, named.section, named.key, error, "%s: %s", named.key, cause.text);
    const int status = make_block(store, plugin, device, block_p, error);
    if (status)
        return status;
    chain->plugin[chain->count] = plugin;
    chain->params[chain->count++] = (*block_p)->values;
    return DTR_OK;
}

static char **over_of(const struct dtr_block *block) {
    const struct dtr_param *row = dtr_table_find(dtr_plugin_table(block->plugin), "over", NULL);
    return (char **)(void *)((char *)block->values + row->offset);
}

/* All devices must have the transport that was chosen here: its name takes the place of `auto`.
 * Each chooses its own kernel. */
static int settle_over(const struct dtr_experiment_store *store, const struct dtr_plugin *wrapper,
                       const struct dtr_plugin *below, struct dtr_error *error) {
    for (size_t i = 0; below->kind != DTR_KERNEL && i < store->blocks_count; i++) {
        char **over = store->blocks[i]->plugin == wrapper ? over_of(store->blocks[i]) : NULL;
        if (!over || strcmp(*over, "auto"))
            continue;
        char *name = strdup(below->name);
        if (!name)
            return dtr_fail_memory(error);
        free(*over);
        *over = name;
    }
    return DTR_OK;
}

static int make_chain(struct dtr_experiment_store *store, enum dtr_kind kind, const char *name,
                      uint32_t device, struct named named, struct dtr_chain *chain,
                      struct dtr_error *error) {
    char section[64];
    const struct dtr_plugin *above = NULL;
    *chain = (struct dtr_chain){.count = 0};
    for (;;) {
        const struct dtr_plugin *plugin;
        struct dtr_block *block;
        int status = find_plugin(store, kind, device, name, named, &plugin, error);
        if (!status && above)
            status = settle_over(store, above, plugin, error);
        if (!status)
            status = add_plugin(store, plugin, device, named, chain, &block, error);
        if (status || !(plugin->caps & DTR_CAP_WRAPS))
            return status;
        above = plugin;
        name = *over_of(block);
        snprintf(section, sizeof section, "%s.%s", dtr_kind_name(kind), plugin->name);
        const struct dtr_ini_entry *entry = dtr_plugin_entry(store, plugin, device, "over");
        named =
            entry ? (struct named){entry->section, entry->key} : (struct named){section, "over"};
    }
}

/* --- by kind ---------------------------------------------------------------------------------- */

static int make_kernel(struct dtr_experiment_store *store, uint32_t device,
                       struct dtr_error *error) {
    char section[32];
    const struct dtr_section_kernel *kernel = store->kernel[device];
    snprintf(section, sizeof section, "device.%u", device);
    struct named named = {section, "kernel.plugin"};
    if (!dtr_ini_find(store->ini, named.section, named.key))
        named = (struct named){"kernel", "plugin"};
    return make_chain(store, DTR_KERNEL, kernel->plugin, device, named,
                      &store->kernel_chain[device], error);
}

static int check_reach(const struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_chain *chain = &store->transport_chain[0];
    const struct dtr_plugin *lowest = chain->plugin[chain->count - 1];
    if (!is_remote(store) || lowest->caps & DTR_CAP_REMOTE)
        return DTR_OK;
    return dtr_fail_at(store, "transport", "plugin", error,
                       "plugin: '%s' does not reach other machines, which launch = remote asks for",
                       lowest->name);
}

static int make_transport(struct dtr_experiment_store *store, uint32_t device,
                          struct dtr_error *error) {
    const struct dtr_section_transport *transport = store->section[DTR_SECTION_TRANSPORT];
    struct dtr_chain *chain = &store->transport_chain[device];
    const int status = make_chain(store, DTR_TRANSPORT, transport->plugin, device,
                                  (struct named){"transport", "plugin"}, chain, error);
    if (status || !device)
        return status ? status : check_reach(store, error);
    const struct dtr_chain *first = &store->transport_chain[0];
    if (chain->count == first->count && !memcmp(chain->plugin, first->plugin, sizeof chain->plugin))
        return DTR_OK;
    char section[32];
    snprintf(section, sizeof section, "device.%u", device);
    return dtr_fail_at(store, section, "", error,
                       "wraps another transport than device 0; 'over' is the same for all devices");
}

static int make_planner(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_section_planner *planner = store->section[DTR_SECTION_PLANNER];
    return make_chain(store, DTR_PLANNER, planner->plugin, 0, (struct named){"planner", "plugin"},
                      &store->planner_chain, error);
}

int dtr_chains_make(struct dtr_experiment_store *store, struct dtr_error *error) {
    const uint32_t devices = store->experiment.devices;
    store->kernel_chain = calloc(devices, sizeof *store->kernel_chain);
    store->transport_chain = calloc(devices, sizeof *store->transport_chain);
    if (!store->kernel_chain || !store->transport_chain)
        return dtr_fail_memory(error);
    int status = DTR_OK;
    for (uint32_t i = 0; !status && i < devices; i++)
        status = make_kernel(store, i, error);
    for (uint32_t i = 0; !status && i < devices; i++)
        status = make_transport(store, i, error);
    return status ? status : make_planner(store, error);
}

void dtr_chains_free(struct dtr_experiment_store *store) {
    for (size_t i = 0; i < store->blocks_count; i++) {
        dtr_values_free(dtr_plugin_table(store->blocks[i]->plugin), store->blocks[i]->values);
        free(store->blocks[i]);
    }
    free(store->blocks);
    free(store->kernel_chain);
    free(store->transport_chain);
}

int dtr_experiment_chain(const struct dtr_experiment *experiment, enum dtr_kind kind,
                         uint32_t device, struct dtr_chain *chain, struct dtr_error *error) {
    const struct dtr_experiment_store *store = experiment->store;
    if (device >= experiment->devices)
        return dtr_fail(error, DTR_E_CONFIG, "device %u of %u", device, experiment->devices);
    *chain = kind == DTR_KERNEL      ? store->kernel_chain[device]
             : kind == DTR_TRANSPORT ? store->transport_chain[device]
                                     : store->planner_chain;
    return DTR_OK;
}

static int refuse_paths(const struct dtr_chain *chain, struct dtr_error *error) {
    const struct dtr_param *row;
    for (uint32_t i = 0; i < chain->count; i++)
        for (size_t r = 0; (row = dtr_table_row(dtr_plugin_table(chain->plugin[i]), r)); r++) {
            const char *const *value =
                (const char *const *)(const void *)((const char *)chain->params[i] + row->offset);
            if (row->type != DTR_PATH || (row->fallback && !strcmp(*value, row->fallback)))
                continue;
            return dtr_fail(error, DTR_E_CONFIG,
                            "[%s.%s] %s: a worker on another machine takes no file's name from its "
                            "leader",
                            dtr_kind_name(chain->plugin[i]->kind), chain->plugin[i]->name,
                            row->key);
        }
    return DTR_OK;
}

int dtr_experiment_refuse_paths(const struct dtr_experiment *experiment, uint32_t device,
                                struct dtr_error *error) {
    struct dtr_chain chain;
    int status = dtr_experiment_chain(experiment, DTR_KERNEL, device, &chain, error);
    if (!status)
        status = refuse_paths(&chain, error);
    if (!status)
        status = dtr_experiment_chain(experiment, DTR_TRANSPORT, device, &chain, error);
    return status ? status : refuse_paths(&chain, error);
}

/* SPDX-License-Identifier: MIT */
#include "cli/chain.h"

#include <string.h>

#include "config/params.h"
#include "plugin/registry.h"

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

void dtr_cli_chain_free(struct dtr_chain *chain) {
    while (chain->count > 0) {
        chain->count--;
        dtr_params_free(chain->plugin[chain->count],
                        (void *)(uintptr_t)chain->params[chain->count]);
    }
}

int dtr_cli_chain_set(const struct dtr_chain *chain, const char *setting, struct dtr_error *error) {
    char key[64];
    const char *equals = strchr(setting, '=');
    if (!equals || (size_t)(equals - setting) >= sizeof key)
        return dtr_fail(error, DTR_E_CONFIG, "should be KEY=VALUE");
    memcpy(key, setting, (size_t)(equals - setting));
    key[equals - setting] = '\0';
    const struct dtr_plugin *plugin = chain->plugin[0];
    const struct dtr_param *row = dtr_table_find(dtr_plugin_table(plugin), key, NULL);
    if (!row)
        return dtr_fail(error, DTR_E_CONFIG, "the plugin '%s' has no parameter '%s'", plugin->name,
                        key);
    return dtr_value_parse(row, equals + 1, NULL, (void *)(uintptr_t)chain->params[0], error);
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

int dtr_cli_chain_begin(const struct dtr_plugin *plugin, struct dtr_chain *chain,
                        struct dtr_error *error) {
    chain->count = 0;
    return add(chain, plugin, error);
}

int dtr_cli_chain_complete(struct dtr_plugins *plugins, const char *lower, struct dtr_chain *chain,
                           struct dtr_error *error) {
    const struct dtr_plugin *plugin = chain->plugin[chain->count - 1];
    int status = DTR_OK;
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

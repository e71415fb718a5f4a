/* SPDX-License-Identifier: MIT
 *
 * chain.c -- opens a chain of plugins from the bottom up and closes it from the top down.
 */
#include <stdlib.h>

#include "config/experiment.h"
#include "plugin/host.h"
#include "plugin/load.h"
#include "plugin/registry.h"

struct dtr_open_chain {
    struct dtr_pool *pool;
    uint32_t count; /* open ones; the last is the outermost */
    struct dtr_instance instance[DTR_CHAIN_MAX];
    struct dtr_services services[DTR_CHAIN_MAX];
};

static int probe(const struct dtr_plugin *plugin, const struct dtr_host *host,
                 struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    if (plugin->probe(host, &cause) > 0)
        return DTR_OK;
    return dtr_fail(error, DTR_E_CONFIG, "the %s plugin '%s' cannot run here: %s",
                    dtr_kind_name(plugin->kind), plugin->name,
                    cause.status ? cause.text : "it does not say why");
}

/* Opens `plugin` over what is open already. */
static int open_next(struct dtr_open_chain *open, const struct dtr_plugin *plugin,
                     struct dtr_open how, const struct dtr_log *log, struct dtr_error *error) {
    struct dtr_services *services = &open->services[open->count];
    dtr_services_init(services, plugin->name, log, open->pool);
    int status = probe(plugin, &services->host, error);
    if (status)
        return status;
    how.lower = open->count ? &open->instance[open->count - 1] : NULL;
    struct dtr_error cause = {.status = DTR_OK};
    void *self = NULL;
    status = plugin->open(&services->host, &how, &self, &cause);
    if (status)
        return dtr_fail(error, status < 0 ? status : DTR_E_PLUGIN, "the %s plugin '%s': %s",
                        dtr_kind_name(plugin->kind), plugin->name,
                        cause.status ? cause.text : "it does not open and does not say why");
    open->instance[open->count++] = (struct dtr_instance){.plugin = plugin, .self = self};
    return DTR_OK;
}

int dtr_chain_open(const struct dtr_chain *chain, const struct dtr_log *log, uint32_t threads,
                   uint32_t device, uint32_t devices, struct dtr_open_chain **open_p,
                   struct dtr_error *error) {
    struct dtr_open_chain *open = calloc(1, sizeof *open);
    if (!open)
        return dtr_fail_memory(error);
    int status = dtr_pool_create(threads, &open->pool, error);
    for (uint32_t i = chain->count; !status && i-- > 0;) {
        const struct dtr_open how = {.size = sizeof how,
                                     .params = chain->params[i],
                                     .threads = threads ? threads : 1,
                                     .device = device,
                                     .devices = devices};
        status = open_next(open, chain->plugin[i], how, log, error);
    }
    if (status) {
        dtr_chain_close(open);
        return status;
    }
    *open_p = open;
    return DTR_OK;
}

void dtr_chain_close(struct dtr_open_chain *open) {
    if (!open)
        return;
    while (open->count > 0) {
        const struct dtr_instance *top = &open->instance[--open->count];
        top->plugin->close(top->self);
    }
    dtr_pool_free(open->pool);
    free(open);
}

void dtr_chain_threads(const struct dtr_open_chain *open, dtr_thread_visit *visit, void *arg) {
    dtr_pool_threads(open->pool, visit, arg);
}

const struct dtr_instance *dtr_chain_top(const struct dtr_open_chain *open) {
    return open->count ? &open->instance[open->count - 1] : NULL;
}

const struct dtr_plugin *dtr_chain_lacking(const struct dtr_open_chain *open, uint64_t caps) {
    for (uint32_t i = open->count; i-- > 0;)
        if (caps & ~open->instance[i].plugin->caps)
            return open->instance[i].plugin;
    return NULL;
}

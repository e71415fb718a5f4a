/* SPDX-License-Identifier: MIT
 *
 * host.h -- the services that the core lends to one instance of a plugin.
 */
#ifndef DTR_PLUGIN_HOST_H
#define DTR_PLUGIN_HOST_H

#include <detransformer/plugin.h>

#include "base/log.h"
#include "plugin/pool.h"

struct dtr_services {
    struct dtr_host host; /* first: it is what the plugin hands back */
    const char *who;      /* the plugin's name, before its log lines */
    const struct dtr_log *log;
    struct dtr_pool *pool; /* NULL: parallel() works in the caller alone */
};

/* All but `services` is borrowed. */
void dtr_services_init(struct dtr_services *services, const char *who, const struct dtr_log *log,
                       struct dtr_pool *pool);

#endif

/* SPDX-License-Identifier: MIT
 *
 * chain.h -- a plugin and those that it wraps, put together from a command line instead of an
 * experiment: parameters at their defaults, some of them set.
 */
#ifndef DTR_CLI_CHAIN_H
#define DTR_CLI_CHAIN_H

#include "config/experiment.h"

/* Gives a parameter of the chain's outermost plugin a value: `setting` is KEY=VALUE.  DTR_E_CONFIG
 * when the plugin has no such parameter. */
int dtr_cli_chain_set(const struct dtr_chain *chain, const char *setting, struct dtr_error *error);

/* The chain of `plugin` alone. */
int dtr_cli_chain_begin(const struct dtr_plugin *plugin, struct dtr_chain *chain,
                        struct dtr_error *error);

/* Adds what its plugins wrap: what their parameter `over` names, else the plugin `lower`, if any.
 */
int dtr_cli_chain_complete(struct dtr_plugins *plugins, const char *lower, struct dtr_chain *chain,
                           struct dtr_error *error);

/* Also after a failure, and of a chain that was never begun. */
void dtr_cli_chain_free(struct dtr_chain *chain);

#endif

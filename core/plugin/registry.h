/* SPDX-License-Identifier: MIT
 *
 * registry.h -- finds, loads and checks plugins, and opens instances of them.  A plugin is loaded
 * because something names it, never because it lies in a folder; only `detransformer plugins` and
 * `plugin = auto` look at all of them.
 */
#ifndef DTR_PLUGIN_REGISTRY_H
#define DTR_PLUGIN_REGISTRY_H

#include <detransformer/kernel.h>
#include <detransformer/planner.h>
#include <detransformer/plugin.h>
#include <detransformer/transport.h>

#include "base/error.h"
#include "base/log.h"
#include "plugin/pool.h"

struct dtr_plugins;

/* `path`: folders separated by colons that --plugin-path gave, or NULL.  Then come the variable
 * DTR_PLUGIN_PATH, the build tree's modules/.libs when the program runs from there, and the
 * installed folder. */
int dtr_plugins_create(const char *path, const struct dtr_log *log, struct dtr_plugins **plugins_p,
                       struct dtr_error *error);
void dtr_plugins_free(struct dtr_plugins *plugins);

/* The folders searched, joined by colons; belongs to `plugins`. */
const char *dtr_plugins_path(const struct dtr_plugins *plugins);

/* The plugin of that kind and name, loaded and checked once.  A file that is wrong is refused with
 * a sentence that names the file, what was found and what was wanted; a name that is nowhere, with
 * the nearest name that is there. */
int dtr_plugins_get(struct dtr_plugins *plugins, enum dtr_kind kind, const char *name,
                    const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* Loads one file, whatever its kind (`check`, `plugins NAME`). */
int dtr_plugins_load_file(struct dtr_plugins *plugins, const char *file,
                          const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* The plugin of that name, whatever its kind. */
int dtr_plugins_find(struct dtr_plugins *plugins, const char *name,
                     const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* The names of all plugins that can be found, sorted, without loading them: stems of files.  The
 * caller frees the array and each name, or calls dtr_plugins_names_free(). */
int dtr_plugins_list(struct dtr_plugins *plugins, char ***names_p, size_t *count_p,
                     struct dtr_error *error);

void dtr_plugins_names_free(char **names, size_t count);

/* How well the plugin suits this machine, at least 1; an error with the reason when it cannot run
 * here. */
int dtr_plugins_probe(struct dtr_plugins *plugins, const struct dtr_plugin *plugin, int *score_p,
                      struct dtr_error *error);

/* The plugin of the kind whose probe() gives the best score (`plugin = auto`); wrappers take no
 * part. */
int dtr_plugins_best(struct dtr_plugins *plugins, enum dtr_kind kind,
                     const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* The best kernel for linear layers in that type (enum dtr_dtype): the one with the best score that
 * says, when it is opened, that it supports them. */
int dtr_plugins_best_kernel(struct dtr_plugins *plugins, uint32_t dtype,
                            const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* The same among those that have all capabilities of `with` and none of `without`. */
int dtr_plugins_choose(struct dtr_plugins *plugins, enum dtr_kind kind, uint64_t with,
                       uint64_t without, const struct dtr_plugin **plugin_p,
                       struct dtr_error *error);

/* The file a loaded plugin came from. */
const char *dtr_plugins_file(const struct dtr_plugins *plugins, const struct dtr_plugin *plugin);

/* An open chain of instances, outermost first.  It carries the host tables and the threads behind
 * dtr_host.parallel(), shared by the chain. */
struct dtr_open_chain;

struct dtr_chain; /* config/experiment.h */

/* Probes and opens from the bottom up.  `threads`: the device's.  On failure nothing stays open. */
int dtr_chain_open(const struct dtr_chain *chain, const struct dtr_log *log, uint32_t threads,
                   uint32_t device, uint32_t devices, struct dtr_open_chain **open_p,
                   struct dtr_error *error);
void dtr_chain_close(struct dtr_open_chain *open); /* from the top down; NULL is allowed */

/* The threads behind dtr_host.parallel(), see dtr_pool_threads(). */
void dtr_chain_threads(const struct dtr_open_chain *open, dtr_thread_visit *visit, void *arg);

/* The outermost instance. */
const struct dtr_instance *dtr_chain_top(const struct dtr_open_chain *open);

/* The outermost plugin that lacks one of the capabilities, or NULL: a wrapper may have some that
 * what it lies over has not. */
const struct dtr_plugin *dtr_chain_lacking(const struct dtr_open_chain *open, uint64_t caps);

/* All parameters at their defaults: for `check`, tests and plugins that no section names.  The
 * block is freed with dtr_params_free(). */
int dtr_params_defaults(const struct dtr_plugin *plugin, void **params_p, struct dtr_error *error);
void dtr_params_free(const struct dtr_plugin *plugin, void *params);

#endif

/* SPDX-License-Identifier: MIT
 *
 * load.h -- one file in, one checked plugin description out.  Whatever is wrong with the file is
 * said in a sentence that names the file, what was found and what was wanted.
 */
#ifndef DTR_PLUGIN_LOAD_H
#define DTR_PLUGIN_LOAD_H

#include <detransformer/plugin.h>

#include "base/error.h"

/* `file`: absolute.  A plugin is never unloaded: libraries that it brings along (BLAS, MPI) do not
 * survive that, and a leak in one that is gone has no name. */
int dtr_plugin_load(const char *file, const struct dtr_plugin **plugin_p, struct dtr_error *error);

/* The same checks on a description that is already in memory; `stem` is the name wanted. */
int dtr_plugin_check(const struct dtr_plugin *plugin, const char *stem, struct dtr_error *error);

/* "kernel", "transport" or "planner"; "unknown" for any other number. */
const char *dtr_kind_name(uint32_t kind);

/* The stem of "folder/NAME.so", or NULL when the file is not called like a plugin; the caller
 * frees. */
char *dtr_plugin_stem(const char *file);

#endif

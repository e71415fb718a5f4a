/* SPDX-License-Identifier: MIT
 *
 * store.h -- what lies behind a struct dtr_experiment: the entries as they were read, and the
 * values made of them.  Private to core/config.
 */
#ifndef DTR_CONFIG_STORE_H
#define DTR_CONFIG_STORE_H

#include "config/experiment.h"
#include "config/ini.h"
#include "config/sections.h"

/* The parameters of one plugin, for one device or for all that do not differ. */
#define DTR_ALL_DEVICES UINT32_MAX
struct dtr_block {
    const struct dtr_plugin *plugin;
    uint32_t device;
    void *values;
};

struct dtr_experiment_store {
    struct dtr_experiment experiment; /* points into what follows */
    struct dtr_ini *ini;
    struct dtr_plugins *plugins;
    const struct dtr_log *log;
    char *folder;
    bool files_checked; /* and paths made absolute: not where the text came from elsewhere */
    char *working;      /* the folder that relative paths of --set start from; else `folder` */
    void *section[DTR_SECTIONS]; /* structs of sections.h */
    void **device;               /* [devices] struct dtr_section_device */
    void **kernel;               /* [devices] struct dtr_section_kernel */
    struct dtr_device_settings *settings;
    struct dtr_topology *topology; /* of this machine, once asked for */
    struct dtr_block **blocks;
    size_t blocks_count;
    const struct dtr_plugin *automatic[DTR_PLANNER + 1]; /* by kind, once chosen */
    const struct dtr_plugin *automatic_kernel[DTR_INT8 + 1]; /* by the type it multiplies in */
    struct dtr_chain *kernel_chain;                      /* [devices] */
    struct dtr_chain *transport_chain;                   /* [devices] */
    struct dtr_chain planner_chain;
    struct dtr_grid *grid;
    size_t grid_count;
};

/* What a key of the file stands for. */
struct dtr_place {
    struct dtr_table table;
    const struct dtr_param *row;
    const struct dtr_plugin *plugin; /* whose parameter it is; NULL: a key of the core's */
    enum dtr_section_id section;     /* which then says whose */
};

/* "[section] " and a sentence, after the place of the key, or of the section, or the file's name;
 * DTR_E_CONFIG. */
int dtr_fail_at(const struct dtr_experiment_store *store, const char *section, const char *key,
                struct dtr_error *error, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same for a key that has no default and is not given. */
int dtr_fail_required(const struct dtr_experiment_store *store, const char *section,
                      const struct dtr_param *row, struct dtr_error *error);

/* --- places.c: what the keys stand for -------------------------------------------------------- */

/* The number in "device.2" or before the rest of "device.2.threads"; *rest_p (may be NULL) is what
 * comes after it, "" or ".threads". */
bool dtr_device_number(const char *text, uint32_t *device_p, const char **rest_p);

/* Unknown sections, plugins and keys are refused with what could have been meant; the sentence
 * does not say where.  *plugin_p: the one whose section it is, or NULL. */
int dtr_section_check(const struct dtr_experiment_store *store, const char *section,
                      const struct dtr_plugin **plugin_p, struct dtr_error *error);
int dtr_place_find(const struct dtr_experiment_store *store, const char *section, const char *key,
                   struct dtr_place *place_p, struct dtr_error *error);

/* Splits "section.key" at the last dot, or after "device.N."; the caller frees *section_p, and
 * *key_p points into `dotted`. */
int dtr_key_split(const char *dotted, char **section_p, const char **key_p,
                  struct dtr_error *error);

/* --- values.c: the values of entries ---------------------------------------------------------- */

/* Checks every section and every entry on its own. */
int dtr_entries_check(struct dtr_experiment_store *store, struct dtr_error *error);

/* Makes the grid of [sweep] and [series.NAME], checked. */
int dtr_grid_make(struct dtr_experiment_store *store, struct dtr_error *error);
void dtr_grid_free(struct dtr_experiment_store *store);

/* What `text`, a value of the entry or a part of it, says, written as a struct would give it back;
 * the caller frees. */
int dtr_text_reformat(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                      const struct dtr_param *row, const char *text, char **text_p,
                      struct dtr_error *error);

/* The entry's value as a struct would give it back; the caller frees.  NULL: out of memory. */
char *dtr_entry_format(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                       const struct dtr_param *row);

/* The values of a section, or of a plugin's parameters, for one device or DTR_ALL_DEVICES.  The
 * entries were checked. */
int dtr_section_values(const struct dtr_experiment_store *store, enum dtr_section_id id,
                       uint32_t device, void **values_p, struct dtr_error *error);
int dtr_plugin_values(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                      uint32_t device, void **values_p, struct dtr_error *error);

/* The entry that such a value comes from, or NULL: the default. */
const struct dtr_ini_entry *dtr_plugin_entry(const struct dtr_experiment_store *store,
                                             const struct dtr_plugin *plugin, uint32_t device,
                                             const char *key);

/* True when [device.N] says something of the plugin. */
bool dtr_plugin_differs(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                        uint32_t device);

/* The file is there and can be read. */
int dtr_file_check(const struct dtr_experiment_store *store, const char *section, const char *key,
                   const char *path, struct dtr_error *error);

/* --- pinning.c: [device] cores ---------------------------------------------------------------- */

/* Reads what the device is pinned to, and settles that for the devices on this machine. */
int dtr_cores_read(const struct dtr_experiment_store *store, uint32_t device,
                   struct dtr_device_settings *settings, struct dtr_error *error);
int dtr_cores_settle(struct dtr_experiment_store *store, struct dtr_error *error);

/* --- chains.c: the plugins -------------------------------------------------------------------- */

/* Chooses, loads and checks the plugins of all devices, and makes their parameters. */
int dtr_chains_make(struct dtr_experiment_store *store, struct dtr_error *error);
void dtr_chains_free(struct dtr_experiment_store *store);
bool dtr_plugin_is_used(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin);

#endif

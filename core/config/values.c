/* SPDX-License-Identifier: MIT
 *
 * values.c -- entries checked one by one, and laid over each other: a section's defaults, what the
 * section says, what [device.N] says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/store.h"
#include "plugin/load.h"

static const char *folder_of(const struct dtr_experiment_store *store,
                             const struct dtr_ini_entry *entry) {
    if (!store->files_checked)
        return NULL;
    return entry->line ? store->folder : store->working;
}

/* --- one value -------------------------------------------------------------------------------- */

int dtr_text_reformat(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                      const struct dtr_param *row, const char *text, char **text_p,
                      struct dtr_error *error) {
    union {
        char *text;
        struct dtr_list list;
        int64_t number;
    } value = {.list = {.count = 0}};
    struct dtr_param alone = *row;
    alone.offset = 0;
    int status = dtr_value_parse(&alone, text, folder_of(store, entry), &value, error);
    if (status)
        return status;
    char *formatted = dtr_value_format(&alone, &value);
    if (row->type == DTR_TEXT || row->type == DTR_PATH)
        free(value.text);
    else if (row->type == DTR_LIST)
        free((void *)value.list.words);
    if (!formatted)
        return dtr_fail_memory(error);
    *text_p = formatted;
    return DTR_OK;
}

char *dtr_entry_format(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                       const struct dtr_param *row) {
    char *text = NULL;
    dtr_text_reformat(store, entry, row, entry->value, &text, NULL);
    return text;
}

static bool is_grid(const char *section) {
    return !strcmp(section, "sweep") || !strncmp(section, "series.", 7);
}

static int check_entry(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                       struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    struct dtr_place place;
    char *text = NULL;
    int status = dtr_place_find(store, entry->section, entry->key, &place, &cause);
    if (status)
        return dtr_fail(error, status, "%s: %s", entry->origin, cause.text);
    status = dtr_text_reformat(store, entry, place.row, entry->value, &text, &cause);
    free(text);
    if (status)
        return dtr_fail(error, status, "%s: [%s] %s: %s%s", entry->origin, entry->section,
                        entry->key, cause.text,
                        entry->continued ? " (an indented line continues the one above)" : "");
    return DTR_OK;
}

int dtr_entries_check(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_ini *ini = store->ini;
    int status = DTR_OK;
    for (size_t i = 0; !status && i < ini->sections_count; i++) {
        struct dtr_error cause = {.status = DTR_OK};
        const struct dtr_plugin *plugin;
        status = dtr_section_check(store, ini->sections[i].name, &plugin, &cause);
        if (status)
            dtr_fail(error, status, "%s:%u: %s", ini->file, ini->sections[i].line, cause.text);
    }
    for (size_t i = 0; !status && i < ini->entries_count; i++)
        if (!is_grid(ini->entries[i].section))
            status = check_entry(store, &ini->entries[i], error);
    return status;
}

int dtr_file_check(const struct dtr_experiment_store *store, const char *section, const char *key,
                   const char *path, struct dtr_error *error) {
    struct stat info;
    if (!store->files_checked || !path || !*path)
        return DTR_OK;
    const bool readable = !access(path, R_OK) && !stat(path, &info);
    if (readable && !S_ISDIR(info.st_mode))
        return DTR_OK;
    return dtr_fail_at(store, section, key, error, "%s: %s: %s", key, path,
                       strerror(readable ? EISDIR : errno));
}

/* --- one over the other ----------------------------------------------------------------------- */

/* The entry's value goes where the core's section, or the plugin's parameters, have it. */
static int apply(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                 const struct dtr_param *row, void *values, struct dtr_error *error) {
    return dtr_value_parse(row, entry->value, folder_of(store, entry), values, error);
}

/* True when the entry is one of [device.N] that speaks of the plugin or, where it is NULL, of the
 * core's section. */
static bool overrides(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                      uint32_t device, const struct dtr_plugin *plugin, enum dtr_section_id id,
                      struct dtr_place *place_p) {
    uint32_t number;
    return device != DTR_ALL_DEVICES && dtr_device_number(entry->section, &number, NULL) &&
           number == device && !dtr_place_find(store, entry->section, entry->key, place_p, NULL) &&
           place_p->plugin == plugin && (plugin || place_p->section == id);
}

static int lay_over(const struct dtr_experiment_store *store, const char *section,
                    struct dtr_table table, uint32_t device, const struct dtr_plugin *plugin,
                    enum dtr_section_id id, void *values, struct dtr_error *error) {
    struct dtr_place place;
    int status = DTR_OK;
    for (size_t i = 0; !status && i < store->ini->entries_count; i++) {
        const struct dtr_ini_entry *entry = &store->ini->entries[i];
        if (!strcmp(entry->section, section))
            status = apply(store, entry, dtr_table_find(table, entry->key, NULL), values, error);
    }
    for (size_t i = 0; !status && i < store->ini->entries_count; i++) {
        const struct dtr_ini_entry *entry = &store->ini->entries[i];
        if (overrides(store, entry, device, plugin, id, &place))
            status = apply(store, entry, place.row, values, error);
    }
    return status;
}

static int make_values(const struct dtr_experiment_store *store, const char *section,
                       struct dtr_table table, uint32_t device, const struct dtr_plugin *plugin,
                       enum dtr_section_id id, void **values_p, struct dtr_error *error) {
    void *values;
    int status = dtr_values_create(table, NULL, &values, error);
    if (status)
        return status;
    status = lay_over(store, section, table, device, plugin, id, values, error);
    if (status) {
        dtr_values_free(table, values);
        return status;
    }
    *values_p = values;
    return DTR_OK;
}

int dtr_section_values(const struct dtr_experiment_store *store, enum dtr_section_id id,
                       uint32_t device, void **values_p, struct dtr_error *error) {
    const struct dtr_section *section = dtr_section(id);
    return make_values(store, section->name, section->table, device, NULL, id, values_p, error);
}

int dtr_plugin_values(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                      uint32_t device, void **values_p, struct dtr_error *error) {
    char section[64];
    snprintf(section, sizeof section, "%s.%s", dtr_kind_name(plugin->kind), plugin->name);
    return make_values(store, section, dtr_plugin_table(plugin), device, plugin, DTR_SECTIONS,
                       values_p, error);
}

const struct dtr_ini_entry *dtr_plugin_entry(const struct dtr_experiment_store *store,
                                             const struct dtr_plugin *plugin, uint32_t device,
                                             const char *key) {
    char section[64], dotted[160];
    const struct dtr_ini_entry *entry = NULL;
    if (device != DTR_ALL_DEVICES) {
        snprintf(section, sizeof section, "device.%u", device);
        snprintf(dotted, sizeof dotted, "%s.%s.%s", dtr_kind_name(plugin->kind), plugin->name, key);
        entry = dtr_ini_find(store->ini, section, dotted);
    }
    snprintf(section, sizeof section, "%s.%s", dtr_kind_name(plugin->kind), plugin->name);
    return entry ? entry : dtr_ini_find(store->ini, section, key);
}

bool dtr_plugin_differs(const struct dtr_experiment_store *store, const struct dtr_plugin *plugin,
                        uint32_t device) {
    struct dtr_place place;
    for (size_t i = 0; i < store->ini->entries_count; i++)
        if (overrides(store, &store->ini->entries[i], device, plugin, DTR_SECTIONS, &place))
            return true;
    return false;
}

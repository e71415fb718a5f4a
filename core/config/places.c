/* SPDX-License-Identifier: MIT
 *
 * places.c -- what the sections and keys of an experiment file stand for.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "config/store.h"
#include "plugin/registry.h"

/* The kinds of plugins, and the sections that they are named and described in. */
static const struct {
    const char *name;
    enum dtr_kind kind;
    enum dtr_section_id section;
    bool by_device; /* [device.N] may say NAME.key of it */
    bool choice;    /* ... and which plugin it is */
} kinds[] = {
    {"kernel", DTR_KERNEL, DTR_SECTION_KERNEL, true, true},
    {"transport", DTR_TRANSPORT, DTR_SECTION_TRANSPORT, true, false},
    {"planner", DTR_PLANNER, DTR_SECTION_PLANNER, false, false},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

int dtr_fail_at(const struct dtr_experiment_store *store, const char *section, const char *key,
                struct dtr_error *error, const char *format, ...) {
    char text[800];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct dtr_ini_entry *entry = dtr_ini_find(store->ini, section, key);
    const struct dtr_ini_section *header = dtr_ini_section(store->ini, section);
    if (entry)
        return dtr_fail(error, DTR_E_CONFIG, "%s: [%s] %s", entry->origin, section, text);
    if (header)
        return dtr_fail(error, DTR_E_CONFIG, "%s:%u: [%s] %s", store->ini->file, header->line,
                        section, text);
    return dtr_fail(error, DTR_E_CONFIG, "%s: [%s] %s", store->ini->file, section, text);
}

int dtr_fail_required(const struct dtr_experiment_store *store, const char *section,
                      const struct dtr_param *row, struct dtr_error *error) {
    const size_t length = strlen(row->help);
    const bool stop = length && row->help[length - 1] == '.';
    return dtr_fail_at(store, section, row->key, error, "lacks '%s': %.*s", row->key,
                       (int)(length - stop), row->help);
}

/* --- sections --------------------------------------------------------------------------------- */

bool dtr_device_number(const char *text, uint32_t *device_p, const char **rest_p) {
    if (strncmp(text, "device.", 7))
        return false;
    const char *digits = text + 7, *end = digits + strspn(digits, "0123456789");
    const bool leading_zero = digits[0] == '0' && end > digits + 1;
    if (end == digits || end > digits + 6 || leading_zero || (*end && (*end != '.' || !rest_p)))
        return false;
    *device_p = (uint32_t)strtoul(digits, NULL, 10);
    if (rest_p)
        *rest_p = end;
    return true;
}

/* The index in kinds[] of the word before the first dot, or KINDS. */
static size_t kind_index(const char *text) {
    const size_t length = strcspn(text, ".");
    size_t i = 0;
    while (i < KINDS && (strlen(kinds[i].name) != length || memcmp(kinds[i].name, text, length)))
        i++;
    return i;
}

static int unknown_section(const char *section, struct dtr_error *error) {
    char head[64];
    snprintf(head, sizeof head, "%.*s", (int)strcspn(section, "."), section);
    const char *rest = section + strcspn(section, ".");
    struct dtr_suggestion suggestion = {.word = *rest ? head : section};
    for (int i = 0; i < DTR_SECTIONS; i++)
        dtr_suggest_offer(&suggestion, dtr_section((enum dtr_section_id)i)->name);
    dtr_suggest_offer(&suggestion, "sweep");
    dtr_suggest_offer(&suggestion, "series");
    if (!strcmp(head, "device") && *rest)
        return dtr_fail(error, DTR_E_CONFIG,
                        "unknown section [%s]; devices are numbers, as in [device.2]", section);
    if (suggestion.best && suggestion.distance)
        return dtr_fail(error, DTR_E_CONFIG, "unknown section [%s]; did you mean [%s%s]?", section,
                        suggestion.best, rest);
    return dtr_fail(error, DTR_E_CONFIG, "unknown section [%s]", section);
}

/* The plugin of "kernel.NAME"; the length of NAME is that of the text, or ends at a dot. */
static int find_plugin(const struct dtr_experiment_store *store, const char *section,
                       const char *name, size_t length, enum dtr_kind kind,
                       const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    const int status = dtr_plugins_get(store->plugins, kind, word, plugin_p, &cause);
    return status ? dtr_fail(error, status, "[%s] %s", section, cause.text) : DTR_OK;
}

int dtr_section_check(const struct dtr_experiment_store *store, const char *section,
                      const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    uint32_t device;
    *plugin_p = NULL;
    if (dtr_section_find(section) || !strcmp(section, "sweep") ||
        (!strncmp(section, "series.", 7) && section[7]) ||
        dtr_device_number(section, &device, NULL))
        return DTR_OK;
    const size_t i = kind_index(section);
    const char *name = strchr(section, '.');
    if (i == KINDS || !name)
        return unknown_section(section, error);
    return find_plugin(store, section, name + 1, strlen(name + 1), kinds[i].kind, plugin_p, error);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The one core section that has the key, or NULL. */
static const char *home_of(const char *key) {
    const char *home = NULL;
    for (int i = 0; i < DTR_SECTIONS; i++) {
        const struct dtr_section *section = dtr_section((enum dtr_section_id)i);
        if (!dtr_table_find(section->table, key, NULL))
            continue;
        if (home)
            return NULL;
        home = section->name;
    }
    return home;
}

/* `prefix`: what stands before the key in [device.N], "kernel.throttle." or "". */
static int unknown_key(const char *section, struct dtr_table table, const char *prefix,
                       size_t prefix_length, const char *key, struct dtr_error *error) {
    const int length = (int)prefix_length;
    struct dtr_suggestion suggestion = {.word = key};
    char keys[400] = "";
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++) {
        dtr_suggest_offer(&suggestion, row->key);
        const size_t used = strlen(keys);
        snprintf(keys + used, sizeof keys - used, "%s%s", used ? ", " : "", row->key);
    }
    if (suggestion.best)
        return dtr_fail(error, DTR_E_CONFIG, "[%s] unknown key '%.*s%s'; did you mean '%.*s%s'?",
                        section, length, prefix, key, length, prefix, suggestion.best);
    if (!length && home_of(key))
        return dtr_fail(error, DTR_E_CONFIG, "[%s] unknown key '%s'; it belongs in [%s]", section,
                        key, home_of(key));
    return dtr_fail(error, DTR_E_CONFIG, "[%s] unknown key '%.*s%s'; %s%s", section, length, prefix,
                    key, *keys ? "there are " : "there is none", keys);
}

static int find_row(const char *section, const char *prefix, size_t prefix_length, const char *key,
                    struct dtr_place place, struct dtr_place *place_p, struct dtr_error *error) {
    place.row = dtr_table_find(place.table, key, NULL);
    if (!place.row)
        return unknown_key(section, place.table, prefix, prefix_length, key, error);
    *place_p = place;
    return DTR_OK;
}

static int find_core(const char *section, const char *prefix, size_t prefix_length, const char *key,
                     enum dtr_section_id id, struct dtr_place *place_p, struct dtr_error *error) {
    const struct dtr_place place = {.table = dtr_section(id)->table, .section = id};
    return find_row(section, prefix, prefix_length, key, place, place_p, error);
}

/* A key of [device.N]: the device's own, kernel.KEY, kernel.NAME.KEY or transport.NAME.KEY. */
static int find_override(const struct dtr_experiment_store *store, const char *section,
                         const char *key, struct dtr_place *place_p, struct dtr_error *error) {
    const char *name = strchr(key, '.');
    if (!name)
        return find_core(section, "", 0, key, DTR_SECTION_DEVICE, place_p, error);
    name++;
    const size_t i = kind_index(key), length = strcspn(name, ".");
    const bool of_plugin = name[length] == '.';
    if (i == KINDS)
        return dtr_fail(error, DTR_E_CONFIG,
                        "[%s] unknown key '%s'; dotted keys of a device begin with kernel or "
                        "transport",
                        section, key);
    if (!kinds[i].by_device || (!of_plugin && !kinds[i].choice))
        return dtr_fail(error, DTR_E_CONFIG,
                        "[%s] '%s' is the same for all devices; it belongs in "
                        "[%.*s]",
                        section, key, (int)(strrchr(key, '.') - key), key);
    if (!of_plugin)
        return find_core(section, key, (size_t)(name - key), name, kinds[i].section, place_p,
                         error);
    struct dtr_place place = {.section = kinds[i].section};
    const int status =
        find_plugin(store, section, name, length, kinds[i].kind, &place.plugin, error);
    if (status)
        return status;
    place.table = dtr_plugin_table(place.plugin);
    const char *last = name + length + 1;
    return find_row(section, key, (size_t)(last - key), last, place, place_p, error);
}

int dtr_place_find(const struct dtr_experiment_store *store, const char *section, const char *key,
                   struct dtr_place *place_p, struct dtr_error *error) {
    uint32_t device;
    for (int i = 0; i < DTR_SECTIONS; i++)
        if (!strcmp(section, dtr_section((enum dtr_section_id)i)->name))
            return find_core(section, "", 0, key, (enum dtr_section_id)i, place_p, error);
    if (dtr_device_number(section, &device, NULL))
        return find_override(store, section, key, place_p, error);
    const size_t i = kind_index(section);
    const char *name = strchr(section, '.');
    if (i == KINDS || !name)
        return unknown_section(section, error);
    struct dtr_place place = {.section = kinds[i].section};
    const int status = find_plugin(store, section, name + 1, strlen(name + 1), kinds[i].kind,
                                   &place.plugin, error);
    if (status)
        return status;
    place.table = dtr_plugin_table(place.plugin);
    return find_row(section, "", 0, key, place, place_p, error);
}

int dtr_key_split(const char *dotted, char **section_p, const char **key_p,
                  struct dtr_error *error) {
    uint32_t device;
    const char *dot = NULL;
    if (!dtr_device_number(dotted, &device, &dot) || *dot != '.')
        dot = strrchr(dotted, '.');
    if (!dot || dot == dotted || !dot[1])
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not written section.key", dotted);
    char *section = strndup(dotted, (size_t)(dot - dotted));
    if (!section)
        return dtr_fail_memory(error);
    *section_p = section;
    *key_p = dot + 1;
    return DTR_OK;
}

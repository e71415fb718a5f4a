/* SPDX-License-Identifier: MIT
 *
 * print.c -- the effective experiment as an INI file that means the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/store.h"
#include "plugin/load.h"

/* Keys that say nothing by being at their default are left out. */
static void print_row(FILE *file, const struct dtr_experiment_store *store, const char *section,
                      const struct dtr_param *row, const void *values) {
    const bool given = dtr_ini_find(store->ini, section, row->key);
    char *text = given || row->fallback ? dtr_value_format(row, values) : NULL;
    if (text && (given || *text))
        dtr_ini_write(file, row->key, text);
    free(text);
}

static void print_table(FILE *file, const struct dtr_experiment_store *store, const char *section,
                        struct dtr_table table, const void *values, const char *without) {
    fprintf(file, "\n[%s]\n", section);
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++)
        if (!without || strcmp(row->key, without) != 0)
            print_row(file, store, section, row, values);
}

/* Of the first four keys, which are in the order of enum dtr_input_kind, the one that holds. */
static void print_input(FILE *file, const struct dtr_experiment_store *store) {
    const struct dtr_section *section = dtr_section(DTR_SECTION_INPUT);
    const struct dtr_param *row;
    fprintf(file, "\n[input]\n");
    for (size_t i = 0; (row = dtr_table_row(section->table, i)); i++) {
        const bool other = i < 4 && (int)store->experiment.input != (int)i;
        if (!other)
            print_row(file, store, "input", row, store->section[DTR_SECTION_INPUT]);
    }
}

static bool is_printed(const struct dtr_experiment_store *store, const struct dtr_place *place) {
    return !place->plugin || dtr_plugin_is_used(store, place->plugin);
}

static void print_device(FILE *file, const struct dtr_experiment_store *store, uint32_t device) {
    char section[32];
    bool headed = false;
    snprintf(section, sizeof section, "device.%u", device);
    for (size_t i = 0; i < store->ini->entries_count; i++) {
        const struct dtr_ini_entry *entry = &store->ini->entries[i];
        struct dtr_place place;
        if (strcmp(entry->section, section) ||
            dtr_place_find(store, section, entry->key, &place, NULL) || !is_printed(store, &place))
            continue;
        char *text = dtr_entry_format(store, entry, place.row);
        if (text) {
            fprintf(file, headed ? "" : "\n[%s]\n", section);
            dtr_ini_write(file, entry->key, text);
        }
        headed = true;
        free(text);
    }
}

static void print_plugins(FILE *file, const struct dtr_experiment_store *store) {
    for (size_t i = 0; i < store->blocks_count; i++) {
        const struct dtr_block *block = store->blocks[i];
        const struct dtr_table table = dtr_plugin_table(block->plugin);
        char section[64];
        snprintf(section, sizeof section, "%s.%s", dtr_kind_name(block->plugin->kind),
                 block->plugin->name);
        if (block->device == DTR_ALL_DEVICES && dtr_table_count(table))
            print_table(file, store, section, table, block->values, NULL);
    }
}

static void print_grid(FILE *file, const struct dtr_experiment_store *store) {
    const char *series = NULL;
    for (size_t i = 0; i < store->grid_count; i++) {
        const struct dtr_grid *grid = &store->grid[i];
        if (!i || grid->series != series)
            fprintf(file, grid->series ? "\n[series.%s]\n" : "\n[sweep]\n", grid->series);
        series = grid->series;
        if (!grid->key)
            continue;
        char *text = NULL;
        size_t bytes;
        FILE *joined = open_memstream(&text, &bytes);
        if (!joined)
            continue;
        for (size_t v = 0; v < grid->values.count; v++)
            fprintf(joined, "%s%s", v ? ", " : "", grid->values.words[v]);
        if (!fclose(joined))
            dtr_ini_write(file, grid->key, text);
        free(text);
    }
}

/* What was left to the machine says what it was there; another machine decides anew. */
static void print_decided(FILE *file, const struct dtr_experiment_store *store,
                          enum dtr_section_id id) {
    const struct dtr_section_device *device = store->section[DTR_SECTION_DEVICE];
    if (id == DTR_SECTION_DEVICE && !device->threads)
        fprintf(file, "; threads = 0 was %u for device 0\n", store->settings[0].threads);
    const struct dtr_plugin *kernel = store->automatic_kernel[store->settings[0].dtype];
    if (id == DTR_SECTION_KERNEL && kernel)
        fprintf(file, "; auto was %s\n", kernel->name);
}

static char *print(const struct dtr_experiment *experiment, bool whole) {
    const struct dtr_experiment_store *store = experiment->store;
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (!file)
        return NULL;
    fprintf(file, "; every value of the experiment, as it was run\n");
    for (int i = 0; i < DTR_SECTIONS; i++) {
        const struct dtr_section *section = dtr_section((enum dtr_section_id)i);
        const char *without = !whole && i == DTR_SECTION_EXPERIMENT ? "results" : NULL;
        if (i == DTR_SECTION_INPUT)
            print_input(file, store);
        else
            print_table(file, store, section->name, section->table, store->section[i], without);
        print_decided(file, store, (enum dtr_section_id)i);
    }
    for (uint32_t i = 0; i < experiment->devices; i++)
        print_device(file, store, i);
    print_plugins(file, store);
    if (whole)
        print_grid(file, store);
    const bool failed = ferror(file);
    if (fclose(file) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

char *dtr_experiment_print(const struct dtr_experiment *experiment) {
    return print(experiment, true);
}

char *dtr_experiment_print_point(const struct dtr_experiment *experiment) {
    return print(experiment, false);
}

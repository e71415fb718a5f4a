/* SPDX-License-Identifier: MIT
 *
 * grid.c -- [sweep] and [series.NAME]: keys of other sections with the values that they take.
 */
#include <stdlib.h>
#include <string.h>

#include "config/store.h"

static const char blanks[] = " \t";

/* The place that the dotted key stands for. */
static int find_place(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                      struct dtr_place *place_p, struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    char *section;
    const char *key;
    int status = dtr_key_split(entry->key, &section, &key, &cause);
    if (!status) {
        status = dtr_place_find(store, section, key, place_p, &cause);
        free(section);
    }
    return status ? dtr_fail(error, status, "%s: [%s] %s: %s", entry->origin, entry->section,
                             entry->key, cause.text)
                  : DTR_OK;
}

/* Adds the value `text`, as the place's type reads it. */
static int add_value(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                     const struct dtr_param *row, const char *text, const char **words,
                     size_t *count, struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    char *value = NULL;
    const int status = dtr_text_reformat(store, entry, row, text, &value, &cause);
    if (status)
        return dtr_fail(error, status, "%s: [%s] %s: %s", entry->origin, entry->section, entry->key,
                        cause.text);
    words[(*count)++] = value;
    return DTR_OK;
}

/* The values between the commas. */
static int split_values(const struct dtr_experiment_store *store, const struct dtr_ini_entry *entry,
                        const struct dtr_param *row, const char **words, size_t *count,
                        struct dtr_error *error) {
    char *list = strdup(entry->value), *rest = list;
    int status = list ? DTR_OK : dtr_fail_memory(error);
    while (!status && rest) {
        char *word = strsep(&rest, ",");
        word += strspn(word, blanks);
        size_t length = strlen(word);
        while (length && strchr(blanks, word[length - 1]))
            word[--length] = '\0';
        if (!length)
            status = dtr_fail(error, DTR_E_CONFIG, "%s: [%s] %s: a value is empty", entry->origin,
                              entry->section, entry->key);
        else
            status = add_value(store, entry, row, word, words, count, error);
        if (!status && strchr(words[*count - 1], ','))
            status = dtr_fail(error, DTR_E_CONFIG, "%s: [%s] %s: '%s' holds a comma", entry->origin,
                              entry->section, entry->key, words[*count - 1]);
    }
    free(list);
    return status;
}

static size_t count_values(const char *text) {
    size_t count = 1;
    for (; *text; text++)
        count += *text == ',';
    return count;
}

/* `series`: NULL for [sweep]; `entry`: NULL for a series without keys. */
static int add_grid(struct dtr_experiment_store *store, const char *series,
                    const struct dtr_ini_entry *entry, struct dtr_error *error) {
    struct dtr_grid *more = realloc(store->grid, (store->grid_count + 1) * sizeof *more);
    if (!more)
        return dtr_fail_memory(error);
    store->grid = more;
    struct dtr_grid *grid = &more[store->grid_count++];
    *grid = (struct dtr_grid){.series = series};
    if (!entry)
        return DTR_OK;
    struct dtr_place place;
    int status = find_place(store, entry, &place, error);
    if (status)
        return status;
    const char **words = calloc(series ? 1 : count_values(entry->value), sizeof *words);
    if (!words)
        return dtr_fail_memory(error);
    grid->key = entry->key;
    grid->values.words = words;
    if (series)
        return add_value(store, entry, place.row, entry->value, words, &grid->values.count, error);
    return split_values(store, entry, place.row, words, &grid->values.count, error);
}

int dtr_grid_make(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_ini *ini = store->ini;
    int status = DTR_OK;
    for (size_t s = 0; !status && s < ini->sections_count; s++) {
        const char *name = ini->sections[s].name;
        const char *series = !strncmp(name, "series.", 7) ? name + 7 : NULL;
        if (!series && strcmp(name, "sweep"))
            continue;
        const size_t before = store->grid_count;
        for (size_t i = 0; !status && i < ini->entries_count; i++)
            if (!strcmp(ini->entries[i].section, name))
                status = add_grid(store, series, &ini->entries[i], error);
        if (!status && series && store->grid_count == before)
            status = add_grid(store, series, NULL, error);
    }
    return status;
}

void dtr_grid_free(struct dtr_experiment_store *store) {
    for (size_t i = 0; i < store->grid_count; i++) {
        const struct dtr_list *values = &store->grid[i].values;
        for (size_t v = 0; v < values->count; v++)
            free((void *)values->words[v]);
        free((void *)values->words);
    }
    free(store->grid);
}

const struct dtr_grid *dtr_experiment_grid(const struct dtr_experiment *experiment, size_t index) {
    const struct dtr_experiment_store *store = experiment->store;
    return index < store->grid_count ? &store->grid[index] : NULL;
}

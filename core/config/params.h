/* SPDX-License-Identifier: MIT
 *
 * params.h -- values described by a table of struct dtr_param: parsed from text, checked against
 * their type and range, written back as text, freed.  The core's own sections and those of the
 * plugins go the same way.
 */
#ifndef DTR_CONFIG_PARAMS_H
#define DTR_CONFIG_PARAMS_H

#include <detransformer/plugin.h>
#include <stdbool.h>

#include "base/error.h"

/* A table, and the struct that it describes. */
struct dtr_table {
    const struct dtr_param *rows; /* NULL: none */
    size_t stride;                /* bytes from one row to the next */
    size_t size;                  /* of the struct */
};

struct dtr_table dtr_plugin_table(const struct dtr_plugin *plugin);

/* Row `index`, NULL from the end on. */
const struct dtr_param *dtr_table_row(struct dtr_table table, size_t index);
size_t dtr_table_count(struct dtr_table table);

/* NULL when there is no such key. */
const struct dtr_param *dtr_table_find(struct dtr_table table, const char *key, size_t *index_p);

/* Refuses a table that could not be used: keys that are no words or appear twice, types that are
 * unknown, values outside the struct or unaligned, ranges and defaults that do not parse. */
int dtr_table_check(struct dtr_table table, struct dtr_error *error);

/* "int", "size" and so on, for people. */
const char *dtr_param_type_name(const struct dtr_param *row);

/* A struct with every value at its default; the values of required keys are zero or empty. */
int dtr_values_create(struct dtr_table table, const char *folder, void **values_p,
                      struct dtr_error *error);
void dtr_values_free(struct dtr_table table, void *values);

/* Stores what `text` says in the struct; on failure the value stays as it was and `error` says
 * what is wrong with the text, without naming the key.  `folder`: relative paths are made absolute
 * against it; NULL: they are left alone. */
int dtr_value_parse(const struct dtr_param *row, const char *text, const char *folder, void *values,
                    struct dtr_error *error);

/* The value as text that dtr_value_parse() reads back to the same value; the caller frees.  NULL:
 * out of memory. */
char *dtr_value_format(const struct dtr_param *row, const void *values);

#endif

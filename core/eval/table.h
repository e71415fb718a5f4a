/* SPDX-License-Identifier: MIT
 *
 * table.h -- tables as GLUE's tasks are published: a row a line, columns separated by TAB and by
 * nothing else, no quoting.
 */
#ifndef DTR_EVAL_TABLE_H
#define DTR_EVAL_TABLE_H

#include <stdbool.h>

#include "base/map.h"

enum { DTR_TABLE_COLUMNS = 64 };

struct dtr_field {
    const char *text;
    size_t length;
};

struct dtr_table {
    const char *path; /* the caller's */
    struct dtr_map map;
    size_t at;
    uint64_t line; /* of the row read last, from 1 */
};

struct dtr_row {
    struct dtr_field field[DTR_TABLE_COLUMNS];
    uint32_t count; /* 0: there is no further row */
};

/* A byte-order mark at the beginning is passed over.  DTR_E_CONFIG. */
int dtr_table_open(const char *path, struct dtr_table *table, struct dtr_error *error);
void dtr_table_close(struct dtr_table *table);

/* The next line; its fields are good until the table is closed.  DTR_E_CONFIG for what is no text
 * or has more columns than any table here. */
int dtr_table_next(struct dtr_table *table, struct dtr_row *row, struct dtr_error *error);

bool dtr_field_is(struct dtr_field field, const char *text);

/* The column of that name.  DTR_E_CONFIG when the header has none. */
int dtr_table_column(const struct dtr_table *table, const struct dtr_row *header, const char *name,
                     uint32_t *column_p, struct dtr_error *error);

/* Counts the lines that are left, the last one with or without a line feed. */
size_t dtr_table_lines(const struct dtr_table *table);

#endif

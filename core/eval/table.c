/* SPDX-License-Identifier: MIT */
#include "eval/table.h"

#include <string.h>

#include "base/utf8.h"

static const char mark[] = "\xef\xbb\xbf";

int dtr_table_open(const char *path, struct dtr_table *table, struct dtr_error *error) {
    *table = (struct dtr_table){.path = path};
    const int status = dtr_map_open(path, &table->map, error);
    if (!status && table->map.size >= sizeof mark - 1 &&
        !memcmp(table->map.data, mark, sizeof mark - 1))
        table->at = sizeof mark - 1;
    return status;
}

void dtr_table_close(struct dtr_table *table) {
    dtr_map_close(&table->map);
}

static int split(const struct dtr_table *table, const char *line, size_t length,
                 struct dtr_row *row, struct dtr_error *error) {
    row->count = 0;
    for (size_t at = 0;;) {
        const char *tab = memchr(line + at, '\t', length - at);
        const size_t end = tab ? (size_t)(tab - line) : length;
        if (row->count == DTR_TABLE_COLUMNS)
            return dtr_fail(error, DTR_E_CONFIG, "%s:%llu: has more than %d columns", table->path,
                            (unsigned long long)table->line, DTR_TABLE_COLUMNS);
        row->field[row->count++] = (struct dtr_field){line + at, end - at};
        if (!tab)
            return DTR_OK;
        at = end + 1;
    }
}

int dtr_table_next(struct dtr_table *table, struct dtr_row *row, struct dtr_error *error) {
    row->count = 0;
    if (table->at >= table->map.size)
        return DTR_OK;
    const char *line = (const char *)table->map.data + table->at;
    const size_t left = table->map.size - table->at;
    const char *feed = memchr(line, '\n', left);
    size_t length = feed ? (size_t)(feed - line) : left;
    table->at += length + 1;
    table->line++;
    length -= length && line[length - 1] == '\r';
    if (memchr(line, '\0', length) || !dtr_utf8_is_valid(line, length))
        return dtr_fail(error, DTR_E_CONFIG, "%s:%llu: this line is not UTF-8 text", table->path,
                        (unsigned long long)table->line);
    return split(table, line, length, row, error);
}

bool dtr_field_is(struct dtr_field field, const char *text) {
    return field.length == strlen(text) && !memcmp(field.text, text, field.length);
}

int dtr_table_column(const struct dtr_table *table, const struct dtr_row *header, const char *name,
                     uint32_t *column_p, struct dtr_error *error) {
    for (uint32_t i = 0; i < header->count; i++)
        if (dtr_field_is(header->field[i], name)) {
            *column_p = i;
            return DTR_OK;
        }
    return dtr_fail(error, DTR_E_CONFIG, "%s:1: the first line names no column '%s'", table->path,
                    name);
}

size_t dtr_table_lines(const struct dtr_table *table) {
    size_t lines = 0;
    for (size_t at = table->at; at < table->map.size; lines++) {
        const uint8_t *feed = memchr(table->map.data + at, '\n', table->map.size - at);
        at = feed ? (size_t)(feed - table->map.data) + 1 : table->map.size;
    }
    return lines;
}

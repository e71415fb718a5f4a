/* SPDX-License-Identifier: MIT */
#include "config/params.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"

static const char blanks[] = " \t";

struct dtr_table dtr_plugin_table(const struct dtr_plugin *plugin) {
    return (struct dtr_table){
        .rows = plugin->params, .stride = plugin->param_stride, .size = plugin->params_size};
}

const struct dtr_param *dtr_table_row(struct dtr_table table, size_t index) {
    if (!table.rows)
        return NULL;
    const struct dtr_param *row = (const void *)((const char *)table.rows + index * table.stride);
    return row->key ? row : NULL;
}

size_t dtr_table_count(struct dtr_table table) {
    size_t count = 0;
    while (dtr_table_row(table, count))
        count++;
    return count;
}

const struct dtr_param *dtr_table_find(struct dtr_table table, const char *key, size_t *index_p) {
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++) {
        if (strcmp(row->key, key))
            continue;
        if (index_p)
            *index_p = i;
        return row;
    }
    return NULL;
}

/* --- numbers ---------------------------------------------------------------------------------- */

union number {
    int64_t whole;
    double real;
    uint64_t bytes;
};

static int read_whole(const char *text, union number *number_p, struct dtr_error *error) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || strchr(blanks, *text))
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not a whole number", text);
    if (errno)
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is too large a number", text);
    number_p->whole = value;
    return DTR_OK;
}

static int read_real(const char *text, union number *number_p, struct dtr_error *error) {
    char *end;
    const double value = strtod(text, &end);
    /* strtod() also takes nan, infinity and hexadecimal numbers. */
    if (end == text || *end || strspn(text, "+-.0123456789eE") != strlen(text))
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not a number", text);
    if (!isfinite(value))
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is too large a number", text);
    number_p->real = value;
    return DTR_OK;
}

static const struct {
    const char *name;
    double bytes;
} size_units[] = {
    {"B", 1},         {"kB", 1e3},         {"MB", 1e6},
    {"GB", 1e9},      {"TB", 1e12},        {"KiB", 1024},
    {"MiB", 1048576}, {"GiB", 1073741824}, {"TiB", 1099511627776},
};
#define SIZE_UNITS (sizeof size_units / sizeof size_units[0])

static int read_size(const char *text, union number *number_p, struct dtr_error *error) {
    const size_t digits = strspn(text, "0123456789.");
    char *end;
    double value = strtod(text, &end);
    if (!digits || end != text + digits)
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not a size; write 512 MiB or the like", text);
    const char *unit = text + digits + strspn(text + digits, blanks);
    if (*unit) {
        size_t i = 0;
        while (i < SIZE_UNITS && strcmp(unit, size_units[i].name))
            i++;
        if (i == SIZE_UNITS)
            return dtr_fail(error, DTR_E_CONFIG,
                            "'%s' is not a size; units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
                            text);
        value *= size_units[i].bytes;
    }
    /* Whole bytes, and exactly what a double holds. */
    if (value > 9007199254740992.0)
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is too large a size", text);
    if (value != floor(value))
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not a whole number of bytes", text);
    number_p->bytes = (uint64_t)value;
    return DTR_OK;
}

static int read_number(uint32_t type, const char *text, union number *number_p,
                       struct dtr_error *error) {
    if (type == DTR_INT)
        return read_whole(text, number_p, error);
    if (type == DTR_REAL)
        return read_real(text, number_p, error);
    return read_size(text, number_p, error);
}

static bool less(uint32_t type, union number a, union number b) {
    if (type == DTR_INT)
        return a.whole < b.whole;
    if (type == DTR_REAL)
        return a.real < b.real;
    return a.bytes < b.bytes;
}

struct bounds {
    bool has_low, has_high;
    union number low, high;
};

/* "1..65535", "0..", "..10". */
static int read_bounds(const struct dtr_param *row, struct bounds *bounds_p,
                       struct dtr_error *error) {
    struct bounds bounds = {.has_low = false};
    if (row->range) {
        char low[64];
        const char *dots = strstr(row->range, "..");
        if (!dots || (size_t)(dots - row->range) >= sizeof low)
            return dtr_fail(error, DTR_E_PLUGIN, "'%s' is not a range", row->range);
        memcpy(low, row->range, (size_t)(dots - row->range));
        low[dots - row->range] = '\0';
        const char *high = dots + 2;
        bounds.has_low = low[0];
        bounds.has_high = high[0];
        if ((low[0] && read_number(row->type, low, &bounds.low, NULL)) ||
            (high[0] && read_number(row->type, high, &bounds.high, NULL)))
            return dtr_fail(error, DTR_E_PLUGIN, "'%s' is not a range", row->range);
    }
    *bounds_p = bounds;
    return DTR_OK;
}

static int parse_number(const struct dtr_param *row, const char *text, void *at,
                        struct dtr_error *error) {
    union number number;
    struct bounds bounds;
    int status = read_number(row->type, text, &number, error);
    if (!status)
        status = read_bounds(row, &bounds, error);
    if (status)
        return status;
    if ((bounds.has_low && less(row->type, number, bounds.low)) ||
        (bounds.has_high && less(row->type, bounds.high, number)))
        return dtr_fail(error, DTR_E_CONFIG, "%s is out of range; allowed is %s", text, row->range);
    memcpy(at, &number, sizeof number);
    return DTR_OK;
}

static char *format_real(double value) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return strdup(text);
}

static char *format_size(uint64_t bytes) {
    static const char *const units[] = {"", " KiB", " MiB", " GiB", " TiB"};
    size_t unit = 0;
    while (bytes && bytes % 1024 == 0 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    char text[40];
    snprintf(text, sizeof text, "%" PRIu64 "%s", bytes, units[unit]);
    return strdup(text);
}

/* --- words ------------------------------------------------------------------------------------ */

/* The index of `word` among the words of `range` ("a|b|c"), or -1. */
static int32_t word_index(const char *range, const char *word) {
    const size_t length = strlen(word);
    int32_t index = 0;
    for (const char *at = range; at; index++) {
        const size_t this_length = strcspn(at, "|");
        if (this_length == length && !memcmp(at, word, length))
            return index;
        at = at[this_length] ? at + this_length + 1 : NULL;
    }
    return -1;
}

static int fail_word(const char *range, const char *word, struct dtr_error *error) {
    char words[512], list[600] = "", text[100];
    snprintf(words, sizeof words, "%s", range);
    struct dtr_suggestion suggestion = {.word = word};
    char *next;
    for (char *at = words; at; at = next) {
        next = strchr(at, '|');
        if (next)
            *next++ = '\0';
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", at);
        dtr_suggest_offer(&suggestion, at);
    }
    if (suggestion.best)
        return dtr_fail(error, DTR_E_CONFIG, "unknown value '%s'%s", word,
                        dtr_suggest_text(&suggestion, text, sizeof text));
    return dtr_fail(error, DTR_E_CONFIG, "unknown value '%s'; allowed are %s", word, list);
}

static int parse_word(const char *range, const char *text, void *at, struct dtr_error *error) {
    const int32_t index = word_index(range, text);
    if (index < 0)
        return fail_word(range, text, error);
    memcpy(at, &index, sizeof index);
    return DTR_OK;
}

static int parse_bool(const char *text, void *at, struct dtr_error *error) {
    const int32_t value = !strcmp(text, "yes");
    if (!value && strcmp(text, "no"))
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is neither yes nor no", text);
    memcpy(at, &value, sizeof value);
    return DTR_OK;
}

static char *format_word(const char *range, int32_t index) {
    const char *at = range;
    for (int32_t i = 0; i < index; i++)
        at += strcspn(at, "|") + 1;
    return strndup(at, strcspn(at, "|"));
}

/* --- texts ------------------------------------------------------------------------------------ */

static int store_text(char *text, void *at, struct dtr_error *error) {
    if (!text)
        return dtr_fail_memory(error);
    char **value = at;
    free(*value);
    *value = text;
    return DTR_OK;
}

/* A path's range holds words that stand for themselves, such as `random`. */
static int parse_path(const struct dtr_param *row, const char *text, const char *folder, void *at,
                      struct dtr_error *error) {
    if (!*text || *text == '/' || !folder || (row->range && word_index(row->range, text) >= 0))
        return store_text(strdup(text), at, error);
    while (!strncmp(text, "./", 2))
        text += 2;
    char *path;
    const char *between = folder[0] && folder[strlen(folder) - 1] == '/' ? "" : "/";
    if (asprintf(&path, "%s%s%s", folder, between, text) < 0)
        path = NULL;
    return store_text(path, at, error);
}

/* The array of words and the words themselves are one block of memory. */
static int parse_list(const char *text, void *at, struct dtr_error *error) {
    struct dtr_list list = {.count = 0};
    const char *p = text + strspn(text, blanks);
    for (const char *word = p; *word; list.count++) {
        word += strcspn(word, blanks);
        word += strspn(word, blanks);
    }
    if (list.count) {
        const size_t bytes = strlen(p) + 1;
        char **words = malloc(list.count * sizeof *words + bytes);
        if (!words)
            return dtr_fail_memory(error);
        char *word = memcpy(words + list.count, p, bytes);
        for (size_t i = 0; i < list.count; i++) {
            words[i] = word;
            word += strcspn(word, blanks);
            const size_t gap = strspn(word, blanks);
            *word = '\0';
            word += gap;
        }
        list.words = (const char *const *)words;
    }
    struct dtr_list *value = at;
    free((void *)value->words);
    *value = list;
    return DTR_OK;
}

static char *format_list(const struct dtr_list *list) {
    size_t bytes = 1;
    for (size_t i = 0; i < list->count; i++)
        bytes += strlen(list->words[i]) + 1;
    char *text = calloc(1, bytes), *end = text;
    for (size_t i = 0; text && i < list->count; i++) {
        if (i)
            *end++ = ' ';
        end = stpcpy(end, list->words[i]);
    }
    return text;
}

/* --- values ----------------------------------------------------------------------------------- */

int dtr_value_parse(const struct dtr_param *row, const char *text, const char *folder, void *values,
                    struct dtr_error *error) {
    void *at = (char *)values + row->offset;
    switch ((enum dtr_param_type)row->type) {
    case DTR_INT:
    case DTR_REAL:
    case DTR_SIZE:
        return parse_number(row, text, at, error);
    case DTR_BOOL:
        return parse_bool(text, at, error);
    case DTR_ENUM:
        return parse_word(row->range, text, at, error);
    case DTR_TEXT:
        return store_text(strdup(text), at, error);
    case DTR_PATH:
        return parse_path(row, text, folder, at, error);
    case DTR_LIST:
        return parse_list(text, at, error);
    }
    return dtr_fail(error, DTR_E_PLUGIN, "unknown parameter type %u", row->type);
}

char *dtr_value_format(const struct dtr_param *row, const void *values) {
    const void *at = (const char *)values + row->offset;
    char text[40];
    switch ((enum dtr_param_type)row->type) {
    case DTR_INT:
        snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)at);
        return strdup(text);
    case DTR_REAL:
        return format_real(*(const double *)at);
    case DTR_SIZE:
        return format_size(*(const uint64_t *)at);
    case DTR_BOOL:
        return strdup(*(const int32_t *)at ? "yes" : "no");
    case DTR_ENUM:
        return format_word(row->range, *(const int32_t *)at);
    case DTR_TEXT:
    case DTR_PATH:
        return strdup(*(const char *const *)at);
    case DTR_LIST:
        return format_list(at);
    }
    return NULL;
}

const char *dtr_param_type_name(const struct dtr_param *row) {
    static const char *const names[] = {"int",  "real", "bool", "enum",
                                        "size", "text", "path", "list"};
    return row->type < sizeof names / sizeof names[0] ? names[row->type] : "unknown";
}

int dtr_values_create(struct dtr_table table, const char *folder, void **values_p,
                      struct dtr_error *error) {
    void *values = calloc(1, table.size ? table.size : 1);
    if (!values)
        return dtr_fail_memory(error);
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++) {
        const bool text = row->type == DTR_TEXT || row->type == DTR_PATH;
        const char *fallback = row->fallback ? row->fallback : text ? "" : NULL;
        const int status =
            fallback ? dtr_value_parse(row, fallback, folder, values, error) : DTR_OK;
        if (status) {
            dtr_values_free(table, values);
            return status;
        }
    }
    *values_p = values;
    return DTR_OK;
}

void dtr_values_free(struct dtr_table table, void *values) {
    if (!values)
        return;
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++) {
        void *at = (char *)values + row->offset;
        if (row->type == DTR_TEXT || row->type == DTR_PATH)
            free(*(char **)at);
        else if (row->type == DTR_LIST)
            free((void *)((struct dtr_list *)at)->words);
    }
    free(values);
}

/* --- tables ----------------------------------------------------------------------------------- */

static size_t value_size(uint32_t type) {
    switch ((enum dtr_param_type)type) {
    case DTR_INT:
    case DTR_REAL:
    case DTR_SIZE:
        return sizeof(union number);
    case DTR_BOOL:
    case DTR_ENUM:
        return sizeof(int32_t);
    case DTR_TEXT:
    case DTR_PATH:
        return sizeof(char *);
    case DTR_LIST:
        return sizeof(struct dtr_list);
    }
    return 0;
}

static bool key_is_word(const char *key) {
    return key[0] >= 'a' && key[0] <= 'z' && strlen(key) < 50 &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(key);
}

static int check_range(const struct dtr_param *row, struct dtr_error *error) {
    struct bounds bounds;
    if (row->type == DTR_ENUM && (!row->range || !row->range[0]))
        return dtr_fail(error, DTR_E_PLUGIN, "has no words to choose from");
    if (row->type == DTR_INT || row->type == DTR_REAL || row->type == DTR_SIZE)
        return read_bounds(row, &bounds, error);
    return DTR_OK;
}

static int check_row(struct dtr_table table, const struct dtr_param *row, struct dtr_error *error) {
    const size_t bytes = value_size(row->type);
    if (!bytes)
        return dtr_fail(error, DTR_E_PLUGIN, "has the unknown type %u", row->type);
    if (row->offset > table.size || bytes > table.size - row->offset)
        return dtr_fail(error, DTR_E_PLUGIN, "lies outside the parameter struct");
    if (row->offset % (bytes < sizeof(void *) ? bytes : sizeof(void *)))
        return dtr_fail(error, DTR_E_PLUGIN, "lies at the unaligned offset %zu", row->offset);
    if (!row->help || !row->help[0])
        return dtr_fail(error, DTR_E_PLUGIN, "has no help text");
    return check_range(row, error);
}

static int check_overlap(struct dtr_table table, const struct dtr_param *row, size_t index,
                         struct dtr_error *error) {
    for (size_t i = 0; i < index; i++) {
        const struct dtr_param *other = dtr_table_row(table, i);
        if (row->offset < other->offset + value_size(other->type) &&
            other->offset < row->offset + value_size(row->type))
            return dtr_fail(error, DTR_E_PLUGIN, "overlaps '%s'", other->key);
    }
    return DTR_OK;
}

static int check_default(struct dtr_table table, const struct dtr_param *row,
                         struct dtr_error *error) {
    if (!row->fallback)
        return DTR_OK;
    const struct dtr_param alone[] = {*row, {.key = NULL}};
    const struct dtr_table one = {.rows = alone, .stride = sizeof *row, .size = table.size};
    struct dtr_error cause = {.status = DTR_OK};
    void *values;
    const int status = dtr_values_create(one, NULL, &values, &cause);
    if (status)
        return dtr_fail(error, status, "has an impossible default: %s", cause.text);
    dtr_values_free(one, values);
    return DTR_OK;
}

int dtr_table_check(struct dtr_table table, struct dtr_error *error) {
    if (!table.rows)
        return DTR_OK;
    if (table.stride < sizeof(struct dtr_param) || table.stride % _Alignof(struct dtr_param))
        return dtr_fail(error, DTR_E_PLUGIN,
                        "the rows of its parameter table are %zu bytes apart, wanted are %zu",
                        table.stride, sizeof(struct dtr_param));
    const struct dtr_param *row;
    for (size_t i = 0; (row = dtr_table_row(table, i)); i++) {
        size_t first = i;
        if (!key_is_word(row->key))
            return dtr_fail(error, DTR_E_PLUGIN,
                            "its parameter '%.50s' is not written [a-z][a-z0-9_]*", row->key);
        dtr_table_find(table, row->key, &first);
        if (first != i)
            return dtr_fail(error, DTR_E_PLUGIN, "its parameter '%s' appears twice", row->key);
        struct dtr_error cause = {.status = DTR_OK};
        if (check_row(table, row, &cause) || check_overlap(table, row, i, &cause) ||
            check_default(table, row, &cause))
            return dtr_fail(error, DTR_E_PLUGIN, "its parameter '%s' %s", row->key, cause.text);
    }
    return DTR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "model/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *dtr_json_duplicate(const cJSON *object) {
    size_t count = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, object) count++;
    const char **keys = calloc(count ? count : 1, sizeof *keys);
    if (!keys)
        return "";
    size_t i = 0;
    cJSON_ArrayForEach(child, object) keys[i++] = child->string;
    qsort(keys, count, sizeof *keys, compare_keys);
    const char *twice = NULL;
    for (i = 1; i < count && !twice; i++)
        if (!strcmp(keys[i - 1], keys[i]))
            twice = keys[i];
    free(keys);
    return twice;
}

static const char *skip_blanks(const char *begin, const char *end) {
    while (begin < end && strchr(" \t\r\n", *begin) && *begin)
        begin++;
    return begin;
}

static size_t line_of(const char *text, const char *place) {
    size_t line = 1;
    for (; text < place; text++)
        line += *text == '\n';
    return line;
}

static int parse_terminated(const char *where, const char *text, size_t length, cJSON **object_p,
                            struct dtr_error *error) {
    const char *end = NULL;
    cJSON *object = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (object)
        end = skip_blanks(end, text + length);
    if (!object || end < text + length) {
        cJSON_Delete(object);
        size_t line = end && end >= text && end <= text + length ? line_of(text, end) : 1;
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not valid JSON near line %zu", where, line);
    }
    int status = DTR_OK;
    const char *twice;
    if (!cJSON_IsObject(object))
        status = dtr_fail(error, DTR_E_CONFIG, "%s: is not a JSON object", where);
    else if ((twice = dtr_json_duplicate(object)))
        status = dtr_fail(error, DTR_E_CONFIG, "%s: the key '%.100s' is there twice", where,
                          dtr_text_is_printable(twice) ? twice : "?");
    if (status) {
        cJSON_Delete(object);
        return status;
    }
    *object_p = object;
    return DTR_OK;
}

static int parse(const char *where, const void *text, size_t length, size_t most, cJSON **object_p,
                 struct dtr_error *error) {
    if (length > most)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %zu bytes of JSON are more than the %zu allowed",
                        where, length, most);
    /* cJSON reads past the length it is given now and then; a copy ends in a zero. */
    char *copy = malloc(length + 1);
    if (!copy)
        return dtr_fail_memory(error);
    if (length)
        memcpy(copy, text, length);
    copy[length] = '\0';
    int status = parse_terminated(where, copy, length, object_p, error);
    free(copy);
    return status;
}

int dtr_json_parse(const char *where, const void *text, size_t length, cJSON **object_p,
                   struct dtr_error *error) {
    return parse(where, text, length, DTR_JSON_BYTES_MAX, object_p, error);
}

int dtr_json_read(const char *path, cJSON **object_p, struct dtr_error *error) {
    return dtr_json_read_large(path, DTR_JSON_BYTES_MAX, object_p, error);
}

int dtr_json_read_large(const char *path, size_t most, cJSON **object_p, struct dtr_error *error) {
    struct dtr_map map;
    int status = dtr_map_open(path, &map, error);
    if (status)
        return status;
    status = parse(path, map.data, map.size, most, object_p, error);
    dtr_map_close(&map);
    return status;
}

bool dtr_json_whole(const cJSON *item, uint64_t *value_p) {
    if (!cJSON_IsNumber(item))
        return false;
    double value = item->valuedouble;
    if (!(value >= 0.0 && value < 0x1p53) || value != floor(value))
        return false;
    *value_p = (uint64_t)value;
    return true;
}

bool dtr_text_is_printable(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "model/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read in place");

static const struct {
    const char *name;
    uint8_t bytes;
} stored_types[DTR_STORED_TYPES] = {
    [DTR_STORED_BOOL] = {"BOOL", 1},       [DTR_STORED_U8] = {"U8", 1},
    [DTR_STORED_I8] = {"I8", 1},           [DTR_STORED_F8_E4M3] = {"F8_E4M3", 1},
    [DTR_STORED_F8_E5M2] = {"F8_E5M2", 1}, [DTR_STORED_I16] = {"I16", 2},
    [DTR_STORED_U16] = {"U16", 2},         [DTR_STORED_F16] = {"F16", 2},
    [DTR_STORED_BF16] = {"BF16", 2},       [DTR_STORED_I32] = {"I32", 4},
    [DTR_STORED_U32] = {"U32", 4},         [DTR_STORED_F32] = {"F32", 4},
    [DTR_STORED_F64] = {"F64", 8},         [DTR_STORED_I64] = {"I64", 8},
    [DTR_STORED_U64] = {"U64", 8},
};

const char *dtr_stored_type_name(enum dtr_stored_type type) {
    return stored_types[type].name;
}

size_t dtr_stored_type_bytes(enum dtr_stored_type type) {
    return stored_types[type].bytes;
}

const char *dtr_stored_shape_text(const struct dtr_stored_tensor *tensor, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)tensor->shape[i]);
    if (used < size)
        snprintf(out + used, size - used, "]");
    return out;
}

static bool parse_type(const cJSON *item, enum dtr_stored_type *type_p) {
    if (!cJSON_IsString(item))
        return false;
    for (enum dtr_stored_type type = 0; type < DTR_STORED_TYPES; type++)
        if (!strcmp(item->valuestring, stored_types[type].name)) {
            *type_p = type;
            return true;
        }
    return false;
}

static bool parse_shape(const cJSON *item, struct dtr_stored_tensor *tensor) {
    if (!cJSON_IsArray(item))
        return false;
    const cJSON *extent;
    cJSON_ArrayForEach(extent, item) {
        if (tensor->rank == DTR_STORED_RANK_MAX ||
            !dtr_json_whole(extent, &tensor->shape[tensor->rank]))
            return false;
        tensor->rank++;
    }
    return true;
}

static bool parse_offsets(const cJSON *item, uint64_t *begin_p, uint64_t *end_p) {
    return cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2 &&
           dtr_json_whole(item->child, begin_p) && dtr_json_whole(item->child->next, end_p) &&
           *begin_p <= *end_p;
}

/* False when type and shape come to more than any file holds. */
static bool tensor_bytes(const struct dtr_stored_tensor *tensor, uint64_t *bytes_p) {
    uint64_t bytes = stored_types[tensor->type].bytes;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(bytes, tensor->shape[i], &bytes))
            return false;
    *bytes_p = bytes;
    return true;
}

/* One entry of the header.  `payload` is where the offsets count from, `room` what lies there. */
static int parse_tensor(const char *path, const cJSON *item, const uint8_t *payload, uint64_t room,
                        struct dtr_stored_tensor *tensor, struct dtr_error *error) {
    const char *name = item->string;
    if (!dtr_text_is_printable(name))
        return dtr_fail(error, DTR_E_CONFIG, "%s: the name of a tensor holds a control character",
                        path);
    if (!cJSON_IsObject(item) || dtr_json_duplicate(item))
        return dtr_fail(error, DTR_E_CONFIG, "%s: the entry of tensor '%.200s' is malformed", path,
                        name);
    if (!parse_type(cJSON_GetObjectItemCaseSensitive(item, "dtype"), &tensor->type))
        return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%.200s' has an unknown dtype", path,
                        name);
    if (!parse_shape(cJSON_GetObjectItemCaseSensitive(item, "shape"), tensor))
        return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%.200s' has a malformed shape", path,
                        name);
    uint64_t begin, end, bytes;
    if (!parse_offsets(cJSON_GetObjectItemCaseSensitive(item, "data_offsets"), &begin, &end))
        return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%.200s' has malformed data_offsets", path,
                        name);
    if (end > room)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: is truncated: tensor '%.200s' ends %llu bytes behind the file's end",
                        path, name, (unsigned long long)(end - room));
    char shape[100];
    if (!tensor_bytes(tensor, &bytes) || bytes != end - begin)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: tensor '%.200s' has %llu bytes, which is not %s of %s", path, name,
                        (unsigned long long)(end - begin), dtr_stored_type_name(tensor->type),
                        dtr_stored_shape_text(tensor, shape, sizeof shape));
    tensor->name = name;
    tensor->data = payload + begin;
    tensor->bytes = end - begin;
    return DTR_OK;
}

static int compare_places(const void *a, const void *b) {
    const struct dtr_stored_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct dtr_stored_tensor *)a)->name,
                  ((const struct dtr_stored_tensor *)b)->name);
}

/* The tensors must lie side by side from the payload's first byte to its last. */
static int check_places(const struct dtr_safetensors *file, const uint8_t *payload,
                        struct dtr_error *error) {
    const uint8_t *expected = payload;
    for (size_t i = 0; i < file->count; i++) {
        const struct dtr_stored_tensor *tensor = &file->tensor[i];
        if (tensor->data < expected)
            return dtr_fail(error, DTR_E_CONFIG, "%s: tensors '%.200s' and '%.200s' overlap",
                            file->path, file->tensor[i - 1].name, tensor->name);
        if (tensor->data > expected)
            return dtr_fail(error, DTR_E_CONFIG, "%s: %td bytes before tensor '%.200s' are unused",
                            file->path, tensor->data - expected, tensor->name);
        expected = tensor->data + tensor->bytes;
    }
    ptrdiff_t left = file->map.data + file->map.size - expected;
    if (left)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %td bytes at the end belong to no tensor",
                        file->path, left);
    return DTR_OK;
}

static int parse_header(struct dtr_safetensors *file, const cJSON *header, const uint8_t *payload,
                        struct dtr_error *error) {
    size_t entries = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, header) entries++;
    file->tensor = calloc(entries ? entries : 1, sizeof *file->tensor);
    if (!file->tensor)
        return dtr_fail_memory(error);
    uint64_t room = (uint64_t)(file->map.data + file->map.size - payload);
    cJSON_ArrayForEach(item, header) {
        if (!strcmp(item->string, "__metadata__"))
            continue;
        struct dtr_stored_tensor *tensor = &file->tensor[file->count];
        int status = parse_tensor(file->path, item, payload, room, tensor, error);
        if (!status && !(tensor->name = strdup(item->string)))
            status = dtr_fail_memory(error);
        if (status) {
            tensor->name = NULL;
            return status;
        }
        file->count++;
    }
    qsort(file->tensor, file->count, sizeof *file->tensor, compare_places);
    int status = check_places(file, payload, error);
    qsort(file->tensor, file->count, sizeof *file->tensor, compare_names);
    return status;
}

static int parse_file(struct dtr_safetensors *file, struct dtr_error *error) {
    uint64_t length;
    if (file->map.size < sizeof length)
        return dtr_fail(error, DTR_E_CONFIG, "%s: is too short for a safetensors file", file->path);
    memcpy(&length, file->map.data, sizeof length);
    if (length > DTR_JSON_BYTES_MAX)
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not a safetensors file", file->path);
    if (length > file->map.size - sizeof length)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: is truncated: its header has %llu bytes, the whole file %zu",
                        file->path, (unsigned long long)length, file->map.size);
    const uint8_t *text = file->map.data + sizeof length;
    if (!length || *text != '{')
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not a safetensors file", file->path);
    cJSON *header = NULL;
    int status = dtr_json_parse(file->path, text, (size_t)length, &header, error);
    if (status)
        return status;
    status = parse_header(file, header, text + length, error);
    cJSON_Delete(header);
    return status;
}

int dtr_safetensors_open(const char *path, struct dtr_safetensors **file_p,
                         struct dtr_error *error) {
    struct dtr_safetensors *file = calloc(1, sizeof *file);
    if (!file || !(file->path = strdup(path))) {
        free(file);
        return dtr_fail_memory(error);
    }
    int status = dtr_map_open(path, &file->map, error);
    if (!status)
        status = parse_file(file, error);
    if (status) {
        dtr_safetensors_close(file);
        return status;
    }
    *file_p = file;
    return DTR_OK;
}

void dtr_safetensors_close(struct dtr_safetensors *file) {
    if (!file)
        return;
    for (size_t i = 0; i < file->count; i++)
        free((char *)(uintptr_t)file->tensor[i].name);
    free(file->tensor);
    dtr_map_close(&file->map);
    free(file->path);
    free(file);
}

const struct dtr_stored_tensor *dtr_safetensors_find(const struct dtr_safetensors *file,
                                                     const char *name) {
    const struct dtr_stored_tensor key = {.name = name};
    return file->count ? bsearch(&key, file->tensor, file->count, sizeof key, compare_names) : NULL;
}

void dtr_stored_floats(const struct dtr_stored_tensor *tensor, uint64_t first, size_t count,
                       float *out) {
    const uint8_t *from = tensor->data + first * stored_types[tensor->type].bytes;
    if (tensor->type == DTR_STORED_F32) {
        memcpy(out, from, count * sizeof *out);
        return;
    }
    uint16_t half;
    if (tensor->type == DTR_STORED_F16)
        for (size_t i = 0; i < count; i++) {
            memcpy(&half, from + i * sizeof half, sizeof half);
            out[i] = dtr_f16_to_f32(half);
        }
    else
        for (size_t i = 0; i < count; i++) {
            memcpy(&half, from + i * sizeof half, sizeof half);
            out[i] = dtr_bf16_to_f32(half);
        }
}

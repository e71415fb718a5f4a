/* SPDX-License-Identifier: MIT */
#include "model/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"

/* One file a shard; more would be a mistake or an attack. */
#define SHARDS_MAX 10000u

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const struct dtr_checkpoint_entry *)a)->tensor->name,
                  ((const struct dtr_checkpoint_entry *)b)->tensor->name);
}

static int compare_shards(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int open_single(struct dtr_checkpoint *checkpoint, const char *path,
                       struct dtr_error *error) {
    checkpoint->file = calloc(1, sizeof *checkpoint->file);
    if (!checkpoint->file)
        return dtr_fail_memory(error);
    int status = dtr_safetensors_open(path, &checkpoint->file[0], error);
    if (status)
        return status;
    const struct dtr_safetensors *file = checkpoint->file[checkpoint->files++];
    checkpoint->entry = calloc(file->count ? file->count : 1, sizeof *checkpoint->entry);
    if (!checkpoint->entry)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < file->count; i++)
        checkpoint->entry[i] = (struct dtr_checkpoint_entry){&file->tensor[i], file};
    checkpoint->count = file->count;
    return DTR_OK;
}

/* The name of a file in the index's own folder, and nothing else. */
static bool is_plain_name(const char *name) {
    return *name && *name != '.' && !strchr(name, '/') && dtr_text_is_printable(name);
}

/* The shards' names, each once, sorted; they stay the index's. */
static int list_shards(const char *path, const cJSON *map, const char ***names_p, size_t *count_p,
                       struct dtr_error *error) {
    size_t entries = (size_t)cJSON_GetArraySize(map), count = 0;
    const char **names = calloc(entries ? entries : 1, sizeof *names);
    if (!names)
        return dtr_fail_memory(error);
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        if (!cJSON_IsString(item) || !is_plain_name(item->valuestring)) {
            free(names);
            return dtr_fail(error, DTR_E_CONFIG,
                            "%s: a shard in weight_map must be the name of a file beside it", path);
        }
        names[count++] = item->valuestring;
    }
    qsort(names, count, sizeof *names, compare_shards);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(names[kept - 1], names[i]))
            names[kept++] = names[i];
    if (kept > SHARDS_MAX) {
        free(names);
        return dtr_fail(error, DTR_E_CONFIG, "%s: names %zu shards, more than %u", path, kept,
                        SHARDS_MAX);
    }
    *names_p = names;
    *count_p = kept;
    return DTR_OK;
}

static int open_shards(struct dtr_checkpoint *checkpoint, const char *path, const char **names,
                       size_t count, struct dtr_error *error) {
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path + 1) : 0;
    checkpoint->file = calloc(count ? count : 1, sizeof *checkpoint->file);
    if (!checkpoint->file)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        char *shard = NULL;
        if (asprintf(&shard, "%.*s%s", folder, path, names[i]) < 0)
            return dtr_fail_memory(error);
        int status = dtr_safetensors_open(shard, &checkpoint->file[i], error);
        free(shard);
        if (status)
            return status;
        checkpoint->files++;
    }
    return DTR_OK;
}

static int add_mapped(struct dtr_checkpoint *checkpoint, const char *path, const cJSON *item,
                      const char **names, size_t count, struct dtr_error *error) {
    if (!dtr_text_is_printable(item->string))
        return dtr_fail(error, DTR_E_CONFIG, "%s: the name of a tensor holds a control character",
                        path);
    const char *key = item->valuestring;
    const char **name = bsearch(&key, names, count, sizeof *names, compare_shards);
    const struct dtr_safetensors *file = checkpoint->file[name - names];
    const struct dtr_stored_tensor *tensor = dtr_safetensors_find(file, item->string);
    if (!tensor)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: tensor '%.200s' is missing, which %s says is here", file->path,
                        item->string, path);
    checkpoint->entry[checkpoint->count++] = (struct dtr_checkpoint_entry){tensor, file};
    return DTR_OK;
}

static int read_index(struct dtr_checkpoint *checkpoint, const char *path, const cJSON *index,
                      struct dtr_error *error) {
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map");
    if (!cJSON_IsObject(map) || !map->child)
        return dtr_fail(error, DTR_E_CONFIG, "%s: has no weight_map, so it is no index of weights",
                        path);
    const char *twice = dtr_json_duplicate(map);
    if (twice)
        return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%.200s' is there twice", path,
                        dtr_text_is_printable(twice) ? twice : "?");
    const char **names = NULL;
    size_t count = 0;
    int status = list_shards(path, map, &names, &count, error);
    if (status)
        return status;
    status = open_shards(checkpoint, path, names, count, error);
    checkpoint->entry = calloc((size_t)cJSON_GetArraySize(map), sizeof *checkpoint->entry);
    if (!status && !checkpoint->entry)
        status = dtr_fail_memory(error);
    const cJSON *item;
    for (item = map->child; item && !status; item = item->next)
        status = add_mapped(checkpoint, path, item, names, count, error);
    free(names);
    qsort(checkpoint->entry, checkpoint->count, sizeof *checkpoint->entry, compare_entries);
    return status;
}

static int open_index(struct dtr_checkpoint *checkpoint, const char *path,
                      struct dtr_error *error) {
    cJSON *index = NULL;
    int status = dtr_json_read(path, &index, error);
    if (status)
        return status;
    status = read_index(checkpoint, path, index, error);
    cJSON_Delete(index);
    return status;
}

int dtr_checkpoint_open(const char *path, struct dtr_checkpoint **checkpoint_p,
                        struct dtr_error *error) {
    struct dtr_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint)
        return dtr_fail_memory(error);
    size_t length = strlen(path);
    bool index = length > 5 && !strcmp(path + length - 5, ".json");
    int status = index ? open_index(checkpoint, path, error) : open_single(checkpoint, path, error);
    if (status) {
        dtr_checkpoint_close(checkpoint);
        return status;
    }
    *checkpoint_p = checkpoint;
    return DTR_OK;
}

void dtr_checkpoint_close(struct dtr_checkpoint *checkpoint) {
    if (!checkpoint)
        return;
    for (size_t i = 0; i < checkpoint->files; i++)
        dtr_safetensors_close(checkpoint->file[i]);
    free(checkpoint->file);
    free(checkpoint->entry);
    free(checkpoint);
}

const struct dtr_checkpoint_entry *dtr_checkpoint_find(const struct dtr_checkpoint *checkpoint,
                                                       const char *name) {
    const struct dtr_stored_tensor tensor = {.name = name};
    const struct dtr_checkpoint_entry key = {.tensor = &tensor};
    return checkpoint->count
               ? bsearch(&key, checkpoint->entry, checkpoint->count, sizeof key, compare_entries)
               : NULL;
}

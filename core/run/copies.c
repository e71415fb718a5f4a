/* SPDX-License-Identifier: MIT */
#include "run/copies.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const struct dtr_model_source *source;
    const uint8_t *digest;
    const struct dtr_log *log;
};

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), tail = strlen(end);
    return length > tail && !strcmp(text + length - tail, end);
}

/* What is another model, or only a part of one, does not open under this configuration. */
static bool is_it(const struct search *search, const char *path) {
    struct dtr_model_source source = *search->source;
    struct dtr_error why = {0};
    struct dtr_model *model;
    source.weights = path;
    source.supply = NULL;
    if (dtr_model_open(&source, &model, &why)) {
        dtr_log(search->log, DTR_LOG_DEBUG, "not this model: %s", why.text);
        return false;
    }
    const bool same = !memcmp(model->digest, search->digest, sizeof model->digest);
    dtr_model_close(model);
    return same;
}

static char *join(const char *folder, const char *name) {
    char *path;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* In the order of their names; `deeper` levels of folders are looked into. */
static char *look(const struct search *search, const char *folder, int deeper) {
    struct dirent **entries;
    char *found = NULL;
    const int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char *path = found || name[0] == '.' ? NULL : join(folder, name);
        const bool weights =
            ends_with(name, ".safetensors") || ends_with(name, ".safetensors.index.json");
        if (path && weights && is_it(search, path)) {
            found = path;
            path = NULL;
        } else if (path && !weights && deeper) {
            found = look(search, path, deeper - 1);
        }
        free(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return found;
}

char *dtr_copies_find(const char *folder, const struct dtr_model_source *source,
                      const uint8_t digest[32], const struct dtr_log *log) {
    const struct search search = {source, digest, log};
    return look(&search, folder, 1);
}

/* SPDX-License-Identifier: MIT */
#include "model/config_json.h"

#include <detransformer/kernel.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"

struct reader {
    const char *path;
    const cJSON *object;
    struct dtr_error *error;
};

/* NULL where the key is absent or null. */
static const cJSON *find(const struct reader *reader, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reader->object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

/* A whole number from `least` to `most`; where the key is absent `*value_p` stays as it is. */
static int read_number(const struct reader *reader, const char *key, uint32_t least, uint32_t most,
                       uint32_t *value_p) {
    const cJSON *item = find(reader, key);
    uint64_t value;
    if (!item)
        return DTR_OK;
    if (!dtr_json_whole(item, &value) || value < least || value > most)
        return dtr_fail(reader->error, DTR_E_CONFIG, "%s: %s must be a whole number from %u to %u",
                        reader->path, key, least, most);
    *value_p = (uint32_t)value;
    return DTR_OK;
}

static int read_required(const struct reader *reader, const char *key, uint32_t most,
                         uint32_t *value_p) {
    if (!find(reader, key))
        return dtr_fail(reader->error, DTR_E_CONFIG, "%s: %s is missing", reader->path, key);
    return read_number(reader, key, 1, most, value_p);
}

/* The index of the text among the words, `absent` where the key is not there. */
static int read_word(const struct reader *reader, const char *key, const char *const *words,
                     int32_t absent, int32_t *index_p) {
    const cJSON *item = find(reader, key);
    *index_p = absent;
    if (!item)
        return DTR_OK;
    if (!cJSON_IsString(item) || !dtr_text_is_printable(item->valuestring))
        return dtr_fail(reader->error, DTR_E_CONFIG, "%s: %s must be a text", reader->path, key);
    for (int32_t i = 0; words[i]; i++)
        if (!strcmp(item->valuestring, words[i])) {
            *index_p = i;
            return DTR_OK;
        }
    char known[200] = "";
    for (size_t i = 0, used = 0; words[i] && used + strlen(words[i]) + 3 < sizeof known; i++) {
        strcat(known, i ? ", " : "");
        strcat(known, words[i]);
        used = strlen(known);
    }
    return dtr_fail(reader->error, DTR_E_CONFIG, "%s: %s '%.60s' is not known; known: %s",
                    reader->path, key, item->valuestring, known);
}

static int read_sizes(const struct reader *reader, struct dtr_model_config *config) {
    int status = read_required(reader, "num_hidden_layers", DTR_LAYERS_MAX, &config->layers);
    if (!status)
        status = read_required(reader, "hidden_size", DTR_HIDDEN_MAX, &config->hidden);
    if (!status)
        status = read_required(reader, "num_attention_heads", DTR_HEADS_MAX, &config->heads);
    if (!status)
        status =
            read_required(reader, "intermediate_size", DTR_INTERMEDIATE_MAX, &config->intermediate);
    if (!status)
        status = read_number(reader, "vocab_size", 1, DTR_VOCABULARY_MAX, &config->vocabulary);
    if (!status)
        status = read_number(reader, "max_position_embeddings", 1, DTR_POSITIONS_MAX,
                             &config->positions);
    if (!status)
        status = read_number(reader, "type_vocab_size", 1, DTR_LABELS_MAX, &config->types);
    return status;
}

static int read_decoupling(const struct reader *reader, struct dtr_model_config *config) {
    static const char *const widths[] = {"full", "split", NULL};
    int status = read_number(reader, "debert_division", 0, DTR_DIVISIONS_MAX, &config->divisions);
    if (!status)
        status = read_number(reader, "num_debert_blocks", 1, DTR_LAYERS_MAX, &config->groups);
    if (!status)
        status = read_number(reader, "debert_intermediate_size", 1, DTR_INTERMEDIATE_MAX,
                             &config->sub_intermediate);
    if (!status)
        status = read_word(reader, "debert_attention", widths, -1, &config->attention);
    return status;
}

static int read_arithmetic(const struct reader *reader, struct dtr_model_config *config) {
    static const char *const names[] = {"gelu", "gelu_new", "gelu_pytorch_tanh", NULL};
    static const char *const position_types[] = {"absolute", NULL};
    int32_t index;
    int status = read_word(reader, "position_embedding_type", position_types, 0, &index);
    if (!status)
        status = read_word(reader, "hidden_act", names, 0, &index);
    if (status)
        return status;
    config->activation = index == 0 ? DTR_ACT_GELU : DTR_ACT_GELU_TANH;
    config->norm_epsilon = 1e-12f;
    const cJSON *epsilon = find(reader, "layer_norm_eps");
    if (epsilon) {
        if (!cJSON_IsNumber(epsilon) || !(epsilon->valuedouble >= 0 && epsilon->valuedouble <= 1))
            return dtr_fail(reader->error, DTR_E_CONFIG,
                            "%s: layer_norm_eps must be a number from 0 to 1", reader->path);
        config->norm_epsilon = (float)epsilon->valuedouble;
    }
    return DTR_OK;
}

/* What would run, but compute something else than the model's makers meant. */
static int read_family(const struct reader *reader) {
    const cJSON *type = find(reader, "model_type");
    if (type && !find(reader, "debert_division") &&
        (!cJSON_IsString(type) || strcmp(type->valuestring, "bert")))
        return dtr_fail(reader->error, DTR_E_CONFIG, "%s: model_type must be 'bert'", reader->path);
    if (cJSON_IsTrue(find(reader, "is_decoder")))
        return dtr_fail(reader->error, DTR_E_CONFIG,
                        "%s: is_decoder is true, and only encoders can be run", reader->path);
    return DTR_OK;
}

/* The number that a key of id2label is, written without leading zeros; -1: none. */
static int64_t label_index(const char *key) {
    int64_t index = 0;
    size_t length = strlen(key);
    if (!length || length > 6 || (*key == '0' && length > 1))
        return -1;
    for (; *key; key++) {
        if (*key < '0' || *key > '9')
            return -1;
        index = index * 10 + (*key - '0');
    }
    return index;
}

static int store_label(const struct reader *reader, const cJSON *item,
                       struct dtr_model_config *config) {
    int64_t index = label_index(item->string);
    if (index < 0 || index >= config->labels || config->label[index] || !cJSON_IsString(item) ||
        !dtr_text_is_printable(item->valuestring))
        return dtr_fail(reader->error, DTR_E_CONFIG,
                        "%s: id2label must give each number from 0 to %u a name", reader->path,
                        config->labels - 1);
    config->label[index] = strdup(item->valuestring);
    return config->label[index] ? DTR_OK : dtr_fail_memory(reader->error);
}

static int read_labels(const struct reader *reader, struct dtr_model_config *config) {
    int status = read_number(reader, "num_labels", 1, DTR_LABELS_MAX, &config->labels);
    const cJSON *names = find(reader, "id2label");
    if (status || !names)
        return status;
    int count = cJSON_GetArraySize(names);
    if (!cJSON_IsObject(names) || count < 1 || count > DTR_LABELS_MAX)
        return dtr_fail(reader->error, DTR_E_CONFIG,
                        "%s: id2label must be an object with 1 to %d names", reader->path,
                        DTR_LABELS_MAX);
    if (config->labels && config->labels != (uint32_t)count)
        return dtr_fail(reader->error, DTR_E_CONFIG,
                        "%s: num_labels is %u, but id2label has %d names", reader->path,
                        config->labels, count);
    config->labels = (uint32_t)count;
    config->label = calloc((size_t)count, sizeof *config->label);
    if (!config->label)
        return dtr_fail_memory(reader->error);
    const cJSON *item;
    cJSON_ArrayForEach(item, names) {
        status = store_label(reader, item, config);
        if (status)
            return status;
    }
    return DTR_OK;
}

int dtr_model_config_read(const char *path, const char *text, struct dtr_model_config *config_p,
                          struct dtr_error *error) {
    cJSON *object = NULL;
    int status = text ? dtr_json_parse(path, text, strlen(text), &object, error)
                      : dtr_json_read(path, &object, error);
    if (status)
        return status;
    const struct reader reader = {.path = path, .object = object, .error = error};
    /* Hugging Face's defaults for what its own files may leave out. */
    struct dtr_model_config config = {.vocabulary = 30522, .positions = 512, .types = 2};
    status = read_family(&reader);
    if (!status)
        status = read_sizes(&reader, &config);
    if (!status)
        status = read_decoupling(&reader, &config);
    if (!status)
        status = read_arithmetic(&reader, &config);
    if (!status)
        status = read_labels(&reader, &config);
    cJSON_Delete(object);
    if (status) {
        dtr_model_config_free(&config);
        return status;
    }
    *config_p = config;
    return DTR_OK;
}

void dtr_model_config_free(struct dtr_model_config *config) {
    for (uint32_t i = 0; config->label && i < config->labels; i++)
        free(config->label[i]);
    free(config->label);
    *config = (struct dtr_model_config){0};
}

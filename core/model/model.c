/* SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_json.h"
#include "model/tensors.h"
#include "model/weights.h"

static int override(const struct dtr_model_source *source, const char *key, int64_t given,
                    uint32_t most, uint32_t *value_p, struct dtr_error *error) {
    if (!given)
        return DTR_OK;
    if (source->weights)
        return dtr_fail(error, DTR_E_CONFIG, "%s can be set with random weights only", key);
    if (given < 1 || given > most)
        return dtr_fail(error, DTR_E_CONFIG, "%s must be from 1 to %u", key, most);
    *value_p = (uint32_t)given;
    return DTR_OK;
}

static int apply_overrides(const struct dtr_model_source *source, struct dtr_model_config *config,
                           struct dtr_error *error) {
    int status = override(source, "debert_division", source->division, DTR_DIVISIONS_MAX,
                          &config->divisions, error);
    if (!status)
        status = override(source, "num_debert_blocks", source->num_blocks, DTR_LAYERS_MAX,
                          &config->groups, error);
    if (!status)
        status = override(source, "debert_intermediate_size", source->intermediate_size,
                          DTR_INTERMEDIATE_MAX, &config->sub_intermediate, error);
    if (status || source->attention < 0)
        return status;
    if (source->weights)
        return dtr_fail(error, DTR_E_CONFIG,
                        "debert_attention can be set with random weights only");
    config->attention = source->attention;
    return DTR_OK;
}

/* What the configuration leaves open and the checkpoint's shapes tell.  Where both tell something,
 * binding the tensors finds out whether they agree. */
static void ask_supply(struct dtr_model_config *config, const struct dtr_supply *supply) {
    if (!config->labels && supply->labels <= DTR_LABELS_MAX)
        config->labels = supply->labels;
    if (config->divisions < 2)
        return;
    if (config->attention < 0)
        config->attention = supply->attention == 1;
    if (!config->sub_intermediate && supply->sub_intermediate <= DTR_INTERMEDIATE_MAX)
        config->sub_intermediate = supply->sub_intermediate;
}

static void ask_weights(struct dtr_model_config *config, const struct dtr_model_weights *weights) {
    if (weights->supply.fetch) {
        ask_supply(config, &weights->supply);
        return;
    }
    const struct dtr_tensor_id classifier = {.kind = DTR_TENSOR_CLASSIFIER_WEIGHT};
    uint32_t labels = dtr_weights_rows(weights, classifier);
    if (!config->labels && labels <= DTR_LABELS_MAX)
        config->labels = labels;
    if (config->divisions < 2)
        return;
    const struct dtr_tensor_id query = {.kind = DTR_TENSOR_QUERY_WEIGHT};
    uint32_t inner = dtr_weights_rows(weights, query);
    if (config->attention < 0 && inner)
        config->attention = inner == config->hidden / config->divisions;
    const struct dtr_tensor_id intermediate = {.kind = DTR_TENSOR_INTERMEDIATE_WEIGHT};
    uint32_t columns = dtr_weights_rows(weights, intermediate);
    if (!config->sub_intermediate && columns <= DTR_INTERMEDIATE_MAX)
        config->sub_intermediate = columns;
}

static int divides(const char *path, const char *part_name, uint32_t part, const char *whole_name,
                   uint32_t whole, struct dtr_error *error) {
    if (whole % part == 0)
        return DTR_OK;
    return dtr_fail(error, DTR_E_CONFIG, "%s: %s %u does not divide %s %u", path, part_name, part,
                    whole_name, whole);
}

static int decouple(const char *path, const struct dtr_model_config *config,
                    struct dtr_model *model, struct dtr_error *error) {
    struct dtr_model_shape *shape = &model->shape;
    if (!config->groups)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: num_debert_blocks is missing, which debert_division needs", path);
    int status =
        divides(path, "debert_division", config->divisions, "hidden_size", config->hidden, error);
    if (!status)
        status = divides(path, "num_debert_blocks", config->groups, "num_hidden_layers",
                         config->layers, error);
    model->split_width = config->attention == 1;
    if (!status && model->split_width)
        status = divides(path, "debert_division", config->divisions, "num_attention_heads",
                         config->heads, error);
    if (status)
        return status;
    const uint32_t parts = model->split_width ? config->divisions : 1;
    shape->divisions = config->divisions;
    shape->groups = config->groups;
    shape->group_layers = config->layers / config->groups;
    shape->sub_heads = config->heads / parts;
    shape->sub_attention = config->hidden / parts;
    shape->sub_intermediate =
        config->sub_intermediate ? config->sub_intermediate : config->intermediate;
    return DTR_OK;
}

static int set_structure(const char *path, const struct dtr_model_config *config,
                         struct dtr_model *model, struct dtr_error *error) {
    model->shape = (struct dtr_model_shape){
        .size = sizeof model->shape,
        .layers = config->layers,
        .hidden = config->hidden,
        .heads = config->heads,
        .intermediate = config->intermediate,
        .groups = config->layers,
        .group_layers = 1,
    };
    model->vocabulary = config->vocabulary;
    model->positions = config->positions;
    model->types = config->types;
    model->labels = config->labels ? config->labels : 2;
    model->activation = config->activation;
    model->norm_epsilon = config->norm_epsilon;
    int status =
        divides(path, "num_attention_heads", config->heads, "hidden_size", config->hidden, error);
    if (!status && config->divisions > 1)
        status = decouple(path, config, model, error);
    if (status)
        return status;
    model->head_size = config->hidden / config->heads;
    model->shape.original_bytes = sizeof(float) * dtr_tensor_layer_numbers(model, true);
    if (model->shape.divisions)
        model->shape.sub_block_bytes = sizeof(float) * dtr_tensor_layer_numbers(model, false);
    return DTR_OK;
}

static int set_labels(const struct dtr_model_config *config, struct dtr_model *model,
                      struct dtr_error *error) {
    model->label = calloc(model->labels, sizeof *model->label);
    if (!model->label)
        return dtr_fail_memory(error);
    for (uint32_t i = 0; i < model->labels; i++) {
        char *label = NULL;
        if (config->label)
            label = strdup(config->label[i]);
        else if (asprintf(&label, "LABEL_%u", i) < 0)
            label = NULL;
        if (!label)
            return dtr_fail_memory(error);
        model->label[i] = label;
    }
    return DTR_OK;
}

static int build(const struct dtr_model_source *source, struct dtr_model_config *config,
                 struct dtr_model *model, struct dtr_error *error) {
    int status = dtr_weights_open(source, &model->weights, error);
    if (status)
        return status;
    ask_weights(config, model->weights);
    status = set_structure(source->config, config, model, error);
    if (!status)
        status = set_labels(config, model, error);
    if (!status)
        status = dtr_weights_bind(model, source, error);
    if (!status)
        status = dtr_weights_digest(model, error);
    if (status)
        return status;
    const struct dtr_tensor_id pooler[] = {{.kind = DTR_TENSOR_POOLER_WEIGHT},
                                           {.kind = DTR_TENSOR_POOLER_BIAS}};
    uint32_t rows, columns;
    model->has_pooler = dtr_model_tensor_shape(model, pooler[0], &rows, &columns) &&
                        dtr_model_tensor_shape(model, pooler[1], &rows, &columns);
    return DTR_OK;
}

int dtr_model_open(const struct dtr_model_source *source, struct dtr_model **model_p,
                   struct dtr_error *error) {
    struct dtr_model_config config;
    int status = dtr_model_config_read(source->config, source->config_text, &config, error);
    if (status)
        return status;
    struct dtr_model *model = calloc(1, sizeof *model);
    status = model ? apply_overrides(source, &config, error) : dtr_fail_memory(error);
    if (!status)
        status = build(source, &config, model, error);
    dtr_model_config_free(&config);
    if (status) {
        dtr_model_close(model);
        return status;
    }
    *model_p = model;
    return DTR_OK;
}

void dtr_model_close(struct dtr_model *model) {
    if (!model)
        return;
    for (uint32_t i = 0; model->label && i < model->labels; i++)
        free((char *)(uintptr_t)model->label[i]);
    free(model->label);
    dtr_weights_close(model->weights);
    free(model);
}

/* SPDX-License-Identifier: MIT */
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/experiment.h"
#include "model/random.h"
#include "model/tensors.h"

/* More tensors than this are a mistake or an attack. */
#define TENSORS_MAX ((size_t)1 << 24)

static int open_supply(const struct dtr_supply *supply, struct dtr_model_weights *weights,
                       struct dtr_error *error) {
    weights->supply = *supply;
    weights->types = malloc(supply->count + 1);
    weights->kept = calloc((size_t)supply->count + 1, sizeof *weights->kept);
    if (!weights->types || !weights->kept)
        return dtr_fail_memory(error);
    memcpy(weights->types, supply->types, supply->count);
    weights->supply.types = weights->types;
    return DTR_OK;
}

int dtr_weights_open(const struct dtr_model_source *source, struct dtr_model_weights **weights_p,
                     struct dtr_error *error) {
    struct dtr_model_weights *weights = calloc(1, sizeof *weights);
    if (!weights)
        return dtr_fail_memory(error);
    weights->seed = source->seed;
    int status = DTR_OK;
    if (source->weights)
        status = dtr_checkpoint_open(source->weights, &weights->checkpoint, error);
    else if (source->supply)
        status = open_supply(source->supply, weights, error);
    if (status) {
        dtr_weights_close(weights);
        return status;
    }
    if (weights->checkpoint)
        dtr_names_detect(&weights->names, weights->checkpoint);
    *weights_p = weights;
    return DTR_OK;
}

void dtr_weights_close(struct dtr_model_weights *weights) {
    if (!weights)
        return;
    dtr_checkpoint_close(weights->checkpoint);
    for (uint32_t i = 0; weights->kept && i < weights->supply.count; i++)
        free(weights->kept[i]);
    free(weights->kept);
    free(weights->types);
    free(weights->slot);
    free(weights);
}

static const struct dtr_checkpoint_entry *find(const struct dtr_model_weights *weights,
                                               struct dtr_tensor_id id) {
    char name[DTR_TENSOR_NAME_MAX];
    return dtr_checkpoint_find(weights->checkpoint, dtr_names_format(&weights->names, id, name));
}

uint32_t dtr_weights_rows(const struct dtr_model_weights *weights, struct dtr_tensor_id id) {
    const struct dtr_checkpoint_entry *entry = weights->checkpoint ? find(weights, id) : NULL;
    if (!entry || entry->tensor->rank != 2 || entry->tensor->shape[0] > UINT32_MAX)
        return 0;
    return (uint32_t)entry->tensor->shape[0];
}

static bool is_within(enum dtr_tensor_kind kind, enum dtr_tensor_kind first,
                      enum dtr_tensor_kind last) {
    return kind >= first && kind <= last;
}

/* Whether a tensor of no layer belongs to the task. */
static bool is_of_task(enum dtr_tensor_kind kind, int32_t task) {
    switch (task) {
    case DTR_TASK_CLASSIFY:
        return is_within(kind, DTR_TENSOR_POOLER_WEIGHT, DTR_TENSOR_CLASSIFIER_BIAS);
    case DTR_TASK_FILL_MASK:
        return is_within(kind, DTR_TENSOR_PREDICTION_DENSE_WEIGHT,
                         DTR_TENSOR_PREDICTION_DECODER_BIAS);
    case DTR_TASK_ANSWER:
        return is_within(kind, DTR_TENSOR_ANSWER_WEIGHT, DTR_TENSOR_ANSWER_BIAS);
    default:
        return false;
    }
}

static bool is_required(const struct dtr_model_source *source, enum dtr_tensor_kind kind) {
    if (kind <= DTR_TENSOR_EMBEDDINGS_NORM_BIAS)
        return source->needs_embeddings;
    return kind <= DTR_TENSOR_OUTPUT_NORM_BIAS || is_of_task(kind, source->task);
}

static bool is_of_layer(enum dtr_tensor_kind kind) {
    return is_within(kind, DTR_TENSOR_QUERY_WEIGHT, DTR_TENSOR_OUTPUT_NORM_BIAS);
}

static int fail_missing(const struct dtr_model_weights *weights,
                        const struct dtr_model_source *source, struct dtr_tensor_id id,
                        struct dtr_error *error) {
    char name[DTR_TENSOR_NAME_MAX], other[DTR_TENSOR_NAME_MAX];
    dtr_names_format(&weights->names, id, name);
    if (is_of_layer(id.kind)) {
        id.division = id.division < 0 ? 0 : -1;
        dtr_names_format(&weights->names, id, other);
        if (dtr_checkpoint_find(weights->checkpoint, other))
            return dtr_fail(error, DTR_E_CONFIG,
                            "%s: tensor '%s' is missing, but '%s' is there: the weights are not "
                            "decoupled as debert_division and num_debert_blocks of %s say",
                            source->weights, name, other, source->config);
        return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%s' is missing", source->weights, name);
    }
    static const char *const needs[] = {
        [DTR_TASK_ENCODE] = "text as input",
        [DTR_TASK_CLASSIFY] = "task 'classify'",
        [DTR_TASK_FILL_MASK] = "task 'fill-mask'",
        [DTR_TASK_ANSWER] = "task 'answer'",
    };
    int need = id.kind <= DTR_TENSOR_EMBEDDINGS_NORM_BIAS ? DTR_TASK_ENCODE : source->task;
    return dtr_fail(error, DTR_E_CONFIG, "%s: tensor '%s' is missing, which %s needs",
                    source->weights, name, needs[need]);
}

static bool is_number_type(uint32_t type) {
    return type == DTR_STORED_F32 || type == DTR_STORED_F16 || type == DTR_STORED_BF16;
}

static int check_tensor(const struct dtr_model *model, const struct dtr_model_source *source,
                        struct dtr_tensor_id id, const struct dtr_checkpoint_entry *entry,
                        struct dtr_error *error) {
    const struct dtr_stored_tensor *tensor = entry->tensor;
    uint32_t rows, columns;
    bool vector;
    dtr_tensor_extent(model, id, &rows, &columns, &vector);
    const struct dtr_stored_tensor expected = {.rank = vector ? 1 : 2,
                                               .shape = {vector ? columns : rows, columns}};
    if (tensor->rank != expected.rank || tensor->shape[0] != expected.shape[0] ||
        (!vector && tensor->shape[1] != columns)) {
        char stored[100], wanted[100];
        return dtr_fail(
            error, DTR_E_CONFIG, "%s: tensor '%.200s' has the shape %s, and %s asks for %s",
            entry->file->path, tensor->name, dtr_stored_shape_text(tensor, stored, sizeof stored),
            source->config, dtr_stored_shape_text(&expected, wanted, sizeof wanted));
    }
    if (!is_number_type(tensor->type))
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: tensor '%.200s' is of type %s; weights must be F32, F16 or BF16",
                        entry->file->path, tensor->name, dtr_stored_type_name(tensor->type));
    return DTR_OK;
}

static int bind_tensor(struct dtr_model *model, const struct dtr_model_source *source,
                       struct dtr_tensor_id id, struct dtr_error *error) {
    struct dtr_model_weights *weights = model->weights;
    const struct dtr_checkpoint_entry *entry = find(weights, id);
    size_t index = dtr_tensor_index(model, id);
    if (!entry && id.kind == DTR_TENSOR_PREDICTION_DECODER_WEIGHT) {
        weights->slot[index] = weights->slot[DTR_TENSOR_WORD_EMBEDDINGS];
        if (weights->slot[index])
            return DTR_OK;
    }
    if (!entry)
        return is_required(source, id.kind) ? fail_missing(weights, source, id, error) : DTR_OK;
    int status = check_tensor(model, source, id, entry, error);
    if (status)
        return status;
    weights->slot[index] = entry->tensor;
    model->parameters += entry->tensor->bytes / dtr_stored_type_bytes(entry->tensor->type);
    return DTR_OK;
}

/* Weights of more layers or sub-blocks than the configuration tells of would be left out. */
static int refuse_surplus(const struct dtr_model *model, const struct dtr_model_source *source,
                          struct dtr_error *error) {
    const struct dtr_model_shape *shape = &model->shape;
    const struct dtr_tensor_id surplus[] = {
        {.kind = DTR_TENSOR_QUERY_WEIGHT, .layer = shape->layers, .division = -1},
        {.kind = DTR_TENSOR_QUERY_WEIGHT, .layer = shape->layers, .division = 0},
        {.kind = DTR_TENSOR_QUERY_WEIGHT, .division = (int32_t)shape->divisions},
    };
    for (size_t i = 0; i < sizeof surplus / sizeof *surplus; i++) {
        const struct dtr_checkpoint_entry *entry = find(model->weights, surplus[i]);
        if (entry)
            return dtr_fail(error, DTR_E_CONFIG,
                            "%s: tensor '%.200s' is one that a model as in %s does not have",
                            entry->file->path, entry->tensor->name, source->config);
    }
    return DTR_OK;
}

/* Nothing but this was said of the tensors: their shapes are the structure's. */
static int bind_supply(struct dtr_model *model, const struct dtr_model_source *source, size_t count,
                       struct dtr_error *error) {
    const struct dtr_supply *supply = &model->weights->supply;
    if (supply->count != count)
        return dtr_fail(error, DTR_E_CONFIG, "%s: tells of %zu tensors, but %u are supplied",
                        source->config, count, supply->count);
    struct dtr_tensor_id id = {.kind = 0};
    do {
        const uint8_t type = supply->types[dtr_tensor_index(model, id)];
        uint32_t rows = 0, columns = 0;
        if (is_number_type(type) && dtr_tensor_extent(model, id, &rows, &columns, NULL))
            model->parameters += (uint64_t)rows * columns;
        else if (type != DTR_STORED_TYPES || is_required(source, id.kind))
            return dtr_fail(error, DTR_E_CONFIG,
                            "%s: a tensor that it tells of is not supplied, or of no known type",
                            source->config);
    } while (dtr_tensor_next(model, &id));
    return DTR_OK;
}

static uint64_t count_random(const struct dtr_model *model) {
    const struct dtr_model_shape *shape = &model->shape;
    uint64_t sub_blocks = (uint64_t)(shape->layers - shape->groups) * shape->divisions;
    uint64_t numbers = shape->groups * dtr_tensor_layer_numbers(model, true);
    if (sub_blocks)
        numbers += sub_blocks * dtr_tensor_layer_numbers(model, false);
    for (int kind = 0; kind < DTR_TENSOR_KINDS; kind++) {
        const struct dtr_tensor_id id = {.kind = (enum dtr_tensor_kind)kind};
        uint32_t rows, columns;
        if (!is_of_layer(id.kind) && id.kind != DTR_TENSOR_PREDICTION_DECODER_WEIGHT &&
            dtr_tensor_extent(model, id, &rows, &columns, NULL))
            numbers += (uint64_t)rows * columns;
    }
    return numbers;
}

int dtr_weights_bind(struct dtr_model *model, const struct dtr_model_source *source,
                     struct dtr_error *error) {
    const struct dtr_tensor_id last = {.kind = DTR_TENSOR_KINDS - 1};
    size_t count = dtr_tensor_index(model, last) + 1;
    if (count > TENSORS_MAX)
        return dtr_fail(error, DTR_E_CONFIG, "%s: tells of %zu tensors, more than the %zu allowed",
                        source->config, count, TENSORS_MAX);
    if (model->weights->supply.fetch)
        return bind_supply(model, source, count, error);
    if (!model->weights->checkpoint) {
        model->parameters = count_random(model);
        return DTR_OK;
    }
    model->weights->slot = calloc(count, sizeof *model->weights->slot);
    if (!model->weights->slot)
        return dtr_fail_memory(error);
    int status = DTR_OK;
    struct dtr_tensor_id id = {.kind = 0};
    do {
        status = bind_tensor(model, source, id, error);
    } while (!status && dtr_tensor_next(model, &id));
    return status ? status : refuse_surplus(model, source, error);
}

bool dtr_model_tensor_shape(const struct dtr_model *model, struct dtr_tensor_id id,
                            uint32_t *rows_p, uint32_t *columns_p) {
    uint32_t rows, columns;
    if (!dtr_tensor_extent(model, id, &rows, &columns, NULL))
        return false;
    const struct dtr_model_weights *weights = model->weights;
    if (weights->slot && !weights->slot[dtr_tensor_index(model, id)])
        return false;
    if (weights->types && weights->types[dtr_tensor_index(model, id)] == DTR_STORED_TYPES)
        return false;
    *rows_p = rows;
    *columns_p = columns;
    return true;
}

bool dtr_model_has_task(const struct dtr_model *model, int32_t task) {
    for (int kind = 0; kind < DTR_TENSOR_KINDS; kind++) {
        const struct dtr_tensor_id id = {.kind = (enum dtr_tensor_kind)kind};
        uint32_t rows, columns;
        if (is_of_task(id.kind, task) && !dtr_model_tensor_shape(model, id, &rows, &columns))
            return false;
    }
    return true;
}

struct distribution {
    float base, scale; /* base + scale u, u uniform in [-1, 1) */
};

/* Keeps hidden states, attention scores and GELU's inputs at unit scale.  Powers of two where the
 * base is not 0, as dtr_random_row() wants for equal numbers everywhere. */
static struct distribution distribution_of(enum dtr_tensor_kind kind, uint32_t columns) {
    switch (kind) {
    case DTR_TENSOR_WORD_EMBEDDINGS:
        return (struct distribution){0.0f, 0.0625f};
    case DTR_TENSOR_POSITION_EMBEDDINGS:
    case DTR_TENSOR_TYPE_EMBEDDINGS:
        return (struct distribution){0.0f, 0.03125f};
    case DTR_TENSOR_EMBEDDINGS_NORM_WEIGHT:
    case DTR_TENSOR_ATTENTION_NORM_WEIGHT:
    case DTR_TENSOR_OUTPUT_NORM_WEIGHT:
    case DTR_TENSOR_PREDICTION_NORM_WEIGHT:
        return (struct distribution){1.0f, 0.125f};
    case DTR_TENSOR_QUERY_WEIGHT:
    case DTR_TENSOR_KEY_WEIGHT:
    case DTR_TENSOR_VALUE_WEIGHT:
    case DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT:
    case DTR_TENSOR_INTERMEDIATE_WEIGHT:
    case DTR_TENSOR_OUTPUT_WEIGHT:
    case DTR_TENSOR_POOLER_WEIGHT:
    case DTR_TENSOR_CLASSIFIER_WEIGHT:
    case DTR_TENSOR_PREDICTION_DENSE_WEIGHT:
    case DTR_TENSOR_ANSWER_WEIGHT:
        /* Variance 1 / fan-in. */
        return (struct distribution){0.0f, (float)sqrt(3.0 / columns)};
    default: /* biases */
        return (struct distribution){0.0f, 0.0625f};
    }
}

static void read_random(const struct dtr_model *model, struct dtr_tensor_id id, uint32_t row,
                        uint32_t rows, uint32_t column, uint32_t columns, float *out,
                        size_t stride) {
    if (id.kind == DTR_TENSOR_PREDICTION_DECODER_WEIGHT)
        id.kind = DTR_TENSOR_WORD_EMBEDDINGS;
    uint32_t all_rows, all_columns;
    dtr_tensor_extent(model, id, &all_rows, &all_columns, NULL);
    const struct distribution from = distribution_of(id.kind, all_columns);
    /* The key must not depend on the structure, only on the tensor's place in it. */
    const uint64_t place = ((uint64_t)id.layer << 32) + (uint64_t)(id.division + 1);
    uint64_t key = dtr_random_key(model->weights->seed, (uint64_t)id.kind);
    if (is_of_layer(id.kind))
        key = dtr_random_key(key, place);
    for (uint32_t i = 0; i < rows; i++)
        dtr_random_row(key, row + i, column, columns, from.base, from.scale, out + i * stride);
}

void dtr_model_read(const struct dtr_model *model, struct dtr_tensor_id id, uint32_t row,
                    uint32_t rows, uint32_t column, uint32_t columns, float *out, size_t stride) {
    if (model->weights->supply.fetch) {
        const uint32_t index = (uint32_t)dtr_tensor_index(model, id);
        const struct dtr_piece piece = {index, row, rows, column, columns};
        if (rows && columns)
            dtr_supply_read(model, &piece, out, stride);
        return;
    }
    if (!model->weights->slot) {
        read_random(model, id, row, rows, column, columns, out, stride);
        return;
    }
    const struct dtr_stored_tensor *tensor = model->weights->slot[dtr_tensor_index(model, id)];
    const uint64_t all_columns = tensor->shape[tensor->rank - 1];
    if (columns == all_columns && stride == columns) {
        dtr_stored_floats(tensor, row * all_columns, (size_t)rows * columns, out);
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        dtr_stored_floats(tensor, (row + (uint64_t)i) * all_columns + column, columns,
                          out + i * stride);
}

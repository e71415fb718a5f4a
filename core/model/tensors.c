/* SPDX-License-Identifier: MIT */
#include "model/tensors.h"

bool dtr_model_layer_is_original(const struct dtr_model *model, uint32_t layer) {
    return (layer + 1) % model->shape.group_layers == 0;
}

static bool is_of_layer(enum dtr_tensor_kind kind) {
    return kind >= DTR_TENSOR_QUERY_WEIGHT && kind <= DTR_TENSOR_OUTPUT_NORM_BIAS;
}

static int32_t first_division(const struct dtr_model *model, uint32_t layer) {
    return dtr_model_layer_is_original(model, layer) ? -1 : 0;
}

/* From the last tensor of a layer or sub-block to the first of the next one. */
static void next_block(const struct dtr_model *model, struct dtr_tensor_id *id) {
    id->kind = DTR_TENSOR_QUERY_WEIGHT;
    if (id->division >= 0 && (uint32_t)id->division + 1 < model->shape.divisions) {
        id->division++;
        return;
    }
    id->layer++;
    id->division = first_division(model, id->layer);
    if (id->layer == model->shape.layers)
        *id = (struct dtr_tensor_id){.kind = DTR_TENSOR_POOLER_WEIGHT};
}

bool dtr_tensor_next(const struct dtr_model *model, struct dtr_tensor_id *id) {
    if (id->kind + 1 == DTR_TENSOR_KINDS)
        return false;
    if (id->kind == DTR_TENSOR_OUTPUT_NORM_BIAS) {
        next_block(model, id);
        return true;
    }
    id->kind++;
    if (id->kind == DTR_TENSOR_QUERY_WEIGHT)
        id->division = first_division(model, 0);
    return true;
}

/* How many layers and sub-blocks come before this layer. */
static size_t blocks_before(const struct dtr_model *model, uint32_t layer) {
    size_t original = layer / model->shape.group_layers;
    return original + (layer - original) * model->shape.divisions;
}

size_t dtr_tensor_index(const struct dtr_model *model, struct dtr_tensor_id id) {
    if (id.kind < DTR_TENSOR_QUERY_WEIGHT)
        return id.kind;
    size_t blocks = is_of_layer(id.kind) ? blocks_before(model, id.layer)
                                         : blocks_before(model, model->shape.layers);
    size_t before = DTR_TENSOR_QUERY_WEIGHT + blocks * DTR_LAYER_KINDS;
    if (!is_of_layer(id.kind))
        return before + (id.kind - DTR_TENSOR_POOLER_WEIGHT);
    size_t division = id.division > 0 ? (size_t)id.division : 0;
    return before + division * DTR_LAYER_KINDS + (id.kind - DTR_TENSOR_QUERY_WEIGHT);
}

struct extent {
    uint32_t rows, columns; /* rows 0: a vector */
};

/* `width`: of the hidden state that the layer or sub-block sees; `inner`: of Q, K and V. */
static struct extent layer_extent(enum dtr_tensor_kind kind, uint32_t width, uint32_t inner,
                                  uint32_t intermediate) {
    switch (kind) {
    case DTR_TENSOR_QUERY_WEIGHT:
    case DTR_TENSOR_KEY_WEIGHT:
    case DTR_TENSOR_VALUE_WEIGHT:
        return (struct extent){inner, width};
    case DTR_TENSOR_QUERY_BIAS:
    case DTR_TENSOR_KEY_BIAS:
    case DTR_TENSOR_VALUE_BIAS:
        return (struct extent){0, inner};
    case DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT:
        return (struct extent){width, inner};
    case DTR_TENSOR_INTERMEDIATE_WEIGHT:
        return (struct extent){intermediate, width};
    case DTR_TENSOR_INTERMEDIATE_BIAS:
        return (struct extent){0, intermediate};
    case DTR_TENSOR_OUTPUT_WEIGHT:
        return (struct extent){width, intermediate};
    default: /* the output biases and both LayerNorms */
        return (struct extent){0, width};
    }
}

static struct extent other_extent(const struct dtr_model *model, enum dtr_tensor_kind kind) {
    const uint32_t hidden = model->shape.hidden;
    switch (kind) {
    case DTR_TENSOR_WORD_EMBEDDINGS:
    case DTR_TENSOR_PREDICTION_DECODER_WEIGHT:
        return (struct extent){model->vocabulary, hidden};
    case DTR_TENSOR_POSITION_EMBEDDINGS:
        return (struct extent){model->positions, hidden};
    case DTR_TENSOR_TYPE_EMBEDDINGS:
        return (struct extent){model->types, hidden};
    case DTR_TENSOR_POOLER_WEIGHT:
    case DTR_TENSOR_PREDICTION_DENSE_WEIGHT:
        return (struct extent){hidden, hidden};
    case DTR_TENSOR_CLASSIFIER_WEIGHT:
        return (struct extent){model->labels, hidden};
    case DTR_TENSOR_CLASSIFIER_BIAS:
        return (struct extent){0, model->labels};
    case DTR_TENSOR_PREDICTION_DECODER_BIAS:
        return (struct extent){0, model->vocabulary};
    case DTR_TENSOR_ANSWER_WEIGHT:
        return (struct extent){2, hidden};
    case DTR_TENSOR_ANSWER_BIAS:
        return (struct extent){0, 2};
    default:
        return (struct extent){0, hidden};
    }
}

static bool has_place(const struct dtr_model *model, struct dtr_tensor_id id) {
    if ((uint32_t)id.kind >= DTR_TENSOR_KINDS)
        return false;
    if (!is_of_layer(id.kind))
        return true;
    if (id.layer >= model->shape.layers)
        return false;
    if (dtr_model_layer_is_original(model, id.layer))
        return id.division == -1;
    return id.division >= 0 && (uint32_t)id.division < model->shape.divisions;
}

bool dtr_tensor_extent(const struct dtr_model *model, struct dtr_tensor_id id, uint32_t *rows_p,
                       uint32_t *columns_p, bool *vector_p) {
    if (!has_place(model, id))
        return false;
    const struct dtr_model_shape *shape = &model->shape;
    struct extent extent;
    if (!is_of_layer(id.kind))
        extent = other_extent(model, id.kind);
    else if (id.division < 0)
        extent = layer_extent(id.kind, shape->hidden, shape->hidden, shape->intermediate);
    else
        extent = layer_extent(id.kind, shape->hidden / shape->divisions, shape->sub_attention,
                              shape->sub_intermediate);
    *rows_p = extent.rows ? extent.rows : 1;
    *columns_p = extent.columns;
    if (vector_p)
        *vector_p = !extent.rows;
    return true;
}

uint64_t dtr_tensor_layer_numbers(const struct dtr_model *model, bool original) {
    const struct dtr_model_shape *shape = &model->shape;
    uint32_t width = original ? shape->hidden : shape->hidden / shape->divisions;
    uint64_t numbers = 0;
    for (int kind = DTR_TENSOR_QUERY_WEIGHT; kind <= DTR_TENSOR_OUTPUT_NORM_BIAS; kind++) {
        struct extent extent = layer_extent(
            (enum dtr_tensor_kind)kind, width, original ? shape->hidden : shape->sub_attention,
            original ? shape->intermediate : shape->sub_intermediate);
        numbers += (uint64_t)(extent.rows ? extent.rows : 1) * extent.columns;
    }
    return numbers;
}

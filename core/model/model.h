/* SPDX-License-Identifier: MIT
 *
 * model.h -- a Transformer's structure (Hugging Face's config.json with our keys) and its weights,
 * which lie in mapped safetensors files or come out of a counter-based generator.  Any rectangle of
 * any tensor can be read alone, as float, without touching the rest.
 */
#ifndef DTR_MODEL_MODEL_H
#define DTR_MODEL_MODEL_H

#include <detransformer/kernel.h>
#include <detransformer/planner.h>
#include <stdbool.h>

#include "base/error.h"

enum dtr_tensor_kind {
    DTR_TENSOR_WORD_EMBEDDINGS,     /* [vocabulary, hidden] */
    DTR_TENSOR_POSITION_EMBEDDINGS, /* [positions, hidden] */
    DTR_TENSOR_TYPE_EMBEDDINGS,     /* [types, hidden] */
    DTR_TENSOR_EMBEDDINGS_NORM_WEIGHT,
    DTR_TENSOR_EMBEDDINGS_NORM_BIAS,
    /* of a layer, or of one sub-block of a decoupled layer */
    DTR_TENSOR_QUERY_WEIGHT,
    DTR_TENSOR_QUERY_BIAS,
    DTR_TENSOR_KEY_WEIGHT,
    DTR_TENSOR_KEY_BIAS,
    DTR_TENSOR_VALUE_WEIGHT,
    DTR_TENSOR_VALUE_BIAS,
    DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT,
    DTR_TENSOR_ATTENTION_OUTPUT_BIAS,
    DTR_TENSOR_ATTENTION_NORM_WEIGHT,
    DTR_TENSOR_ATTENTION_NORM_BIAS,
    DTR_TENSOR_INTERMEDIATE_WEIGHT,
    DTR_TENSOR_INTERMEDIATE_BIAS,
    DTR_TENSOR_OUTPUT_WEIGHT,
    DTR_TENSOR_OUTPUT_BIAS,
    DTR_TENSOR_OUTPUT_NORM_WEIGHT,
    DTR_TENSOR_OUTPUT_NORM_BIAS,
    /* heads */
    DTR_TENSOR_POOLER_WEIGHT, /* [hidden, hidden] */
    DTR_TENSOR_POOLER_BIAS,
    DTR_TENSOR_CLASSIFIER_WEIGHT, /* [labels, hidden] */
    DTR_TENSOR_CLASSIFIER_BIAS,
    DTR_TENSOR_PREDICTION_DENSE_WEIGHT, /* masked language model: cls.predictions.transform */
    DTR_TENSOR_PREDICTION_DENSE_BIAS,
    DTR_TENSOR_PREDICTION_NORM_WEIGHT,
    DTR_TENSOR_PREDICTION_NORM_BIAS,
    DTR_TENSOR_PREDICTION_DECODER_WEIGHT, /* [vocabulary, hidden]; tied to the word embeddings
                                             when the file has none */
    DTR_TENSOR_PREDICTION_DECODER_BIAS,   /* [vocabulary] */
    DTR_TENSOR_ANSWER_WEIGHT,             /* qa_outputs [2, hidden] */
    DTR_TENSOR_ANSWER_BIAS,
    DTR_TENSOR_KINDS
};

/* `layer` and `division` count where the kind belongs to a layer; division -1: an original
 * layer. */
struct dtr_tensor_id {
    enum dtr_tensor_kind kind;
    uint32_t layer;
    int32_t division;
};

struct dtr_supply; /* model/supply.h */

struct dtr_model_source {
    const char *config;  /* path of config.json */
    const char *config_text; /* what it holds, where the file itself is elsewhere; or NULL */
    const char *weights; /* path of a .safetensors, or of its index .json; NULL: random */
    const struct dtr_supply *supply; /* without a path: they come from elsewhere; or NULL */
    uint64_t seed;                   /* of random weights */
    int32_t task;        /* enum dtr_task: the head that must be there (config/experiment.h) */
    bool needs_embeddings; /* the input is tokens, not hidden states */
    /* Only with random weights; what is not given is 0, and -1 for attention (0 full, 1 split). */
    int64_t division, num_blocks, intermediate_size;
    int32_t attention;
};

struct dtr_model_weights; /* model/weights.c */

struct dtr_model {
    struct dtr_model_shape shape;
    uint32_t head_size; /* hidden / heads */
    uint32_t vocabulary, positions, types, labels;
    uint32_t activation; /* enum dtr_activation, of the feed-forward */
    float norm_epsilon;
    bool has_pooler;
    bool split_width;       /* sub-blocks have h/D-wide Q, K and V */
    const char **label;     /* [labels] from id2label, or "LABEL_0" */
    uint8_t digest[32];     /* of the structure, and of samples of each tensor: digest.c */
    uint64_t parameters;    /* how many numbers the weights hold */
    struct dtr_model_weights *weights;
};

/* Opens and checks all of it: every tensor that the structure and the task need is there, has the
 * right shape and a known type, lies inside its file and overlaps no other.  The error names file
 * and tensor.  DTR_E_CONFIG. */
int dtr_model_open(const struct dtr_model_source *source, struct dtr_model **model_p,
                   struct dtr_error *error);
void dtr_model_close(struct dtr_model *model);

/* True for an original layer. */
bool dtr_model_layer_is_original(const struct dtr_model *model, uint32_t layer);

/* The tensor's extent: a vector of n is [1, n].  False when the model has no such tensor. */
bool dtr_model_tensor_shape(const struct dtr_model *model, struct dtr_tensor_id id,
                            uint32_t *rows_p, uint32_t *columns_p);

/* True when everything is there that the task (enum dtr_task) needs on top of the layers. */
bool dtr_model_has_task(const struct dtr_model *model, int32_t task);

/* Writes rows [row, row + rows) and columns [column, column + columns) to `out`, row stride in
 * floats.  The tensor must exist.  Thread-safe. */
void dtr_model_read(const struct dtr_model *model, struct dtr_tensor_id id, uint32_t row,
                    uint32_t rows, uint32_t column, uint32_t columns, float *out, size_t stride);

#endif

/* SPDX-License-Identifier: MIT */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

static bool starts_with(const char *text, const char *start) {
    return !strncmp(text, start, strlen(start));
}

void dtr_names_detect(struct dtr_names *names_p, const struct dtr_checkpoint *checkpoint) {
    struct dtr_names names = {.prefix = "",
                              .list = "layer",
                              .intermediate = "dense",
                              .pooler = "dense",
                              .transform = "dense",
                              .decoder_bias = "cls.predictions.bias"};
    bool decoder_bias = false;
    for (size_t i = 0; i < checkpoint->count; i++) {
        const char *name = checkpoint->entry[i].tensor->name;
        if (starts_with(name, "bert."))
            names.prefix = "bert.";
        if (strstr(name, "encoder.layers."))
            names.list = "layers";
        if (strstr(name, ".intermediate.dense_act."))
            names.intermediate = "dense_act";
        if (strstr(name, "pooler.dense_act."))
            names.pooler = "dense_act";
        if (strstr(name, "transform.dense_act."))
            names.transform = "dense_act";
        if (strstr(name, ".LayerNorm.") && strstr(name, ".gamma"))
            names.gamma = true;
        if (!strcmp(name, "cls.predictions.bias"))
            decoder_bias = true;
        if (!strcmp(name, "cls.predictions.decoder.bias") && !decoder_bias)
            names.decoder_bias = "cls.predictions.decoder.bias";
    }
    if (decoder_bias)
        names.decoder_bias = "cls.predictions.bias";
    *names_p = names;
}

/* "attention.self.query" of a layer's kind; every module has a weight and a bias, in this order. */
static const char *layer_module(enum dtr_tensor_kind kind) {
    static const char *const modules[] = {"attention.self.query",
                                          "attention.self.key",
                                          "attention.self.value",
                                          "attention.output.dense",
                                          "attention.output.LayerNorm",
                                          "intermediate.",
                                          "output.dense",
                                          "output.LayerNorm"};
    return modules[(kind - DTR_TENSOR_QUERY_WEIGHT) / 2];
}

static const char *parameter(const struct dtr_names *names, bool norm, bool bias) {
    if (norm && names->gamma)
        return bias ? "beta" : "gamma";
    return bias ? "bias" : "weight";
}

static void format_layer(const struct dtr_names *names, struct dtr_tensor_id id, char *out) {
    bool bias = (id.kind - DTR_TENSOR_QUERY_WEIGHT) % 2;
    bool inner =
        id.kind == DTR_TENSOR_INTERMEDIATE_WEIGHT || id.kind == DTR_TENSOR_INTERMEDIATE_BIAS;
    const char *module = layer_module(id.kind);
    char division[16] = "";
    if (id.division >= 0)
        snprintf(division, sizeof division, ".%d", id.division);
    snprintf(out, DTR_TENSOR_NAME_MAX, "%sencoder.%s.%u.%s%s%s.%s", names->prefix, names->list,
             id.layer, module, inner ? names->intermediate : "", division,
             parameter(names, strstr(module, "LayerNorm"), bias));
}

static void format_head(const struct dtr_names *names, enum dtr_tensor_kind kind, char *out) {
    const bool bias = (kind - DTR_TENSOR_POOLER_WEIGHT) % 2;
    const char *module = "", *last = "";
    switch (kind) {
    case DTR_TENSOR_POOLER_WEIGHT:
    case DTR_TENSOR_POOLER_BIAS:
        snprintf(out, DTR_TENSOR_NAME_MAX, "%spooler.%s.%s", names->prefix, names->pooler,
                 bias ? "bias" : "weight");
        return;
    case DTR_TENSOR_PREDICTION_DECODER_BIAS:
        snprintf(out, DTR_TENSOR_NAME_MAX, "%s", names->decoder_bias);
        return;
    case DTR_TENSOR_CLASSIFIER_WEIGHT:
    case DTR_TENSOR_CLASSIFIER_BIAS:
        module = "classifier";
        break;
    case DTR_TENSOR_PREDICTION_DENSE_WEIGHT:
    case DTR_TENSOR_PREDICTION_DENSE_BIAS:
        module = "cls.predictions.transform.";
        last = names->transform;
        break;
    case DTR_TENSOR_PREDICTION_NORM_WEIGHT:
    case DTR_TENSOR_PREDICTION_NORM_BIAS:
        module = "cls.predictions.transform.LayerNorm";
        break;
    case DTR_TENSOR_PREDICTION_DECODER_WEIGHT:
        module = "cls.predictions.decoder";
        break;
    default:
        module = "qa_outputs";
    }
    snprintf(out, DTR_TENSOR_NAME_MAX, "%s%s.%s", module, last,
             parameter(names, strstr(module, "LayerNorm"), bias));
}

const char *dtr_names_format(const struct dtr_names *names, struct dtr_tensor_id id, char *out) {
    static const char *const tables[] = {"word_embeddings", "position_embeddings",
                                         "token_type_embeddings"};
    if (id.kind <= DTR_TENSOR_TYPE_EMBEDDINGS)
        snprintf(out, DTR_TENSOR_NAME_MAX, "%sembeddings.%s.weight", names->prefix,
                 tables[id.kind]);
    else if (id.kind < DTR_TENSOR_QUERY_WEIGHT)
        snprintf(out, DTR_TENSOR_NAME_MAX, "%sembeddings.LayerNorm.%s", names->prefix,
                 parameter(names, true, id.kind == DTR_TENSOR_EMBEDDINGS_NORM_BIAS));
    else if (id.kind < DTR_TENSOR_POOLER_WEIGHT)
        format_layer(names, id, out);
    else
        format_head(names, id.kind, out);
    return out;
}

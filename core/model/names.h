/* SPDX-License-Identifier: MIT
 *
 * names.h -- what checkpoints call a tensor: Hugging Face's names, those of the training code of
 * Wei et al. (DATE 2024), and the old names of LayerNorm's parameters.  A checkpoint is written in
 * one style throughout, which is found out once.
 */
#ifndef DTR_MODEL_NAMES_H
#define DTR_MODEL_NAMES_H

#include "model/checkpoint.h"
#include "model/model.h"

struct dtr_names {
    const char *prefix;       /* "bert." or "" */
    const char *list;         /* "layer" or "layers" */
    const char *intermediate; /* "dense" or "dense_act" */
    const char *pooler;       /* the same */
    const char *transform;    /* the same, of the masked language model's head */
    const char *decoder_bias; /* "cls.predictions.bias" or "cls.predictions.decoder.bias" */
    bool gamma;               /* LayerNorm.gamma and .beta, for .weight and .bias */
};

#define DTR_TENSOR_NAME_MAX 128

void dtr_names_detect(struct dtr_names *names_p, const struct dtr_checkpoint *checkpoint);

/* The name in that style; returns `out`, which holds DTR_TENSOR_NAME_MAX bytes. */
const char *dtr_names_format(const struct dtr_names *names, struct dtr_tensor_id id, char *out);

#endif

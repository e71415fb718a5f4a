/* SPDX-License-Identifier: MIT
 *
 * weights.h -- where a model's numbers come from: each tensor of the structure is bound once to its
 * bytes in a checkpoint, or made by the generator when it is read.
 */
#ifndef DTR_MODEL_WEIGHTS_H
#define DTR_MODEL_WEIGHTS_H

#include "model/checkpoint.h"
#include "model/model.h"
#include "model/names.h"
#include "model/supply.h"

struct dtr_model_weights {
    struct dtr_checkpoint *checkpoint;     /* NULL: random, or supplied */
    const struct dtr_stored_tensor **slot; /* by dtr_tensor_index(); NULL where there is none */
    struct dtr_names names;
    uint64_t seed;
    struct dtr_supply supply; /* no fetch(): none; its types are `types` */
    uint8_t *types;           /* [supply.count] */
    uint8_t **kept;           /* [supply.count] tensors that are kept in memory, or NULL */
    uint32_t kept_columns;
    struct dtr_error failure; /* the supply's first */
};

/* Opens the checkpoint at the source's path, or prepares supplied or random weights.
 * DTR_E_CONFIG. */
int dtr_weights_open(const struct dtr_model_source *source, struct dtr_model_weights **weights_p,
                     struct dtr_error *error);
void dtr_weights_close(struct dtr_model_weights *weights);

/* How many rows the checkpoint's matrix has, or 0 where it has no such matrix. */
uint32_t dtr_weights_rows(const struct dtr_model_weights *weights, struct dtr_tensor_id id);

/* Finds each tensor of the (complete) structure in the checkpoint and checks its type and shape;
 * what the source asks for must be there.  Counts `model->parameters`.  DTR_E_CONFIG. */
int dtr_weights_bind(struct dtr_model *model, const struct dtr_model_source *source,
                     struct dtr_error *error);

/* Reads a piece of supplied weights as floats; a failure is kept. */
void dtr_supply_read(const struct dtr_model *model, const struct dtr_piece *piece, float *out,
                     size_t stride);

/* Fills `model->digest` in: a hash of the structure, and of the seed or of every tensor's type and
 * a sample of its bytes (all of a small tensor).  It does not depend on how the tensors are named,
 * ordered or spread over files. */
int dtr_weights_digest(struct dtr_model *model, struct dtr_error *error);

#endif

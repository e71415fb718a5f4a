/* SPDX-License-Identifier: MIT
 *
 * supply.h -- weights that are not in a file of this machine: whoever has the file hands out
 * rectangles of its tensors, as they are stored, and whoever needs them asks for no others.
 */
#ifndef DTR_MODEL_SUPPLY_H
#define DTR_MODEL_SUPPLY_H

#include "model/model.h"

/* A rectangle of the tensor with that number (model/tensors.h). */
struct dtr_piece {
    uint32_t tensor, row, rows, column, columns;
};

/* The most bytes of one piece. */
#define DTR_PIECE_BYTES_MAX ((size_t)1 << 20)

/* What has to be known of a model whose weights are elsewhere, besides its config.json. */
struct dtr_supply {
    uint8_t digest[32];
    uint32_t labels, sub_intermediate; /* 0: as config.json says */
    int32_t attention;                 /* -1: as config.json says */
    const uint8_t *types; /* [count] enum dtr_stored_type, DTR_STORED_TYPES: not there */
    uint32_t count;
    /* Writes the stored bytes of a rectangle of any size, its rows one after the other. */
    int (*fetch)(void *arg, const struct dtr_piece *piece, size_t row_bytes, uint8_t *out,
                 struct dtr_error *error);
    void *arg;
};

/* What to say of a model whose weights are in files here.  `types` is allocated, and the caller's
 * to free; there are none of random weights.  DTR_E_MEMORY. */
int dtr_supply_describe(const struct dtr_model *model, struct dtr_supply *supply, uint8_t **types_p,
                        struct dtr_error *error);

/* The stored bytes of a piece of such a model; *length_p is at most DTR_PIECE_BYTES_MAX, which
 * `out` has room for.  False: there is no such piece. */
bool dtr_supply_copy(const struct dtr_model *model, const struct dtr_piece *piece, uint8_t *out,
                     size_t *length_p);

/* Keeps a supplied tensor in memory, because it will be read row by row; nothing where the weights
 * are here.  The tensor must exist. */
int dtr_model_keep(const struct dtr_model *model, struct dtr_tensor_id id, struct dtr_error *error);

/* The first failure of dtr_model_read() of supplied weights, or DTR_OK.  What was read since is
 * zeros. */
int dtr_model_supplied(const struct dtr_model *model, struct dtr_error *error);

#endif

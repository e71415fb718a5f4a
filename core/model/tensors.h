/* SPDX-License-Identifier: MIT
 *
 * tensors.h -- which tensors a structure has, in one fixed order, and how large each is.  It knows
 * nothing about files.
 */
#ifndef DTR_MODEL_TENSORS_H
#define DTR_MODEL_TENSORS_H

#include "model/model.h"

#define DTR_LAYER_KINDS (DTR_TENSOR_OUTPUT_NORM_BIAS - DTR_TENSOR_QUERY_WEIGHT + 1)
#define DTR_HEAD_KINDS (DTR_TENSOR_KINDS - DTR_TENSOR_POOLER_WEIGHT)

/* Steps through every tensor that the structure has a place for; begin with `{0}`, which is the
 * first.  False when `id` was the last. */
bool dtr_tensor_next(const struct dtr_model *model, struct dtr_tensor_id *id);

/* The tensor's number in that order.  The id must be one that the structure has a place for. */
size_t dtr_tensor_index(const struct dtr_model *model, struct dtr_tensor_id id);

/* The tensor's extent, or false when the structure has no such tensor.  `vector_p` (may be NULL)
 * tells a vector of n from a matrix of [1, n]. */
bool dtr_tensor_extent(const struct dtr_model *model, struct dtr_tensor_id id, uint32_t *rows_p,
                       uint32_t *columns_p, bool *vector_p);

/* How many numbers an original layer, or one sub-block, holds. */
uint64_t dtr_tensor_layer_numbers(const struct dtr_model *model, bool original);

#endif

/* SPDX-License-Identifier: MIT */
#include "model/supply.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "model/tensors.h"
#include "model/weights.h"

/* --- handing out ------------------------------------------------------------------------------ */

int dtr_supply_describe(const struct dtr_model *model, struct dtr_supply *supply, uint8_t **types_p,
                        struct dtr_error *error) {
    const struct dtr_tensor_id last = {.kind = DTR_TENSOR_KINDS - 1};
    const struct dtr_model_weights *weights = model->weights;
    const size_t count = weights->slot ? dtr_tensor_index(model, last) + 1 : 0;
    uint8_t *types = malloc(count + 1);
    if (!types)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < count; i++)
        types[i] = weights->slot[i] ? (uint8_t)weights->slot[i]->type : DTR_STORED_TYPES;
    *supply = (struct dtr_supply){
        .labels = model->labels,
        .sub_intermediate = model->shape.divisions ? model->shape.sub_intermediate : 0,
        .attention = model->shape.divisions ? model->split_width : -1,
        .types = types,
        .count = (uint32_t)count,
    };
    memcpy(supply->digest, model->digest, sizeof supply->digest);
    *types_p = types;
    return DTR_OK;
}

bool dtr_supply_copy(const struct dtr_model *model, const struct dtr_piece *piece, uint8_t *out,
                     size_t *length_p) {
    const struct dtr_tensor_id last = {.kind = DTR_TENSOR_KINDS - 1};
    const struct dtr_model_weights *weights = model->weights;
    if (!weights->slot || piece->tensor > dtr_tensor_index(model, last) ||
        !weights->slot[piece->tensor])
        return false;
    const struct dtr_stored_tensor *tensor = weights->slot[piece->tensor];
    const uint64_t rows = tensor->rank > 1 ? tensor->shape[0] : 1;
    const uint64_t columns = tensor->shape[tensor->rank - 1];
    const size_t each = dtr_stored_type_bytes(tensor->type), row_bytes = piece->columns * each;
    if (!piece->rows || !piece->columns || (uint64_t)piece->row + piece->rows > rows ||
        (uint64_t)piece->column + piece->columns > columns ||
        piece->rows > DTR_PIECE_BYTES_MAX / row_bytes)
        return false;
    for (uint32_t i = 0; i < piece->rows; i++)
        memcpy(out + i * row_bytes,
               tensor->data + ((piece->row + (uint64_t)i) * columns + piece->column) * each,
               row_bytes);
    *length_p = piece->rows * row_bytes;
    return true;
}

/* --- using ------------------------------------------------------------------------------------ */

static void fail_read(struct dtr_model_weights *weights, const struct dtr_error *cause) {
    if (!weights->failure.status)
        weights->failure = *cause;
}

int dtr_model_supplied(const struct dtr_model *model, struct dtr_error *error) {
    const struct dtr_error *failure = &model->weights->failure;
    return failure->status ? dtr_fail(error, failure->status, "%s", failure->text) : DTR_OK;
}

static void to_floats(enum dtr_stored_type type, const uint8_t *bytes, size_t count, float *out) {
    const struct dtr_stored_tensor tensor = {.type = type, .data = bytes};
    dtr_stored_floats(&tensor, 0, count, out);
}

/* In groups of rows, which need no more memory than one piece on top of `out`. */
static int read_rows(const struct dtr_supply *supply, const struct dtr_piece *piece, float *out,
                     size_t stride, struct dtr_error *error) {
    const enum dtr_stored_type type = supply->types[piece->tensor];
    const size_t row_bytes = piece->columns * dtr_stored_type_bytes(type);
    uint8_t *bytes = malloc(piece->rows * row_bytes);
    if (!bytes)
        return dtr_fail_memory(error);
    const int status = supply->fetch(supply->arg, piece, row_bytes, bytes, error);
    for (uint32_t i = 0; !status && i < piece->rows; i++)
        to_floats(type, bytes + i * row_bytes, piece->columns, out + i * stride);
    free(bytes);
    return status;
}

void dtr_supply_read(const struct dtr_model *model, const struct dtr_piece *piece, float *out,
                     size_t stride) {
    struct dtr_model_weights *weights = model->weights;
    const enum dtr_stored_type type = weights->supply.types[piece->tensor];
    const uint8_t *kept = weights->kept ? weights->kept[piece->tensor] : NULL;
    struct dtr_error cause = {0};
    if (kept) {
        const size_t each = dtr_stored_type_bytes(type);
        const size_t all = weights->kept_columns;
        for (uint32_t i = 0; i < piece->rows; i++)
            to_floats(type, kept + ((piece->row + (size_t)i) * all + piece->column) * each,
                      piece->columns, out + i * stride);
        return;
    }
    /* Rows of several tensors' worth would need their bytes twice: as stored, and as floats. */
    const size_t row_bytes = piece->columns * dtr_stored_type_bytes(type);
    const uint32_t most = (uint32_t)(8 * DTR_PIECE_BYTES_MAX / row_bytes) + 1;
    for (uint32_t at = 0; at < piece->rows; at += most) {
        struct dtr_piece part = *piece;
        part.row += at;
        part.rows = piece->rows - at < most ? piece->rows - at : most;
        if (!cause.status)
            read_rows(&weights->supply, &part, out + at * stride, stride, &cause);
    }
    if (cause.status) {
        fail_read(weights, &cause);
        for (uint32_t i = 0; i < piece->rows; i++)
            memset(out + i * stride, 0, piece->columns * sizeof *out);
    }
}

int dtr_model_keep(const struct dtr_model *model, struct dtr_tensor_id id,
                   struct dtr_error *error) {
    struct dtr_model_weights *weights = model->weights;
    const uint32_t index = (uint32_t)dtr_tensor_index(model, id);
    uint32_t rows, columns;
    if (!weights->supply.fetch || weights->kept[index] ||
        !dtr_tensor_extent(model, id, &rows, &columns, NULL))
        return DTR_OK;
    const size_t row_bytes = columns * dtr_stored_type_bytes(weights->supply.types[index]);
    const struct dtr_piece piece = {index, 0, rows, 0, columns};
    uint8_t *bytes = malloc(rows * row_bytes);
    if (!bytes)
        return dtr_fail_memory(error);
    const int status = weights->supply.fetch(weights->supply.arg, &piece, row_bytes, bytes, error);
    if (status) {
        free(bytes);
        return status;
    }
    weights->kept[index] = bytes;
    weights->kept_columns = columns; /* of embeddings: all have the model's width */
    return DTR_OK;
}

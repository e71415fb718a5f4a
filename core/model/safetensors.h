/* SPDX-License-Identifier: MIT
 *
 * safetensors.h -- one safetensors file, mapped and checked: an eight-byte length, a JSON header
 * that names each tensor, then the tensors' bytes without holes or overlap, little-endian
 * (https://github.com/huggingface/safetensors, "Format").  And a writer of such files.
 */
#ifndef DTR_MODEL_SAFETENSORS_H
#define DTR_MODEL_SAFETENSORS_H

#include "base/error.h"
#include "base/map.h"

enum dtr_stored_type {
    DTR_STORED_BOOL,
    DTR_STORED_U8,
    DTR_STORED_I8,
    DTR_STORED_F8_E4M3,
    DTR_STORED_F8_E5M2,
    DTR_STORED_I16,
    DTR_STORED_U16,
    DTR_STORED_F16,
    DTR_STORED_BF16,
    DTR_STORED_I32,
    DTR_STORED_U32,
    DTR_STORED_F32,
    DTR_STORED_F64,
    DTR_STORED_I64,
    DTR_STORED_U64,
    DTR_STORED_TYPES
};

#define DTR_STORED_RANK_MAX 8u

struct dtr_stored_tensor {
    const char *name;
    enum dtr_stored_type type;
    uint32_t rank; /* 0: a single number */
    uint64_t shape[DTR_STORED_RANK_MAX];
    const uint8_t *data; /* of any alignment */
    uint64_t bytes;
};

struct dtr_safetensors {
    struct dtr_map map;
    char *path;
    struct dtr_stored_tensor *tensor; /* [count], sorted by name */
    size_t count;
};

/* "F32"; the format's own name for a type. */
const char *dtr_stored_type_name(enum dtr_stored_type type);
size_t dtr_stored_type_bytes(enum dtr_stored_type type);

/* "[2, 128]", cut to fit; returns `out`. */
const char *dtr_stored_shape_text(const struct dtr_stored_tensor *tensor, char *out, size_t size);

/* Maps the file and checks all of its header.  The sentence of an error begins with the path and
 * names the tensor.  DTR_E_CONFIG. */
int dtr_safetensors_open(const char *path, struct dtr_safetensors **file_p,
                         struct dtr_error *error);
void dtr_safetensors_close(struct dtr_safetensors *file);

/* NULL where the file has no such tensor. */
const struct dtr_stored_tensor *dtr_safetensors_find(const struct dtr_safetensors *file,
                                                     const char *name);

/* Writes `count` numbers of an F32, F16 or BF16 tensor, from number `first` on, to `out`. */
void dtr_stored_floats(const struct dtr_stored_tensor *tensor, uint64_t first, size_t count,
                       float *out);

/* Writes a file with these tensors (`data` and `bytes` must agree with type and shape; names are
 * plain, without quotes or backslashes).  A file that is there is replaced at once, when the new
 * one is complete.  DTR_E_SYSTEM. */
int dtr_safetensors_write(const char *path, const struct dtr_stored_tensor *tensor, size_t count,
                          struct dtr_error *error);

#endif

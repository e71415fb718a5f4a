/* SPDX-License-Identifier: MIT
 *
 * checkpoint.h -- all tensors of a checkpoint, whether it is one safetensors file or several with
 * an index (Hugging Face's sharded form).
 */
#ifndef DTR_MODEL_CHECKPOINT_H
#define DTR_MODEL_CHECKPOINT_H

#include "model/safetensors.h"

struct dtr_checkpoint_entry {
    const struct dtr_stored_tensor *tensor;
    const struct dtr_safetensors *file;
};

struct dtr_checkpoint {
    struct dtr_safetensors **file; /* [files], sorted by path */
    size_t files;
    struct dtr_checkpoint_entry *entry; /* [count], sorted by name */
    size_t count;
};

/* A path that ends in ".json" is an index.  DTR_E_CONFIG. */
int dtr_checkpoint_open(const char *path, struct dtr_checkpoint **checkpoint_p,
                        struct dtr_error *error);
void dtr_checkpoint_close(struct dtr_checkpoint *checkpoint);

/* NULL where there is no such tensor. */
const struct dtr_checkpoint_entry *dtr_checkpoint_find(const struct dtr_checkpoint *checkpoint,
                                                       const char *name);

#endif

/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "model/tensors.h"
#include "model/weights.h"

/* A tensor of at most WHOLE bytes is hashed whole; of a larger one, PIECES pieces spread over it.
 * Training changes every tensor throughout, so that this tells checkpoints apart without reading
 * them: the files may be far larger than a device's memory.  A file of which single rows were
 * edited by hand has the digest that it had before. */
enum { WHOLE = 8192, PIECES = 4, PIECE = 256 };

static void hash_structure(crypto_generichash_state *hash, const struct dtr_model *model) {
    const struct dtr_model_shape *shape = &model->shape;
    char text[400];
    int length = snprintf(
        text, sizeof text,
        "detransformer model 1: layers %u hidden %u heads %u intermediate %u divisions %u "
        "groups %u sub_heads %u sub_attention %u sub_intermediate %u vocabulary %u positions %u "
        "types %u labels %u activation %u epsilon %a\n",
        shape->layers, shape->hidden, shape->heads, shape->intermediate, shape->divisions,
        shape->groups, shape->sub_heads, shape->sub_attention, shape->sub_intermediate,
        model->vocabulary, model->positions, model->types, model->labels, model->activation,
        (double)model->norm_epsilon);
    crypto_generichash_update(hash, (const unsigned char *)text, (unsigned long long)length);
}

static void hash_tensor(crypto_generichash_state *hash, size_t index,
                        const struct dtr_stored_tensor *tensor) {
    char text[100];
    int length = snprintf(text, sizeof text, "tensor %zu %s %llu\n", index,
                          dtr_stored_type_name(tensor->type), (unsigned long long)tensor->bytes);
    crypto_generichash_update(hash, (const unsigned char *)text, (unsigned long long)length);
    if (tensor->bytes <= WHOLE) {
        crypto_generichash_update(hash, tensor->data, tensor->bytes);
        return;
    }
    const uint64_t distance = tensor->bytes / PIECES;
    for (uint64_t i = 0; i < PIECES; i++)
        crypto_generichash_update(hash, tensor->data + i * distance + distance / 2, PIECE);
}

/* Without it the kernel would read far more around every piece. */
static void advise(const struct dtr_checkpoint *checkpoint, int advice) {
    for (size_t i = 0; i < checkpoint->files; i++) {
        const struct dtr_map *map = &checkpoint->file[i]->map;
        posix_madvise((void *)(uintptr_t)map->data, map->size, advice);
    }
}

static void hash_tensors(crypto_generichash_state *hash, const struct dtr_model *model) {
    advise(model->weights->checkpoint, POSIX_MADV_RANDOM);
    struct dtr_tensor_id id = {.kind = 0};
    do {
        size_t index = dtr_tensor_index(model, id);
        if (model->weights->slot[index])
            hash_tensor(hash, index, model->weights->slot[index]);
    } while (dtr_tensor_next(model, &id));
    advise(model->weights->checkpoint, POSIX_MADV_NORMAL);
}

int dtr_weights_digest(struct dtr_model *model, struct dtr_error *error) {
    crypto_generichash_state hash;
    if (model->weights->supply.fetch) {
        /* Whoever has the file took it. */
        memcpy(model->digest, model->weights->supply.digest, sizeof model->digest);
        return DTR_OK;
    }
    if (sodium_init() < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be initialised");
    crypto_generichash_init(&hash, NULL, 0, sizeof model->digest);
    hash_structure(&hash, model);
    if (model->weights->slot) {
        hash_tensors(&hash, model);
    } else {
        char text[50];
        int length = snprintf(text, sizeof text, "random 1: seed %llu\n",
                              (unsigned long long)model->weights->seed);
        crypto_generichash_update(&hash, (const unsigned char *)text, (unsigned long long)length);
    }
    crypto_generichash_final(&hash, model->digest, sizeof model->digest);
    return DTR_OK;
}

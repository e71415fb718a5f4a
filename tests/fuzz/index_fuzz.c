/* SPDX-License-Identifier: MIT
 *
 * index_fuzz.c -- the index of a sharded checkpoint, beside two sound shards.
 */
#include "fuzz.h"

#include <stdio.h>

#include "model/checkpoint.h"

/* One tensor, "a" or "b", of one number. */
static void write_shard(const char *file, char name) {
    uint8_t bytes[100] = {0};
    const int length =
        snprintf((char *)bytes + 8, sizeof bytes - 8,
                 "{\"%c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    bytes[0] = (uint8_t)length;
    fuzz_file(file, bytes, 8 + (size_t)length + 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    struct dtr_checkpoint *checkpoint;
    struct dtr_error error = {0};
    if (!ready) {
        write_shard("a.safetensors", 'a');
        write_shard("b.safetensors", 'b');
        ready = true;
    }
    const char *path = fuzz_file("index.json", data, size);
    if (!fuzz_sentence(dtr_checkpoint_open(path, &checkpoint, &error), &error))
        return 0;
    for (size_t i = 0; i < checkpoint->count; i++) {
        const char *name = checkpoint->entry[i].tensor->name;
        fuzz_need(dtr_checkpoint_find(checkpoint, name) != NULL, "a tensor is not found");
    }
    dtr_checkpoint_close(checkpoint);
    return 0;
}

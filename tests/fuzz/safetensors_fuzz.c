/* SPDX-License-Identifier: MIT
 *
 * safetensors_fuzz.c -- a safetensors file: every number that it says it holds is read, and a model
 * opened over it.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "model/safetensors.h"

static const char config[] =
    "{\"model_type\":\"bert\",\"vocab_size\":3,\"hidden_size\":2,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":1,\"intermediate_size\":2,\"max_position_embeddings\":2}";

static void read_numbers(const struct dtr_safetensors *file) {
    uint64_t sum = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct dtr_stored_tensor *tensor = &file->tensor[i];
        char text[64];
        float ends[2];
        for (uint64_t j = 0; j < tensor->bytes; j++)
            sum += tensor->data[j];
        dtr_stored_shape_text(tensor, text, sizeof text);
        fuzz_need(dtr_safetensors_find(file, tensor->name) == tensor, "a tensor is not found");
        const bool floats = tensor->type == DTR_STORED_F32 || tensor->type == DTR_STORED_F16 ||
                            tensor->type == DTR_STORED_BF16;
        const uint64_t count = tensor->bytes / dtr_stored_type_bytes(tensor->type);
        if (floats && count) {
            dtr_stored_floats(tensor, 0, 1, ends);
            dtr_stored_floats(tensor, count - 1, 1, ends + 1);
        }
    }
    fuzz_need(sum <= 255 * file->map.size * (file->count + 1), "bytes are not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct dtr_model_source source = {
        .config = fuzz_file("config.json", (const uint8_t *)config, sizeof config - 1),
        .weights = fuzz_file("model.safetensors", data, size),
        .needs_embeddings = true,
        .attention = -1,
    };
    struct dtr_safetensors *file;
    struct dtr_error error = {0};
    if (!fuzz_sentence(dtr_safetensors_open(source.weights, &file, &error), &error))
        return 0;
    read_numbers(file);
    dtr_safetensors_close(file);
    struct dtr_model *model;
    if (!fuzz_sentence(dtr_model_open(&source, &model, &error), &error))
        return 0;
    float row[2];
    dtr_model_read(model, (struct dtr_tensor_id){DTR_TENSOR_WORD_EMBEDDINGS, 0, -1}, 2, 1, 0, 2,
                   row, 2);
    dtr_model_close(model);
    return 0;
}

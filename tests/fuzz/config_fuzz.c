/* SPDX-License-Identifier: MIT
 *
 * config_fuzz.c -- config.json: read, and the structure that it describes opened with random
 * weights.
 */
#include "fuzz.h"

#include "model/config_json.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct dtr_model_source source = {
        .config = fuzz_file("config.json", data, size), .seed = 1, .attention = -1};
    struct dtr_model_config config;
    struct dtr_error error = {0};
    if (!fuzz_sentence(dtr_model_config_read(source.config, NULL, &config, &error), &error))
        return 0;
    dtr_model_config_free(&config);
    struct dtr_model *model;
    if (!fuzz_sentence(dtr_model_open(&source, &model, &error), &error))
        return 0;
    float number;
    for (uint32_t kind = 0; kind < DTR_TENSOR_KINDS; kind++) {
        const struct dtr_tensor_id id = {kind, model->shape.layers - 1, -1};
        uint32_t rows, columns;
        if (dtr_model_tensor_shape(model, id, &rows, &columns) && rows && columns)
            dtr_model_read(model, id, rows - 1, 1, columns - 1, 1, &number, 1);
    }
    dtr_model_close(model);
    return 0;
}

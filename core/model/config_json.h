/* SPDX-License-Identifier: MIT
 *
 * config_json.h -- what Hugging Face's config.json says about a BERT, and our own keys for
 * decoupled models in it.  Only what is written there: what follows from it is model.c's.
 */
#ifndef DTR_MODEL_CONFIG_JSON_H
#define DTR_MODEL_CONFIG_JSON_H

#include <stdint.h>

#include "base/error.h"

struct dtr_model_config {
    uint32_t layers, hidden, heads, intermediate;
    uint32_t vocabulary, positions, types;
    uint32_t divisions, groups; /* as written; 0: not told */
    uint32_t sub_intermediate;  /* 0: not told */
    int32_t attention;          /* of sub-blocks: 0 full, 1 split, -1 not told */
    uint32_t activation;        /* enum dtr_activation */
    float norm_epsilon;
    uint32_t labels; /* 0: not told */
    char **label;    /* [labels], or NULL */
};

/* The largest numbers that are believed; their products fit in 64 bits, and schedules number
 * layers, heads and divisions in 16. */
enum {
    DTR_LAYERS_MAX = 1 << 14,
    DTR_HEADS_MAX = 1 << 14,
    DTR_DIVISIONS_MAX = 1 << 14,
    DTR_HIDDEN_MAX = 1 << 20,
    DTR_INTERMEDIATE_MAX = 1 << 24,
    DTR_VOCABULARY_MAX = 1 << 28,
    DTR_POSITIONS_MAX = 1 << 24,
    DTR_LABELS_MAX = 1 << 16
};

/* Reads the file, or `text` in its place where that is not NULL.  The sentence of an error begins
 * with the path and names the key.  DTR_E_CONFIG. */
int dtr_model_config_read(const char *path, const char *text, struct dtr_model_config *config_p,
                          struct dtr_error *error);
void dtr_model_config_free(struct dtr_model_config *config);

#endif

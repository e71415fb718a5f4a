/* SPDX-License-Identifier: MIT
 *
 * model_test.c -- a model's structure and weights: what config.json may say, the names that
 * checkpoints use, and that a checkpoint in any of their forms gives the numbers put into it.
 */
#include "folder.h"

#include <math.h>

#include "config/experiment.h"
#include "model/model.h"
#include "model/names.h"
#include "model/random.h"
#include "model/safetensors.h"
#include "model/tensors.h"

static void write_config(struct folder *folder, const char *more) {
    char text[1000];
    int length = snprintf(text, sizeof text,
                          "{\"model_type\": \"bert\", \"vocab_size\": 20, \"hidden_size\": 16, "
                          "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, "
                          "\"intermediate_size\": 24, \"max_position_embeddings\": 8%s}",
                          more);
    folder_write(folder, "config.json", text, (size_t)length);
}

#define DECOUPLED ", \"debert_division\": 2, \"num_debert_blocks\": 2"

static int open_model(struct folder *folder, struct dtr_model_source source,
                      struct dtr_model **model_p, struct dtr_error *error) {
    char config[100], weights[400];
    snprintf(config, sizeof config, "%s/config.json", folder->path);
    source.config = config;
    if (source.weights) {
        snprintf(weights, sizeof weights, "%s/%s", folder->path, source.weights);
        source.weights = weights;
    }
    *error = (struct dtr_error){0};
    return dtr_model_open(&source, model_p, error);
}

static struct dtr_model *open_random(struct folder *folder, const char *more) {
    const struct dtr_model_source source = {.seed = 5, .attention = -1};
    struct dtr_model *model;
    struct dtr_error error;
    write_config(folder, more);
    if (open_model(folder, source, &model, &error))
        fail_msg("%s", error.text);
    return model;
}

static void assert_refused(struct folder *folder, struct dtr_model_source source,
                           const char *sentence) {
    struct dtr_model *model;
    struct dtr_error error;
    assert_int_equal(open_model(folder, source, &model, &error), DTR_E_CONFIG);
    if (!strstr(error.text, sentence))
        fail_msg("'%s' is not in '%s'", sentence, error.text);
}

/* --- structure -------------------------------------------------------------------------------- */

static void plain_models_have_original_layers(void **state) {
    static const char *const plain[] = {"", ", \"debert_division\": 0", ", \"debert_division\": 1",
                                        ", \"debert_division\": null, \"num_debert_blocks\": 3"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        struct dtr_model *model = open_random(*state, plain[i]);
        const struct dtr_model_shape *shape = &model->shape;
        assert_int_equal(shape->divisions, 0);
        assert_int_equal(shape->groups, 4);
        assert_int_equal(shape->group_layers, 1);
        assert_int_equal(shape->intermediate, 24);
        assert_int_equal(model->head_size, 4);
        /* 4 h^2 + 2 h f weights, 4 h + f + h biases, 4 h of LayerNorm */
        assert_int_equal(shape->original_bytes, 4 * (4 * 256 + 2 * 16 * 24 + 9 * 16 + 24));
        assert_int_equal(shape->sub_block_bytes, 0);
        assert_true(dtr_model_layer_is_original(model, 0));
        assert_int_equal(model->labels, 2);
        assert_string_equal(model->label[1], "LABEL_1");
        assert_int_equal(model->types, 2);
        assert_int_equal(model->activation, DTR_ACT_GELU);
        assert_true(model->norm_epsilon == 1e-12f);
        dtr_model_close(model);
    }
}

static void decoupled_models_have_sub_blocks(void **state) {
    struct dtr_model *model =
        open_random(*state, DECOUPLED ", \"debert_intermediate_size\": 40, \"hidden_act\": "
                                      "\"gelu_new\", \"layer_norm_eps\": 1e-5");
    const struct dtr_model_shape *shape = &model->shape;
    assert_int_equal(shape->divisions, 2);
    assert_int_equal(shape->groups, 2);
    assert_int_equal(shape->group_layers, 2);
    assert_int_equal(shape->sub_heads, 4);
    assert_int_equal(shape->sub_attention, 16);
    assert_int_equal(shape->sub_intermediate, 40);
    assert_int_equal(shape->sub_block_bytes, 4 * (4 * 16 * 8 + 2 * 8 * 40 + 3 * 16 + 6 * 8 + 40));
    assert_int_equal(model->activation, DTR_ACT_GELU_TANH);
    assert_true(model->norm_epsilon == 1e-5f);
    assert_false(dtr_model_layer_is_original(model, 0));
    assert_true(dtr_model_layer_is_original(model, 1));
    dtr_model_close(model);
    model = open_random(*state, DECOUPLED ", \"debert_attention\": \"split\"");
    assert_true(model->split_width);
    assert_int_equal(model->shape.sub_heads, 2);
    assert_int_equal(model->shape.sub_attention, 8);
    assert_int_equal(model->shape.sub_intermediate, 24);
    dtr_model_close(model);
}

static void extents_follow_the_structure(void **state) {
    struct dtr_model *model = open_random(*state, DECOUPLED ", \"num_labels\": 3");
    static const struct {
        struct dtr_tensor_id id;
        uint32_t rows, columns; /* 0: no such tensor */
    } known[] = {
        {{DTR_TENSOR_WORD_EMBEDDINGS, 0, 0}, 20, 16},
        {{DTR_TENSOR_POSITION_EMBEDDINGS, 0, 0}, 8, 16},
        {{DTR_TENSOR_TYPE_EMBEDDINGS, 0, 0}, 2, 16},
        {{DTR_TENSOR_EMBEDDINGS_NORM_BIAS, 0, 0}, 1, 16},
        {{DTR_TENSOR_QUERY_WEIGHT, 0, 0}, 16, 8},
        {{DTR_TENSOR_VALUE_BIAS, 2, 1}, 1, 16},
        {{DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT, 0, 1}, 8, 16},
        {{DTR_TENSOR_ATTENTION_NORM_WEIGHT, 0, 1}, 1, 8},
        {{DTR_TENSOR_INTERMEDIATE_WEIGHT, 2, 0}, 24, 8},
        {{DTR_TENSOR_OUTPUT_WEIGHT, 2, 0}, 8, 24},
        {{DTR_TENSOR_QUERY_WEIGHT, 0, 2}, 0, 0},
        {{DTR_TENSOR_QUERY_WEIGHT, 0, -1}, 0, 0},
        {{DTR_TENSOR_QUERY_WEIGHT, 1, 0}, 0, 0},
        {{DTR_TENSOR_QUERY_WEIGHT, 4, -1}, 0, 0},
        {{DTR_TENSOR_KEY_WEIGHT, 3, -1}, 16, 16},
        {{DTR_TENSOR_OUTPUT_BIAS, 1, -1}, 1, 16},
        {{DTR_TENSOR_CLASSIFIER_WEIGHT, 0, 0}, 3, 16},
        {{DTR_TENSOR_PREDICTION_DECODER_BIAS, 0, 0}, 1, 20},
        {{DTR_TENSOR_ANSWER_WEIGHT, 0, 0}, 2, 16},
        {{DTR_TENSOR_KINDS, 0, 0}, 0, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t rows = 0, columns = 0;
        assert_int_equal(dtr_model_tensor_shape(model, known[i].id, &rows, &columns),
                         known[i].rows != 0);
        assert_int_equal(rows, known[i].rows);
        assert_int_equal(columns, known[i].columns);
    }
    dtr_model_close(model);
}

/* In the fixed order every tensor comes once, and the sum of all is what the model tells. */
static void parameters_are_the_sum_of_all(void **state) {
    static const char *const models[] = {"", DECOUPLED,
                                         DECOUPLED ", \"debert_attention\": \"split\"",
                                         ", \"debert_division\": 2, \"num_debert_blocks\": 4"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct dtr_model *model = open_random(*state, models[i]);
        struct dtr_tensor_id id = {.kind = 0};
        uint64_t numbers = 0;
        size_t index = 0;
        do {
            uint32_t rows, columns;
            assert_int_equal(dtr_tensor_index(model, id), index++);
            assert_true(dtr_model_tensor_shape(model, id, &rows, &columns));
            if (id.kind != DTR_TENSOR_PREDICTION_DECODER_WEIGHT) /* tied */
                numbers += (uint64_t)rows * columns;
        } while (dtr_tensor_next(model, &id));
        assert_int_equal(numbers, model->parameters);
        dtr_model_close(model);
    }
}

static void bad_configurations_are_refused(void **state) {
    struct folder *folder = *state;
    static const char *const bad[][2] = {
        {", \"hidden_size\": 16", "config.json: the key 'hidden_size' is there twice"},
        {", \"type_vocab_size\": 0", "type_vocab_size must be a whole number from 1 to"},
        {", \"type_vocab_size\": 1.5", "type_vocab_size must be a whole number from 1 to"},
        {", \"type_vocab_size\": \"2\"", "type_vocab_size must be a whole number from 1 to"},
        {", \"type_vocab_size\": -1e300", "type_vocab_size must be a whole number from 1 to"},
        {", \"debert_division\": 3, \"num_debert_blocks\": 2",
         "config.json: debert_division 3 does not divide hidden_size 16"},
        {", \"debert_division\": 2, \"num_debert_blocks\": 3",
         "num_debert_blocks 3 does not divide num_hidden_layers 4"},
        {", \"debert_division\": 2", "num_debert_blocks is missing, which debert_division needs"},
        {", \"debert_division\": -2", "debert_division must be a whole number from 0 to"},
        {", \"debert_division\": 8, \"num_debert_blocks\": 2, \"debert_attention\": \"split\"",
         "debert_division 8 does not divide num_attention_heads 4"},
        {DECOUPLED ", \"debert_attention\": \"half\"",
         "debert_attention 'half' is not known; known: full, split"},
        {DECOUPLED ", \"debert_attention\": \"\\u001b\"", "debert_attention must be a text"},
        {", \"hidden_act\": \"relu\"",
         "hidden_act 'relu' is not known; known: gelu, gelu_new, gelu_pytorch_tanh"},
        {", \"hidden_act\": 1", "hidden_act must be a text"},
        {", \"layer_norm_eps\": -1", "layer_norm_eps must be a number from 0 to 1"},
        {", \"layer_norm_eps\": 1e999", "layer_norm_eps must be a number from 0 to 1"},
        {", \"position_embedding_type\": \"relative_key\"",
         "position_embedding_type 'relative_key' is not known"},
        {", \"is_decoder\": true", "only encoders can be run"},
        {", \"num_labels\": 2, \"id2label\": {\"0\": \"a\"}",
         "num_labels is 2, but id2label has 1 names"},
        {", \"id2label\": {\"0\": \"a\", \"2\": \"b\"}", "id2label must give each number from 0"},
        {", \"id2label\": {\"0\": \"a\", \"00\": \"b\"}", "id2label must give each number from 0"},
        {", \"id2label\": {\"0\": \"a\", \"0\": \"b\"}", "id2label must give each number from 0"},
        {", \"id2label\": {\"0\": 5}", "id2label must give each number from 0"},
        {", \"id2label\": []", "id2label must be an object"},
        {"} {", "is not valid JSON near line 1"},
        {", \"deep\": [[[", "is not valid JSON near line 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_config(folder, bad[i][0]);
        assert_refused(folder, (struct dtr_model_source){.attention = -1}, bad[i][1]);
    }
    static const char *const whole[][2] = {
        {"{}", "num_hidden_layers is missing"},
        {"[]", "is not a JSON object"},
        {"", "is not valid JSON near line 1"},
        {"{\"num_hidden_layers\": 1, \"hidden_size\": 10, \"num_attention_heads\": 4, "
         "\"intermediate_size\": 1}",
         "num_attention_heads 4 does not divide hidden_size 10"},
        {"{\"model_type\": \"gpt2\"}", "model_type must be 'bert'"},
        {"{\"num_hidden_layers\": 16384, \"hidden_size\": 16384, \"num_attention_heads\": 1, "
         "\"intermediate_size\": 1, \"debert_division\": 16384, \"num_debert_blocks\": 1}",
         "more than the 16777216 allowed"},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        folder_write(folder, "config.json", whole[i][0], strlen(whole[i][0]));
        assert_refused(folder, (struct dtr_model_source){.attention = -1}, whole[i][1]);
    }
}

static void experiments_decouple_random_models(void **state) {
    struct folder *folder = *state;
    struct dtr_model_source source = {
        .division = 4, .num_blocks = 2, .intermediate_size = 10, .attention = 1};
    struct dtr_model *model;
    struct dtr_error error;
    write_config(folder, DECOUPLED);
    assert_int_equal(open_model(folder, source, &model, &error), DTR_OK);
    assert_int_equal(model->shape.divisions, 4);
    assert_int_equal(model->shape.sub_intermediate, 10);
    assert_true(model->split_width);
    dtr_model_close(model);
    source.division = 5;
    assert_refused(folder, source, "debert_division 5 does not divide hidden_size 16");
    source.division = -1;
    assert_refused(folder, source, "debert_division must be from 1 to");
    source = (struct dtr_model_source){.weights = "absent", .attention = 0};
    assert_refused(folder, source, "debert_attention can be set with random weights only");
    source = (struct dtr_model_source){.weights = "absent", .num_blocks = 1, .attention = -1};
    assert_refused(folder, source, "num_debert_blocks can be set with random weights only");
}

/* --- random weights --------------------------------------------------------------------------- */

static void rectangles_of_a_tensor_agree(void **state) {
    struct dtr_model *model = open_random(*state, DECOUPLED);
    const struct dtr_tensor_id id = {DTR_TENSOR_INTERMEDIATE_WEIGHT, 2, 1};
    float whole[24][8], part[5][4];
    dtr_model_read(model, id, 0, 24, 0, 8, &whole[0][0], 8);
    dtr_model_read(model, id, 3, 5, 2, 3, &part[0][0], 4);
    for (int row = 0; row < 5; row++)
        assert_memory_equal(part[row], &whole[3 + row][2], 3 * sizeof(float));
    const struct dtr_tensor_id neighbour = {DTR_TENSOR_INTERMEDIATE_WEIGHT, 2, 0};
    dtr_model_read(model, neighbour, 3, 5, 2, 3, &part[0][0], 4);
    assert_true(part[0][0] != whole[3][2]);
    dtr_model_close(model);
}

static void random_weights_have_unit_scale(void **state) {
    struct dtr_model *model = open_random(*state, "");
    float weight[16][16], gamma[16], table[20][16], decoder[20][16];
    double squares = 0;
    dtr_model_read(model, (struct dtr_tensor_id){DTR_TENSOR_QUERY_WEIGHT, 0, -1}, 0, 16, 0, 16,
                   &weight[0][0], 16);
    for (int i = 0; i < 256; i++)
        squares += (double)weight[i / 16][i % 16] * (double)weight[i / 16][i % 16];
    assert_true(fabs(squares / 16 - 1.0) < 0.3); /* variance 1 / fan-in */
    dtr_model_read(model, (struct dtr_tensor_id){DTR_TENSOR_OUTPUT_NORM_WEIGHT, 1, -1}, 0, 1, 0, 16,
                   gamma, 16);
    for (int i = 0; i < 16; i++)
        assert_true(fabsf(gamma[i] - 1.0f) <= 0.125f);
    dtr_model_read(model, (struct dtr_tensor_id){.kind = DTR_TENSOR_WORD_EMBEDDINGS}, 0, 20, 0, 16,
                   &table[0][0], 16);
    dtr_model_read(model, (struct dtr_tensor_id){.kind = DTR_TENSOR_PREDICTION_DECODER_WEIGHT}, 0,
                   20, 0, 16, &decoder[0][0], 16);
    assert_memory_equal(table, decoder, sizeof table);
    dtr_model_close(model);
}

static void digests_tell_models_apart(void **state) {
    struct folder *folder = *state;
    static const char *const models[] = {"", "", DECOUPLED, ", \"hidden_act\": \"gelu_new\"",
                                         ", \"layer_norm_eps\": 1e-6"};
    uint8_t digest[6][32];
    struct dtr_model *model;
    for (size_t i = 0; i < 5; i++) {
        model = open_random(folder, models[i]);
        memcpy(digest[i], model->digest, sizeof digest[i]);
        dtr_model_close(model);
    }
    struct dtr_error error;
    write_config(folder, "");
    const struct dtr_model_source source = {.seed = 6, .attention = -1};
    assert_int_equal(open_model(folder, source, &model, &error), DTR_OK);
    memcpy(digest[5], model->digest, sizeof digest[5]);
    dtr_model_close(model);
    assert_memory_equal(digest[0], digest[1], 32);
    for (size_t i = 1; i < 6; i++)
        for (size_t j = i + 1; j < 6; j++)
            assert_memory_not_equal(digest[i], digest[j], 32);
}

/* --- names ------------------------------------------------------------------------------------ */

static const struct dtr_names hugging_face = {.prefix = "bert.",
                                              .list = "layer",
                                              .intermediate = "dense",
                                              .pooler = "dense",
                                              .transform = "dense",
                                              .decoder_bias = "cls.predictions.bias"};
static const struct dtr_names bare = {.prefix = "",
                                      .list = "layer",
                                      .intermediate = "dense",
                                      .pooler = "dense",
                                      .transform = "dense",
                                      .decoder_bias = "cls.predictions.decoder.bias",
                                      .gamma = true};
static const struct dtr_names paper = {.prefix = "bert.",
                                       .list = "layers",
                                       .intermediate = "dense_act",
                                       .pooler = "dense_act",
                                       .transform = "dense_act",
                                       .decoder_bias = "cls.predictions.bias"};

static void names_are_as_published(void **state) {
    (void)state;
    static const struct {
        const struct dtr_names *names;
        struct dtr_tensor_id id;
        const char *name;
    } known[] = {
        {&hugging_face,
         {DTR_TENSOR_WORD_EMBEDDINGS, 0, 0},
         "bert.embeddings.word_embeddings.weight"},
        {&bare, {DTR_TENSOR_POSITION_EMBEDDINGS, 0, 0}, "embeddings.position_embeddings.weight"},
        {&bare, {DTR_TENSOR_TYPE_EMBEDDINGS, 0, 0}, "embeddings.token_type_embeddings.weight"},
        {&bare, {DTR_TENSOR_EMBEDDINGS_NORM_WEIGHT, 0, 0}, "embeddings.LayerNorm.gamma"},
        {&bare, {DTR_TENSOR_EMBEDDINGS_NORM_BIAS, 0, 0}, "embeddings.LayerNorm.beta"},
        {&hugging_face,
         {DTR_TENSOR_QUERY_BIAS, 11, -1},
         "bert.encoder.layer.11.attention.self.query.bias"},
        {&paper,
         {DTR_TENSOR_KEY_WEIGHT, 0, 3},
         "bert.encoder.layers.0.attention.self.key.3.weight"},
        {&paper,
         {DTR_TENSOR_VALUE_WEIGHT, 2, -1},
         "bert.encoder.layers.2.attention.self.value.weight"},
        {&paper,
         {DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT, 1, 2},
         "bert.encoder.layers.1.attention.output.dense.2.weight"},
        {&paper,
         {DTR_TENSOR_ATTENTION_NORM_BIAS, 1, 2},
         "bert.encoder.layers.1.attention.output.LayerNorm.2.bias"},
        {&bare,
         {DTR_TENSOR_ATTENTION_NORM_WEIGHT, 1, -1},
         "encoder.layer.1.attention.output.LayerNorm.gamma"},
        {&hugging_face,
         {DTR_TENSOR_INTERMEDIATE_WEIGHT, 1, -1},
         "bert.encoder.layer.1.intermediate.dense.weight"},
        {&paper,
         {DTR_TENSOR_INTERMEDIATE_BIAS, 1, 0},
         "bert.encoder.layers.1.intermediate.dense_act.0.bias"},
        {&paper, {DTR_TENSOR_OUTPUT_WEIGHT, 1, 0}, "bert.encoder.layers.1.output.dense.0.weight"},
        {&paper,
         {DTR_TENSOR_OUTPUT_NORM_WEIGHT, 1, -1},
         "bert.encoder.layers.1.output.LayerNorm.weight"},
        {&hugging_face, {DTR_TENSOR_POOLER_WEIGHT, 0, 0}, "bert.pooler.dense.weight"},
        {&paper, {DTR_TENSOR_POOLER_BIAS, 0, 0}, "bert.pooler.dense_act.bias"},
        {&hugging_face, {DTR_TENSOR_CLASSIFIER_BIAS, 0, 0}, "classifier.bias"},
        {&hugging_face,
         {DTR_TENSOR_PREDICTION_DENSE_WEIGHT, 0, 0},
         "cls.predictions.transform.dense.weight"},
        {&paper,
         {DTR_TENSOR_PREDICTION_DENSE_BIAS, 0, 0},
         "cls.predictions.transform.dense_act.bias"},
        {&hugging_face,
         {DTR_TENSOR_PREDICTION_NORM_WEIGHT, 0, 0},
         "cls.predictions.transform.LayerNorm.weight"},
        {&bare,
         {DTR_TENSOR_PREDICTION_NORM_BIAS, 0, 0},
         "cls.predictions.transform.LayerNorm.beta"},
        {&hugging_face,
         {DTR_TENSOR_PREDICTION_DECODER_WEIGHT, 0, 0},
         "cls.predictions.decoder.weight"},
        {&hugging_face, {DTR_TENSOR_PREDICTION_DECODER_BIAS, 0, 0}, "cls.predictions.bias"},
        {&bare, {DTR_TENSOR_PREDICTION_DECODER_BIAS, 0, 0}, "cls.predictions.decoder.bias"},
        {&hugging_face, {DTR_TENSOR_ANSWER_WEIGHT, 0, 0}, "qa_outputs.weight"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[DTR_TENSOR_NAME_MAX];
        assert_string_equal(dtr_names_format(known[i].names, known[i].id, name), known[i].name);
    }
}

/* --- checkpoints ------------------------------------------------------------------------------ */

enum { TENSORS_MAX = 300 };

/* A checkpoint of a random model's numbers, to be changed before it is written. */
struct draft {
    struct dtr_stored_tensor tensor[TENSORS_MAX];
    size_t count;
};

static uint16_t halve(float value, enum dtr_stored_type type) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == DTR_STORED_BF16)
        return (uint16_t)(bits >> 16);
    /* Cuts off; numbers too small for a normal f16 become 0. */
    const uint32_t exponent = bits >> 23 & 0xff;
    const uint32_t magnitude = exponent < 113 ? 0 : (exponent - 112) << 10 | (bits >> 13 & 0x3ff);
    return (uint16_t)((bits >> 16 & 0x8000) | magnitude);
}

static void add_tensor(struct draft *draft, const struct dtr_model *model,
                       const struct dtr_names *names, struct dtr_tensor_id id,
                       enum dtr_stored_type type) {
    struct dtr_stored_tensor *tensor = &draft->tensor[draft->count++];
    char name[DTR_TENSOR_NAME_MAX];
    uint32_t rows, columns;
    bool vector;
    assert_true(draft->count <= TENSORS_MAX);
    assert_true(dtr_tensor_extent(model, id, &rows, &columns, &vector));
    const size_t numbers = (size_t)rows * columns;
    float *data = malloc(numbers * sizeof *data);
    assert_non_null(data);
    dtr_model_read(model, id, 0, rows, 0, columns, data, columns);
    if (type != DTR_STORED_F32)
        for (size_t i = 0; i < numbers; i++) {
            const uint16_t half = halve(data[i], type);
            memcpy((uint8_t *)data + i * sizeof half, &half, sizeof half);
        }
    *tensor = (struct dtr_stored_tensor){.name = strdup(dtr_names_format(names, id, name)),
                                         .type = type,
                                         .rank = vector ? 1 : 2,
                                         .shape = {vector ? columns : rows, columns},
                                         .data = (const uint8_t *)data,
                                         .bytes = numbers * dtr_stored_type_bytes(type)};
}

static void draft_all(struct draft *draft, const struct dtr_model *model,
                      const struct dtr_names *names, enum dtr_stored_type type) {
    struct dtr_tensor_id id = {.kind = 0};
    draft->count = 0;
    do {
        if (id.kind != DTR_TENSOR_PREDICTION_DECODER_WEIGHT)
            add_tensor(draft, model, names, id, type);
    } while (dtr_tensor_next(model, &id));
}

static void draft_free(struct draft *draft) {
    for (size_t i = 0; i < draft->count; i++) {
        free((char *)(uintptr_t)draft->tensor[i].name);
        free((uint8_t *)(uintptr_t)draft->tensor[i].data);
    }
}

static struct dtr_stored_tensor *draft_find(struct draft *draft, const char *name) {
    for (size_t i = 0; i < draft->count; i++)
        if (!strcmp(draft->tensor[i].name, name))
            return &draft->tensor[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static void draft_write(const struct draft *draft, struct folder *folder) {
    struct dtr_error error = {0};
    if (dtr_safetensors_write(folder_file(folder, "model.safetensors"), draft->tensor, draft->count,
                              &error))
        fail_msg("%s", error.text);
}

/* Two files, tensors in turn, and their index. */
static void draft_write_shards(const struct draft *draft, struct folder *folder) {
    static const char *const shards[] = {"a.safetensors", "b.safetensors"};
    struct dtr_error error = {0};
    char *text = NULL;
    size_t length;
    FILE *index = open_memstream(&text, &length);
    assert_non_null(index);
    fputs("{\"weight_map\": {", index);
    for (size_t shard = 0; shard < 2; shard++) {
        struct draft half = {.count = 0};
        for (size_t i = shard; i < draft->count; i += 2) {
            half.tensor[half.count++] = draft->tensor[i];
            fprintf(index, "%s\"%s\": \"%s\"", i ? ", " : "", draft->tensor[i].name, shards[shard]);
        }
        assert_int_equal(dtr_safetensors_write(folder_file(folder, shards[shard]), half.tensor,
                                               half.count, &error),
                         DTR_OK);
    }
    fputs("}}", index);
    assert_int_equal(fclose(index), 0);
    folder_write(folder, "index.json", text, length);
    free(text);
}

/* All tensors, whole and in part. */
static void assert_equal_models(const struct dtr_model *a, const struct dtr_model *b,
                                float tolerance) {
    struct dtr_tensor_id id = {.kind = 0};
    do {
        uint32_t rows, columns, b_rows, b_columns;
        static float whole[24 * 24], other[24 * 24];
        assert_true(dtr_model_tensor_shape(a, id, &rows, &columns));
        assert_true(dtr_model_tensor_shape(b, id, &b_rows, &b_columns));
        assert_true(rows == b_rows && columns == b_columns && rows * columns <= 24 * 24);
        dtr_model_read(a, id, 0, rows, 0, columns, whole, columns);
        dtr_model_read(b, id, 0, rows, 0, columns, other, columns);
        for (uint32_t i = 0; i < rows * columns; i++)
            assert_true(fabsf(whole[i] - other[i]) <= tolerance);
        dtr_model_read(b, id, rows - 1, 1, 1, columns - 1, other + 1, columns);
        for (uint32_t i = 1; i < columns; i++)
            assert_true(fabsf(whole[(rows - 1) * columns + i] - other[i]) <= tolerance);
    } while (dtr_tensor_next(a, &id));
}

static void checkpoints_give_what_is_in_them(void **state) {
    struct folder *folder = *state;
    static const struct {
        const struct dtr_names *names;
        enum dtr_stored_type type;
        const char *config, *later; /* `later` is what the checkpoint's own config.json says */
        float tolerance;
    } cases[] = {
        {&hugging_face, DTR_STORED_F32, "", "", 0.0f},
        {&bare, DTR_STORED_F16, "", "", 0.002f},
        {&paper, DTR_STORED_BF16, DECOUPLED, DECOUPLED, 0.01f},
        {&hugging_face, DTR_STORED_F32, DECOUPLED ", \"debert_attention\": \"split\"", DECOUPLED,
         0.0f},
        {&paper, DTR_STORED_F32, DECOUPLED ", \"debert_intermediate_size\": 20", DECOUPLED, 0.0f},
        {&bare, DTR_STORED_F32, ", \"num_labels\": 5", "", 0.0f},
    };
    struct dtr_model *made, *model;
    struct dtr_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct draft draft;
        made = open_random(folder, cases[i].config);
        draft_all(&draft, made, cases[i].names, cases[i].type);
        draft_write(&draft, folder);
        draft_write_shards(&draft, folder);
        draft_free(&draft);
        write_config(folder, cases[i].later);
        uint8_t digest[32];
        for (int task = DTR_TASK_ENCODE; task <= DTR_TASK_ANSWER; task++) {
            struct dtr_model_source source = {.weights =
                                                  task % 2 ? "index.json" : "model.safetensors",
                                              .task = task,
                                              .needs_embeddings = true,
                                              .attention = -1};
            if (open_model(folder, source, &model, &error))
                fail_msg("%s", error.text);
            assert_int_equal(model->parameters, made->parameters);
            assert_int_equal(model->labels, made->labels);
            assert_int_equal(model->split_width, made->split_width);
            assert_true(model->has_pooler);
            assert_equal_models(made, model, cases[i].tolerance);
            /* The same numbers in one file or in two are the same model. */
            if (task)
                assert_memory_equal(digest, model->digest, sizeof digest);
            memcpy(digest, model->digest, sizeof digest);
            dtr_model_close(model);
        }
        dtr_model_close(made);
    }
}

static void a_changed_number_changes_the_digest(void **state) {
    struct folder *folder = *state;
    static struct draft draft;
    uint8_t digest[2][32];
    struct dtr_model *model, *made = open_random(folder, DECOUPLED);
    struct dtr_error error;
    const struct dtr_model_source source = {.weights = "model.safetensors", .attention = -1};
    draft_all(&draft, made, &paper, DTR_STORED_F32);
    for (int i = 0; i < 2; i++) {
        draft_write(&draft, folder);
        assert_int_equal(open_model(folder, source, &model, &error), DTR_OK);
        memcpy(digest[i], model->digest, 32);
        dtr_model_close(model);
        ((uint8_t *)(uintptr_t)draft_find(&draft, "classifier.bias")->data)[3] ^= 1;
    }
    assert_memory_not_equal(digest[0], digest[1], 32);
    draft_free(&draft);
    dtr_model_close(made);
}

static void rename_tensor(struct draft *draft, const char *from, const char *to) {
    struct dtr_stored_tensor *tensor = draft_find(draft, from);
    free((char *)(uintptr_t)tensor->name);
    tensor->name = strdup(to);
}

/* Each task without a tensor that it needs. */
static void missing_tensors_are_named(void **state) {
    struct folder *folder = *state;
    static const struct {
        int task;
        const char *tensor, *sentence;
    } missing[] = {
        {DTR_TASK_ENCODE, "embeddings.word_embeddings.weight",
         "model.safetensors: tensor 'embeddings.word_embeddings.weight' is missing, which text as "
         "input needs"},
        {DTR_TASK_ENCODE, "encoder.layer.3.output.dense.bias",
         "model.safetensors: tensor 'encoder.layer.3.output.dense.bias' is missing"},
        {DTR_TASK_CLASSIFY, "pooler.dense.bias",
         "tensor 'pooler.dense.bias' is missing, which task 'classify' needs"},
        {DTR_TASK_CLASSIFY, "classifier.weight",
         "tensor 'classifier.weight' is missing, which task 'classify' needs"},
        {DTR_TASK_FILL_MASK, "cls.predictions.transform.LayerNorm.gamma",
         "tensor 'cls.predictions.transform.LayerNorm.gamma' is missing, which task 'fill-mask'"},
        {DTR_TASK_ANSWER, "qa_outputs.bias",
         "tensor 'qa_outputs.bias' is missing, which task 'answer' needs"},
    };
    static struct draft draft;
    struct dtr_model *model, *made = open_random(folder, "");
    struct dtr_error error;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        struct dtr_model_source source = {.weights = "model.safetensors",
                                          .task = missing[i].task,
                                          .needs_embeddings = true,
                                          .attention = -1};
        draft_all(&draft, made, &bare, DTR_STORED_F32);
        rename_tensor(&draft, missing[i].tensor, "another");
        draft_write(&draft, folder);
        draft_free(&draft);
        assert_refused(folder, source, missing[i].sentence);
        if (i == 1)
            continue;
        /* Who does not need it does not miss it. */
        source.task = i ? DTR_TASK_ENCODE : DTR_TASK_CLASSIFY;
        source.needs_embeddings = i != 0;
        assert_int_equal(open_model(folder, source, &model, &error), DTR_OK);
        assert_int_equal(model->has_pooler, i != 2);
        dtr_model_close(model);
    }
    dtr_model_close(made);
}

static void unfit_checkpoints_are_refused(void **state) {
    struct folder *folder = *state;
    static const struct {
        const char *config;        /* of the checkpoint */
        const char *from, *to;     /* a tensor renamed, or NULL */
        enum dtr_stored_type type; /* of classifier.bias */
        const char *later, *sentence;
    } unfit[] = {
        {"", NULL, NULL, DTR_STORED_I32, "",
         "model.safetensors: tensor 'classifier.bias' is of type I32; weights must be F32, F16 or"},
        {"", NULL, NULL, DTR_STORED_F32, ", \"num_labels\": 3",
         "tensor 'classifier.weight' has the shape [2, 16], and"},
        {"", NULL, NULL, DTR_STORED_F32, DECOUPLED,
         "tensor 'bert.encoder.layers.0.attention.self.query.0.weight' is missing, but "
         "'bert.encoder.layers.0.attention.self.query.weight' is there"},
        {DECOUPLED, NULL, NULL, DTR_STORED_F32, "",
         "tensor 'bert.encoder.layers.0.attention.self.query.weight' is missing, but "
         "'bert.encoder.layers.0.attention.self.query.0.weight' is there"},
        {DECOUPLED, NULL, NULL, DTR_STORED_F32,
         ", \"debert_division\": 2, \"num_debert_blocks\": 1",
         "tensor 'bert.encoder.layers.1.attention.self.query.0.weight' is missing, but "},
        {DECOUPLED, NULL, NULL, DTR_STORED_F32, DECOUPLED ", \"debert_attention\": \"split\"",
         "query.0.weight' has the shape [16, 8], and"},
        {DECOUPLED, NULL, NULL, DTR_STORED_F32, DECOUPLED ", \"debert_intermediate_size\": 9",
         "intermediate.dense_act.0.weight' has the shape [24, 8], and"},
        {"", "classifier.weight", "bert.encoder.layers.4.attention.self.query.weight",
         DTR_STORED_F32, "",
         "tensor 'bert.encoder.layers.4.attention.self.query.weight' is one that a model as in"},
        {DECOUPLED, "classifier.weight", "bert.encoder.layers.0.attention.self.query.2.weight",
         DTR_STORED_F32, DECOUPLED,
         "tensor 'bert.encoder.layers.0.attention.self.query.2.weight' is one that"},
        {DECOUPLED, "bert.encoder.layers.2.attention.self.query.1.bias",
         "bert.encoder.layers.2.attention.self.query.1.b", DTR_STORED_F32, DECOUPLED,
         "tensor 'bert.encoder.layers.2.attention.self.query.1.bias' is missing"},
    };
    const struct dtr_model_source source = {.weights = "model.safetensors", .attention = -1};
    static struct draft draft;
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        struct dtr_model *made = open_random(folder, unfit[i].config);
        draft_all(&draft, made, &paper, DTR_STORED_F32);
        draft_find(&draft, "classifier.bias")->type = unfit[i].type;
        if (unfit[i].from)
            rename_tensor(&draft, unfit[i].from, unfit[i].to);
        draft_write(&draft, folder);
        draft_free(&draft);
        write_config(folder, unfit[i].later);
        assert_refused(folder, source, unfit[i].sentence);
        dtr_model_close(made);
    }
}

/* --- published checkpoints -------------------------------------------------------------------- */

/* The model in a folder of the data, or NULL after skipping. */
static struct dtr_model *open_data(const char *folder, const char *weights, int32_t task) {
    char name[100];
    struct dtr_model_source source = {.task = task, .attention = -1};
    struct dtr_model *model = NULL;
    struct dtr_error error = {0};
    snprintf(name, sizeof name, "%s/config.json", folder);
    char *config = data_file(name);
    snprintf(name, sizeof name, "%s/%s", folder, weights);
    char *file = data_file(name);
    source.config = config;
    source.weights = file;
    int status = config && file ? dtr_model_open(&source, &model, &error) : DTR_E_SYSTEM;
    bool absent = !config || !file;
    free(config);
    free(file);
    if (absent)
        skip_because("the data is not there");
    else if (status)
        fail_msg("%s", error.text);
    return model;
}

static void the_papers_checkpoint_opens(void **state) {
    (void)state;
    struct dtr_model *model = open_data("paper_checkpoint", "model.safetensors", DTR_TASK_ENCODE);
    if (!model)
        return;
    assert_int_equal(model->shape.divisions, 4);
    assert_int_equal(model->shape.groups, 3);
    assert_int_equal(model->shape.sub_attention, 32);
    assert_int_equal(model->shape.sub_intermediate, 64);
    assert_int_equal(model->activation, DTR_ACT_GELU_TANH);
    assert_false(model->split_width);
    assert_true(model->has_pooler);
    dtr_model_close(model);
}

static void a_real_checkpoint_opens(void **state) {
    (void)state;
    struct dtr_model *model = open_data("bert_tiny_sst2", "encoder.safetensors", DTR_TASK_CLASSIFY);
    if (!model)
        return;
    assert_int_equal(model->shape.layers, 2);
    assert_int_equal(model->shape.hidden, 128);
    assert_int_equal(model->head_size, 64);
    assert_string_equal(model->label[0], "negative");
    uint32_t rows, columns;
    assert_false(dtr_model_tensor_shape(
        model, (struct dtr_tensor_id){.kind = DTR_TENSOR_WORD_EMBEDDINGS}, &rows, &columns));
    dtr_model_close(model);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(plain_models_have_original_layers),
        WITH_FOLDER(decoupled_models_have_sub_blocks),
        WITH_FOLDER(extents_follow_the_structure),
        WITH_FOLDER(parameters_are_the_sum_of_all),
        WITH_FOLDER(bad_configurations_are_refused),
        WITH_FOLDER(experiments_decouple_random_models),
        WITH_FOLDER(rectangles_of_a_tensor_agree),
        WITH_FOLDER(random_weights_have_unit_scale),
        WITH_FOLDER(digests_tell_models_apart),
        cmocka_unit_test(names_are_as_published),
        WITH_FOLDER(checkpoints_give_what_is_in_them),
        WITH_FOLDER(a_changed_number_changes_the_digest),
        WITH_FOLDER(missing_tensors_are_named),
        WITH_FOLDER(unfit_checkpoints_are_refused),
        cmocka_unit_test(the_papers_checkpoint_opens),
        cmocka_unit_test(a_real_checkpoint_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * fixtures_test.c -- the committed models open in every form they have, and texts and embedding
 * tables give the hidden states that PyTorch computed from them.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "config/experiment.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"

enum { LIMIT = 32, PATH = 500 };

struct fixture {
    const char *name;
    const char *weights;
    enum dtr_task tasks[3]; /* that it has heads for; 0: no more */
    uint32_t divisions, groups;
    bool split_width, has_pooler;
};

static const struct fixture fixtures[] = {
    {.name = "plain",
     .tasks = {DTR_TASK_CLASSIFY, DTR_TASK_FILL_MASK, DTR_TASK_ANSWER},
     .groups = 2,
     .has_pooler = true},
    {.name = "plain-bare", .groups = 2, .has_pooler = true},
    {.name = "plain-sharded",
     .weights = "model.safetensors.index.json",
     .groups = 2,
     .has_pooler = true},
    {.name = "plain-f16", .groups = 2, .has_pooler = true},
    {.name = "plain-bf16", .groups = 2, .has_pooler = true},
    {.name = "plain-tanh", .groups = 1},
    {.name = "full-2", .divisions = 2, .groups = 1, .has_pooler = true},
    {.name = "full-3", .divisions = 3, .groups = 2, .has_pooler = true},
    {.name = "full-4",
     .tasks = {DTR_TASK_CLASSIFY, DTR_TASK_FILL_MASK, DTR_TASK_ANSWER},
     .divisions = 4,
     .groups = 2,
     .has_pooler = true},
    {.name = "split-3",
     .tasks = {DTR_TASK_CLASSIFY},
     .divisions = 3,
     .groups = 1,
     .split_width = true,
     .has_pooler = true},
    {.name = "split-4", .divisions = 4, .groups = 2, .split_width = true, .has_pooler = true},
};

/* Good until the next but one call. */
static const char *path_of(const struct fixture *fixture, const char *file) {
    static char path[2][PATH];
    static int next;
    next = !next;
    snprintf(path[next], PATH, "%s/fixtures/%s/%s", getenv("DTR_TESTS"), fixture->name, file);
    return path[next];
}

static struct dtr_model *open_model(const struct fixture *fixture, enum dtr_task task) {
    struct dtr_model *model = NULL;
    struct dtr_error error = {.status = DTR_OK};
    const struct dtr_model_source source = {
        .config = path_of(fixture, "config.json"),
        .weights = path_of(fixture, fixture->weights ? fixture->weights : "model.safetensors"),
        .task = task,
        .needs_embeddings = true,
        .attention = -1,
    };
    if (dtr_model_open(&source, &model, &error))
        fail_msg("%s", error.text);
    return model;
}

static void structure(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        const struct fixture *fixture = &fixtures[i];
        struct dtr_model *model = open_model(fixture, DTR_TASK_ENCODE);
        assert_int_equal(model->shape.divisions, fixture->divisions);
        assert_int_equal(model->shape.groups, fixture->groups);
        assert_int_equal(model->split_width, fixture->split_width);
        assert_int_equal(model->has_pooler, fixture->has_pooler);
        dtr_model_close(model);
        for (size_t task = 0; task < 3 && fixture->tasks[task]; task++)
            dtr_model_close(open_model(fixture, fixture->tasks[task]));
    }
}

static void add_row(const struct dtr_model *model, enum dtr_tensor_kind kind, uint32_t row,
                    double *sum) {
    float numbers[256];
    const uint32_t hidden = model->shape.hidden;
    assert_true(hidden <= sizeof numbers / sizeof *numbers);
    dtr_model_read(model, (struct dtr_tensor_id){.kind = kind}, row, 1, 0, hidden, numbers, hidden);
    for (uint32_t i = 0; i < hidden; i++)
        sum[i] += (double)numbers[i];
}

/* The embedding of one token against the row that PyTorch gave. */
static void expect_row(const struct dtr_model *model, uint32_t id, uint32_t position, uint32_t type,
                       const float *wanted) {
    const uint32_t hidden = model->shape.hidden;
    double x[256] = {0}, weight[256] = {0}, bias[256] = {0}, mean = 0, variance = 0;
    add_row(model, DTR_TENSOR_WORD_EMBEDDINGS, id, x);
    add_row(model, DTR_TENSOR_POSITION_EMBEDDINGS, position, x);
    add_row(model, DTR_TENSOR_TYPE_EMBEDDINGS, type, x);
    add_row(model, DTR_TENSOR_EMBEDDINGS_NORM_WEIGHT, 0, weight);
    add_row(model, DTR_TENSOR_EMBEDDINGS_NORM_BIAS, 0, bias);
    for (uint32_t i = 0; i < hidden; i++)
        mean += x[i] / hidden;
    for (uint32_t i = 0; i < hidden; i++)
        variance += (x[i] - mean) * (x[i] - mean) / hidden;
    for (uint32_t i = 0; i < hidden; i++) {
        const double y =
            (x[i] - mean) / sqrt(variance + (double)model->norm_epsilon) * weight[i] + bias[i];
        assert_true(fabs(y - (double)wanted[i]) <= 1e-6);
    }
}

/* One line of texts.txt; the number of its tokens. */
static uint32_t expect_text(const struct dtr_model *model, const struct dtr_tokenizer *tokenizer,
                            char *line, const struct dtr_stored_tensor *hidden, uint64_t first) {
    uint32_t ids[LIMIT], types[LIMIT], begin[LIMIT], end[LIMIT];
    struct dtr_sequence sequence = {.ids = ids, .types = types, .begin = begin, .end = end};
    line[strcspn(line, "\n")] = '\0';
    char *second = strchr(line, '\t');
    if (second)
        *second++ = '\0';
    assert_int_equal(dtr_tokenizer_sequence(tokenizer, line, strlen(line), second,
                                            second ? strlen(second) : 0, LIMIT, false, &sequence,
                                            NULL),
                     0);
    assert_true(first + sequence.count <= hidden->shape[0]);
    for (uint32_t i = 0; i < sequence.count; i++) {
        float wanted[256];
        dtr_stored_floats(hidden, (first + i) * model->shape.hidden, model->shape.hidden, wanted);
        expect_row(model, ids[i], i, types[i], wanted);
    }
    return sequence.count;
}

static void expect_hidden(const struct fixture *fixture) {
    struct dtr_error error = {.status = DTR_OK};
    struct dtr_tokenizer *tokenizer = NULL;
    struct dtr_safetensors *file = NULL;
    char line[PATH];
    uint64_t tokens = 0, lengths[16] = {0};
    size_t texts = 0;
    if (dtr_tokenizer_open(path_of(fixture, "vocab.txt"), false, &tokenizer, &error) ||
        dtr_safetensors_open(path_of(fixture, "hidden.safetensors"), &file, &error))
        fail_msg("%s", error.text);
    struct dtr_model *model = open_model(fixture, DTR_TASK_ENCODE);
    assert_int_equal(dtr_tokenizer_size(tokenizer), model->vocabulary);
    const struct dtr_stored_tensor *hidden = dtr_safetensors_find(file, "hidden");
    const struct dtr_stored_tensor *stored = dtr_safetensors_find(file, "lengths");
    FILE *input = fopen(path_of(fixture, "texts.txt"), "r");
    assert_true(hidden && stored && input);
    for (; fgets(line, sizeof line, input); tokens += lengths[texts++])
        lengths[texts] = expect_text(model, tokenizer, line, hidden, tokens);
    fclose(input);
    assert_int_equal(tokens, hidden->shape[0]);
    assert_int_equal(texts, stored->shape[0]);
    assert_memory_equal(lengths, stored->data, stored->bytes);
    dtr_model_close(model);
    dtr_safetensors_close(file);
    dtr_tokenizer_close(tokenizer);
}

static void hidden_states(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
        expect_hidden(&fixtures[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure),
        cmocka_unit_test(hidden_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

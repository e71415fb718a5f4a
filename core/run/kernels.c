/* SPDX-License-Identifier: MIT */
#include "run/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"

/* The complete set that every kernel plugin is laid over. */
static const char base_name[] = "reference";

struct dtr_kernels {
    struct dtr_open_chain *chain, *base_chain;
    const struct dtr_instance *top, *base;
    const struct dtr_plugin *base_plugin;
    void *base_params;
    uint32_t dtype;
    const struct dtr_log *log;
    bool told; /* that the reference helps out */
    struct dtr_weight **weights;
    size_t count, capacity;
    uint64_t bytes;
};

static const struct dtr_kernel_ops *ops_of(const struct dtr_instance *instance) {
    return instance->plugin->ops;
}

/* The reference in place of the chain's lowest plugin: what it does for it goes through the same
 * wrappers, or a slower device that is emulated would do it at full speed. */
static int open_base(const struct dtr_chain *above, struct dtr_plugins *plugins, uint32_t threads,
                     uint32_t device, uint32_t devices, const struct dtr_log *log,
                     struct dtr_kernels *kernels, struct dtr_error *error) {
    int status = dtr_plugins_get(plugins, DTR_KERNEL, base_name, &kernels->base_plugin, error);
    if (!status)
        status = dtr_params_defaults(kernels->base_plugin, &kernels->base_params, error);
    if (status)
        return status;
    struct dtr_chain chain = *above;
    chain.plugin[chain.count - 1] = kernels->base_plugin;
    chain.params[chain.count - 1] = kernels->base_params;
    return dtr_chain_open(&chain, log, threads, device, devices, &kernels->base_chain, error);
}

int dtr_kernels_open(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                     uint32_t device, const struct dtr_log *log, struct dtr_kernels **kernels_p,
                     struct dtr_error *error) {
    const uint32_t threads = experiment->device[device].threads;
    struct dtr_kernels *kernels = calloc(1, sizeof *kernels);
    if (!kernels)
        return dtr_fail_memory(error);
    kernels->dtype = (uint32_t)experiment->device[device].dtype;
    kernels->log = log;
    struct dtr_chain chain;
    int status = dtr_experiment_chain(experiment, DTR_KERNEL, device, &chain, error);
    if (!status)
        status =
            open_base(&chain, plugins, threads, device, experiment->devices, log, kernels, error);
    if (!status)
        status = dtr_chain_open(&chain, log, threads, device, experiment->devices, &kernels->chain,
                                error);
    if (status) {
        dtr_kernels_close(kernels);
        return status;
    }
    kernels->top = dtr_chain_top(kernels->chain);
    kernels->base = dtr_chain_top(kernels->base_chain);
    *kernels_p = kernels;
    return DTR_OK;
}

static void weight_free(struct dtr_weight *weight) {
    if (!weight)
        return;
    if (weight->packed)
        ops_of(weight->instance)->unprepare(weight->instance->self, weight->packed);
    free(weight->gamma);
    free(weight);
}

void dtr_kernels_close(struct dtr_kernels *kernels) {
    if (!kernels)
        return;
    for (size_t i = 0; i < kernels->count; i++)
        weight_free(kernels->weights[i]);
    free(kernels->weights);
    dtr_chain_close(kernels->chain);
    dtr_chain_close(kernels->base_chain);
    if (kernels->base_params)
        dtr_params_free(kernels->base_plugin, kernels->base_params);
    free(kernels);
}

void dtr_kernels_threads(const struct dtr_kernels *kernels, dtr_thread_visit *visit, void *arg) {
    dtr_chain_threads(kernels->base_chain, visit, arg);
    dtr_chain_threads(kernels->chain, visit, arg);
}

const char *dtr_kernels_name(const struct dtr_kernels *kernels) {
    return kernels->top->plugin->name;
}

uint64_t dtr_kernels_bytes(const struct dtr_kernels *kernels) {
    return kernels->bytes;
}

struct dtr_weight_sum dtr_kernels_sum(const struct dtr_kernels *kernels, uint32_t dtype) {
    struct dtr_weight_sum sum = {0};
    for (size_t i = 0; i < kernels->count; i++) {
        const struct dtr_weight *weight = kernels->weights[i];
        if (!weight->packed || weight->dtype != dtype)
            continue;
        sum.weights++;
        sum.numbers += (uint64_t)weight->in * weight->out;
        sum.bytes += weight->bytes;
    }
    return sum;
}

/* --- what a weight is made of ----------------------------------------------------------------- */

/* Rectangles of the model's tensors, below each other. */
struct recipe {
    uint32_t pieces;
    enum dtr_tensor_kind weight[3], bias[3];
    struct dtr_range rows, columns; /* of each piece */
    bool has_bias;
    uint32_t activation;
    bool norm; /* weight[0] and bias[0] are gamma and beta */
};

static void from_heads(struct recipe *recipe, const struct dtr_weight_key *key,
                       uint32_t head_size) {
    static const enum dtr_tensor_kind weights[] = {DTR_TENSOR_QUERY_WEIGHT, DTR_TENSOR_KEY_WEIGHT,
                                                   DTR_TENSOR_VALUE_WEIGHT};
    static const enum dtr_tensor_kind biases[] = {DTR_TENSOR_QUERY_BIAS, DTR_TENSOR_KEY_BIAS,
                                                  DTR_TENSOR_VALUE_BIAS};
    const uint32_t first = key->kind == DTR_WEIGHT_KEY_VALUE;
    const uint32_t last = key->kind == DTR_WEIGHT_QUERY ? 1 : 3;
    for (uint32_t i = first; i < last; i++) {
        recipe->weight[recipe->pieces] = weights[i];
        recipe->bias[recipe->pieces++] = biases[i];
    }
    recipe->rows = (struct dtr_range){key->part.begin * head_size, key->part.end * head_size};
}

static void whole(struct recipe *recipe, enum dtr_tensor_kind weight, enum dtr_tensor_kind bias) {
    recipe->pieces = 1;
    recipe->weight[0] = weight;
    recipe->bias[0] = bias;
}

static void norm(struct recipe *recipe, const struct dtr_weight_key *key,
                 enum dtr_tensor_kind gamma, enum dtr_tensor_kind beta) {
    whole(recipe, gamma, beta);
    recipe->norm = true;
    recipe->columns = key->part;
}

/* Rows and columns that are left empty mean all. */
static struct recipe recipe_of(const struct dtr_model *model, const struct dtr_weight_key *key) {
    struct recipe recipe = {.has_bias = true};
    const uint32_t head_size = model->head_size;
    switch ((enum dtr_weight_kind)key->kind) {
    case DTR_WEIGHT_QUERY_KEY_VALUE:
    case DTR_WEIGHT_QUERY:
    case DTR_WEIGHT_KEY_VALUE:
        from_heads(&recipe, key, head_size);
        break;
    case DTR_WEIGHT_PROJECTION:
        whole(&recipe, DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT, DTR_TENSOR_ATTENTION_OUTPUT_BIAS);
        recipe.columns = (struct dtr_range){key->part.begin * head_size, key->part.end * head_size};
        /* Partial sums are added up: the bias comes with the first part only. */
        recipe.has_bias = key->part.begin == 0;
        break;
    case DTR_WEIGHT_FEED_FORWARD_1:
        whole(&recipe, DTR_TENSOR_INTERMEDIATE_WEIGHT, DTR_TENSOR_INTERMEDIATE_BIAS);
        recipe.rows = key->part;
        recipe.activation = model->activation;
        break;
    case DTR_WEIGHT_FEED_FORWARD_2:
        whole(&recipe, DTR_TENSOR_OUTPUT_WEIGHT, DTR_TENSOR_OUTPUT_BIAS);
        recipe.columns = key->part;
        recipe.has_bias = key->part.begin == 0;
        break;
    case DTR_WEIGHT_ATTENTION_NORM:
        norm(&recipe, key, DTR_TENSOR_ATTENTION_NORM_WEIGHT, DTR_TENSOR_ATTENTION_NORM_BIAS);
        break;
    case DTR_WEIGHT_OUTPUT_NORM:
        norm(&recipe, key, DTR_TENSOR_OUTPUT_NORM_WEIGHT, DTR_TENSOR_OUTPUT_NORM_BIAS);
        break;
    case DTR_WEIGHT_POOLER:
        whole(&recipe, DTR_TENSOR_POOLER_WEIGHT, DTR_TENSOR_POOLER_BIAS);
        recipe.activation = DTR_ACT_TANH;
        break;
    case DTR_WEIGHT_CLASSIFIER:
        whole(&recipe, DTR_TENSOR_CLASSIFIER_WEIGHT, DTR_TENSOR_CLASSIFIER_BIAS);
        break;
    case DTR_WEIGHT_PREDICTION_DENSE:
        whole(&recipe, DTR_TENSOR_PREDICTION_DENSE_WEIGHT, DTR_TENSOR_PREDICTION_DENSE_BIAS);
        recipe.activation = model->activation;
        break;
    case DTR_WEIGHT_PREDICTION_NORM:
        norm(&recipe, key, DTR_TENSOR_PREDICTION_NORM_WEIGHT, DTR_TENSOR_PREDICTION_NORM_BIAS);
        break;
    case DTR_WEIGHT_PREDICTION_DECODER:
        whole(&recipe, DTR_TENSOR_PREDICTION_DECODER_WEIGHT, DTR_TENSOR_PREDICTION_DECODER_BIAS);
        break;
    case DTR_WEIGHT_ANSWER:
        whole(&recipe, DTR_TENSOR_ANSWER_WEIGHT, DTR_TENSOR_ANSWER_BIAS);
        break;
    }
    return recipe;
}

/* --- preparing -------------------------------------------------------------------------------- */

static struct dtr_tensor_id tensor_of(const struct dtr_weight_key *key, enum dtr_tensor_kind kind) {
    return (struct dtr_tensor_id){kind, key->layer, key->division};
}

static int prepare_norm(const struct dtr_model *model, const struct recipe *recipe,
                        struct dtr_weight *weight, struct dtr_error *error) {
    const struct dtr_weight_key *key = &weight->key;
    const uint32_t columns = dtr_range_count(key->part);
    weight->gamma = malloc(2 * (size_t)columns * sizeof *weight->gamma);
    if (!weight->gamma)
        return dtr_fail_memory(error);
    weight->beta = weight->gamma + columns;
    weight->bytes = 2 * (uint64_t)columns * sizeof *weight->gamma;
    dtr_model_read(model, tensor_of(key, recipe->weight[0]), 0, 1, key->part.begin, columns,
                   weight->gamma, columns);
    dtr_model_read(model, tensor_of(key, recipe->bias[0]), 0, 1, key->part.begin, columns,
                   weight->beta, columns);
    return DTR_OK;
}

/* Who runs the layer: the plugin where it can, else the reference. */
static const struct dtr_instance *who_runs(const struct dtr_kernels *kernels,
                                           const struct dtr_linear *linear) {
    const struct dtr_op_shape shape = {.size = sizeof shape, .op = DTR_OP_LINEAR, .linear = linear};
    const struct dtr_instance *top = kernels->top;
    return ops_of(top)->supports(top->self, &shape) > 0 ? top : kernels->base;
}

static const struct dtr_instance *choose(struct dtr_kernels *kernels,
                                         const struct dtr_linear *linear) {
    const struct dtr_instance *instance = who_runs(kernels, linear);
    if (instance == kernels->base && !kernels->told) {
        dtr_log(kernels->log, DTR_LOG_WARN,
                "the kernel '%s' has no %s product of %u x %u%s here; 'reference' does it, slowly",
                dtr_kernels_name(kernels), dtr_dtype_name(linear->dtype), linear->out, linear->in,
                linear->activation ? " with an activation" : "");
        kernels->told = true;
    }
    return instance;
}

/* What is left open in the recipe is the whole tensor. */
static int shape_linear(const struct dtr_kernels *kernels, const struct dtr_model *model,
                        const struct dtr_weight_key *key, struct recipe *recipe, uint32_t rows_max,
                        struct dtr_linear *linear, struct dtr_error *error) {
    uint32_t rows, columns;
    if (!dtr_model_tensor_shape(model, tensor_of(key, recipe->weight[0]), &rows, &columns))
        return dtr_fail(error, DTR_E_CONFIG, "the model has no %s weight",
                        dtr_weight_kind_name(key->kind));
    if (dtr_range_empty(recipe->rows))
        recipe->rows = (struct dtr_range){0, rows};
    if (dtr_range_empty(recipe->columns))
        recipe->columns = (struct dtr_range){0, columns};
    *linear = (struct dtr_linear){
        .size = sizeof *linear,
        .out = dtr_range_count(recipe->rows) * recipe->pieces,
        .in = dtr_range_count(recipe->columns),
        .rows_max = rows_max,
        .dtype = key->layer < model->shape.layers ? kernels->dtype : DTR_F32,
        .activation = recipe->activation,
    };
    return DTR_OK;
}

static int pack(struct dtr_kernels *kernels, const struct dtr_model *model,
                const struct recipe *recipe, const struct dtr_linear *linear,
                struct dtr_weight *weight, struct dtr_error *error) {
    const struct dtr_weight_key *key = &weight->key;
    const uint32_t rows = dtr_range_count(recipe->rows), columns = linear->in;
    float *matrix = malloc(((size_t)linear->out * linear->in + linear->out) * sizeof *matrix);
    if (!matrix)
        return dtr_fail_memory(error);
    float *bias = matrix + (size_t)linear->out * linear->in;
    for (uint32_t i = 0; i < recipe->pieces; i++) {
        dtr_model_read(model, tensor_of(key, recipe->weight[i]), recipe->rows.begin, rows,
                       recipe->columns.begin, columns, matrix + (size_t)i * rows * columns,
                       columns);
        if (recipe->has_bias)
            dtr_model_read(model, tensor_of(key, recipe->bias[i]), 0, 1, recipe->rows.begin, rows,
                           bias + (size_t)i * rows, rows);
    }
    weight->out = linear->out;
    weight->in = linear->in;
    weight->dtype = linear->dtype;
    weight->instance = choose(kernels, linear);
    const struct dtr_kernel_ops *ops = ops_of(weight->instance);
    const int status = ops->prepare(weight->instance->self, linear, matrix, columns,
                                    recipe->has_bias ? bias : NULL, &weight->packed, error);
    if (!status)
        weight->bytes = ops->packed_bytes(weight->instance->self, weight->packed);
    free(matrix);
    return status;
}

static int prepare_linear(struct dtr_kernels *kernels, const struct dtr_model *model,
                          struct recipe *recipe, uint32_t rows_max, struct dtr_weight *weight,
                          struct dtr_error *error) {
    struct dtr_linear linear;
    const int status = shape_linear(kernels, model, &weight->key, recipe, rows_max, &linear, error);
    return status ? status : pack(kernels, model, recipe, &linear, weight, error);
}

uint64_t dtr_kernels_foretell(const struct dtr_kernels *kernels, const struct dtr_model *model,
                              const struct dtr_weight_key *key, uint32_t rows_max) {
    struct recipe recipe = recipe_of(model, key);
    struct dtr_linear linear;
    struct dtr_error ignored = {0};
    if (recipe.norm || shape_linear(kernels, model, key, &recipe, rows_max, &linear, &ignored))
        return 0;
    const struct dtr_instance *instance = who_runs(kernels, &linear);
    const struct dtr_kernel_ops *ops = ops_of(instance);
    return DTR_HAS(ops, struct dtr_kernel_ops, prepared_bytes)
               ? ops->prepared_bytes(instance->self, &linear, recipe.has_bias)
               : 0;
}

static int add_weight(struct dtr_kernels *kernels, struct dtr_weight *weight,
                      struct dtr_error *error) {
    if (kernels->count == kernels->capacity) {
        const size_t capacity = kernels->capacity ? kernels->capacity * 2 : 64;
        struct dtr_weight **larger = realloc(kernels->weights, capacity * sizeof *kernels->weights);
        if (!larger)
            return dtr_fail_memory(error);
        kernels->weights = larger;
        kernels->capacity = capacity;
    }
    kernels->weights[kernels->count++] = weight;
    kernels->bytes += weight->bytes;
    return DTR_OK;
}

int dtr_kernels_prepare(struct dtr_kernels *kernels, const struct dtr_model *model,
                        const struct dtr_weight_key *key, uint32_t rows_max,
                        struct dtr_error *error) {
    if (dtr_kernels_weight(kernels, key))
        return DTR_OK;
    struct dtr_weight *weight = calloc(1, sizeof *weight);
    if (!weight)
        return dtr_fail_memory(error);
    weight->key = *key;
    struct recipe recipe = recipe_of(model, key);
    int status = recipe.norm ? prepare_norm(model, &recipe, weight, error)
                             : prepare_linear(kernels, model, &recipe, rows_max, weight, error);
    if (!status)
        status = add_weight(kernels, weight, error);
    if (status)
        weight_free(weight);
    return status;
}

static struct dtr_weight *find_weight(const struct dtr_kernels *kernels,
                                      const struct dtr_weight_key *key) {
    for (size_t i = 0; i < kernels->count; i++) {
        const struct dtr_weight_key *known = &kernels->weights[i]->key;
        if (known->kind == key->kind && known->layer == key->layer &&
            known->division == key->division && known->part.begin == key->part.begin &&
            known->part.end == key->part.end)
            return kernels->weights[i];
    }
    return NULL;
}

const struct dtr_weight *dtr_kernels_weight(const struct dtr_kernels *kernels,
                                            const struct dtr_weight_key *key) {
    return find_weight(kernels, key);
}

void dtr_kernels_unmark(struct dtr_kernels *kernels) {
    for (size_t i = 0; i < kernels->count; i++)
        kernels->weights[i]->marked = false;
}

void dtr_kernels_mark(struct dtr_kernels *kernels, const struct dtr_weight_key *key) {
    struct dtr_weight *weight = find_weight(kernels, key);
    if (weight)
        weight->marked = true;
}

void dtr_kernels_sweep(struct dtr_kernels *kernels) {
    size_t kept = 0;
    for (size_t i = 0; i < kernels->count; i++) {
        struct dtr_weight *weight = kernels->weights[i];
        if (weight->marked) {
            kernels->weights[kept++] = weight;
            continue;
        }
        kernels->bytes -= weight->bytes;
        weight_free(weight);
    }
    kernels->count = kept;
}

/* --- operations ------------------------------------------------------------------------------- */

int dtr_kernels_linear(struct dtr_kernels *kernels, const struct dtr_weight *weight, uint32_t rows,
                       const float *x, size_t x_stride, float *y, size_t y_stride, uint32_t flags) {
    (void)kernels;
    const struct dtr_instance *instance = weight->instance;
    return ops_of(instance)->linear(instance->self, weight->packed, rows, x, x_stride, y, y_stride,
                                    flags);
}

static const struct dtr_instance *for_norm(const struct dtr_kernels *kernels, enum dtr_op op,
                                           uint32_t columns) {
    const struct dtr_op_shape shape = {.size = sizeof shape, .op = op, .columns = columns};
    const struct dtr_instance *top = kernels->top;
    return ops_of(top)->supports(top->self, &shape) > 0 ? top : kernels->base;
}

int dtr_kernels_attention(struct dtr_kernels *kernels, const struct dtr_attention *attention) {
    struct dtr_attention typed = *attention;
    typed.dtype = kernels->dtype;
    const struct dtr_op_shape shape = {
        .size = sizeof shape,
        .op = DTR_OP_ATTENTION,
        .heads = attention->heads,
        .head_size = attention->head_size,
    };
    const struct dtr_instance *top = kernels->top;
    const struct dtr_instance *instance =
        ops_of(top)->supports(top->self, &shape) > 0 ? top : kernels->base;
    return ops_of(instance)->attention(instance->self, &typed);
}

int dtr_kernels_add_norm(struct dtr_kernels *kernels, const struct dtr_norm *norm) {
    const struct dtr_instance *instance = for_norm(kernels, DTR_OP_ADD_NORM, norm->columns);
    return ops_of(instance)->add_norm(instance->self, norm);
}

int dtr_kernels_moments(struct dtr_kernels *kernels, const struct dtr_norm *norm) {
    const struct dtr_instance *instance = for_norm(kernels, DTR_OP_MOMENTS, norm->columns);
    return ops_of(instance)->moments(instance->self, norm);
}

int dtr_kernels_normalise(struct dtr_kernels *kernels, const struct dtr_norm *norm) {
    const struct dtr_instance *instance = for_norm(kernels, DTR_OP_NORMALISE, norm->columns);
    return ops_of(instance)->normalise(instance->self, norm);
}

bool dtr_kernels_lateness(struct dtr_kernels *kernels, uint64_t *late_ns_p, uint64_t *due_ns_p) {
    const struct dtr_instance *const clocks[] = {kernels->top, kernels->base};
    bool any = false;
    *late_ns_p = *due_ns_p = 0;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        const struct dtr_kernel_ops *ops = ops_of(clocks[i]);
        uint64_t late, due;
        if (!DTR_HAS(ops, struct dtr_kernel_ops, lateness))
            continue;
        ops->lateness(clocks[i]->self, &late, &due);
        *late_ns_p += late;
        *due_ns_p += due;
        any = true;
    }
    return any;
}

/* --- trials ----------------------------------------------------------------------------------- */

int dtr_kernels_try(struct dtr_kernels *kernels, uint32_t out, uint32_t in, uint32_t rows,
                    void **trial_p, struct dtr_error *error) {
    const size_t values = (size_t)out * in;
    struct dtr_weight *weight = calloc(1, sizeof *weight);
    float *matrix = malloc(values * sizeof *matrix);
    if (!weight || !matrix) {
        free(weight);
        free(matrix);
        return dtr_fail_memory(error);
    }
    for (size_t i = 0; i < values; i++)
        matrix[i] = (float)(i % 13) * 0.01f - 0.06f;
    const struct dtr_linear linear = {
        .size = sizeof linear,
        .out = out,
        .in = in,
        .rows_max = rows,
        .dtype = kernels->dtype,
    };
    weight->instance = choose(kernels, &linear);
    const int status =
        ops_of(weight->instance)
            ->prepare(weight->instance->self, &linear, matrix, in, NULL, &weight->packed, error);
    free(matrix);
    if (status)
        weight_free(weight);
    else
        *trial_p = weight;
    return status;
}

int dtr_kernels_try_linear(struct dtr_kernels *kernels, void *trial, uint32_t rows, const float *x,
                           size_t x_stride, float *y, size_t y_stride) {
    return dtr_kernels_linear(kernels, trial, rows, x, x_stride, y, y_stride, 0);
}

void dtr_kernels_untry(struct dtr_kernels *kernels, void *trial) {
    (void)kernels;
    weight_free(trial);
}

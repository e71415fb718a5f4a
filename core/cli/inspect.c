/* SPDX-License-Identifier: MIT
 *
 * inspect.c -- `detransformer inspect MODEL`: what a model is, and what each of several devices
 * would hold of it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "config/experiment.h"
#include "model/model.h"
#include "model/weights.h"
#include "plan/account.h"
#include "plan/lower.h"
#include "plan/plan.h"
#include "plan/strategy.h"

static const struct dtr_option options[] = {
    {"devices", "N", "over how many devices to spread it; default: D, or 4", false},
    {"tensors", NULL, "list the tensors of the files", false},
    {NULL, NULL, NULL, false},
};

/* --- finding the files ------------------------------------------------------------------------ */

struct files {
    char *config, *weights; /* weights NULL: there are none */
};

static void files_free(struct files *files) {
    free(files->config);
    free(files->weights);
}

static bool ends_with(const char *text, const char *end) {
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

static char *join(const char *folder, size_t length, const char *name) {
    char *path = NULL;
    const char *slash = length && folder[length - 1] != '/' ? "/" : "";
    return asprintf(&path, "%.*s%s%s", (int)length, folder, slash, name) < 0 ? NULL : path;
}

static int is_safetensors(const struct dirent *entry) {
    return ends_with(entry->d_name, ".safetensors");
}

/* The one file with weights that has no usual name.  No file at all is no error. */
static int find_single(const char *folder, char **weights_p, struct dtr_error *error) {
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, is_safetensors, alphasort);
    if (count < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be read: %s", folder, strerror(errno));
    int status = DTR_OK;
    if (count == 1 && !(*weights_p = join(folder, strlen(folder), entries[0]->d_name)))
        status = dtr_fail_memory(error);
    else if (count > 1)
        status = dtr_fail(error, DTR_E_CONFIG, "%s: holds %d .safetensors files; name one of them",
                          folder, count);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return status;
}

static int find_in_folder(const char *folder, struct files *files, struct dtr_error *error) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    files->config = join(folder, strlen(folder), "config.json");
    if (!files->config)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = join(folder, strlen(folder), names[i]);
        if (!path)
            return dtr_fail_memory(error);
        if (!access(path, F_OK)) {
            files->weights = path;
            return DTR_OK;
        }
        free(path);
    }
    return find_single(folder, &files->weights, error);
}

/* A folder, a config.json, or a file with weights that has its config.json beside it. */
static int find_files(const char *path, struct files *files, struct dtr_error *error) {
    struct stat status;
    if (stat(path, &status))
        return dtr_fail(error, DTR_E_CONFIG, "%s: cannot be opened: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return find_in_folder(path, files, error);
    if (ends_with(path, ".json") && !ends_with(path, ".index.json")) {
        files->config = strdup(path);
        return files->config ? DTR_OK : dtr_fail_memory(error);
    }
    const char *slash = strrchr(path, '/');
    files->weights = strdup(path);
    files->config = join(path, slash ? (size_t)(slash - path) : 0, "config.json");
    return files->weights && files->config ? DTR_OK : dtr_fail_memory(error);
}

/* --- the model -------------------------------------------------------------------------------- */

/* "12.3 MiB"; returns `out`. */
static const char *bytes_text(uint64_t bytes, char out[static 24]) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(out, 24, "%u bytes", (unsigned)bytes);
        return out;
    }
    while (size >= 1024 && unit < 3) {
        size /= 1024;
        unit++;
    }
    snprintf(out, 24, "%.1f %s", size, units[unit]);
    return out;
}

static void print_structure(const struct dtr_model *model) {
    const struct dtr_model_shape *shape = &model->shape;
    const char *gelu = model->activation == DTR_ACT_GELU ? "erf" : "tanh";
    printf("hidden size  %u, %u heads of %u, feed-forward %u, GELU (%s), epsilon %g\n",
           shape->hidden, shape->heads, model->head_size, shape->intermediate, gelu,
           (double)model->norm_epsilon);
    if (!shape->divisions) {
        printf("structure    plain: %u original layers\n", shape->layers);
        return;
    }
    printf("structure    decoupled: D = %u divisions, G = %u groups of %u layers: %u decoupled, "
           "then 1 original\n",
           shape->divisions, shape->groups, shape->group_layers, shape->group_layers - 1);
    printf("sub-blocks   %s-width: %u columns, %u heads of %u, feed-forward %u\n",
           model->split_width ? "split" : "full", shape->hidden / shape->divisions,
           shape->sub_heads, shape->sub_attention / shape->sub_heads, shape->sub_intermediate);
}

static bool has_embeddings(const struct dtr_model *model) {
    uint32_t rows, columns;
    for (int kind = 0; kind <= DTR_TENSOR_EMBEDDINGS_NORM_BIAS; kind++)
        if (!dtr_model_tensor_shape(
                model, (struct dtr_tensor_id){.kind = (enum dtr_tensor_kind)kind}, &rows, &columns))
            return false;
    return true;
}

static void print_labels(const struct dtr_model *model) {
    enum { SHOWN = 5 };
    printf(" (");
    for (uint32_t i = 0; i < model->labels && i < SHOWN; i++)
        printf("%s%s", i ? ", " : "", model->label[i]);
    if (model->labels > SHOWN)
        printf(", and %u more", model->labels - SHOWN);
    putchar(')');
}

static void print_tasks(const struct dtr_model *model) {
    static const char *const tasks[] = {
        [DTR_TASK_ENCODE] = "encode",
        [DTR_TASK_CLASSIFY] = "classify",
        [DTR_TASK_FILL_MASK] = "fill-mask",
        [DTR_TASK_ANSWER] = "answer",
    };
    if (has_embeddings(model))
        printf("input        text: %u tokens known, %u positions, %u types\n", model->vocabulary,
               model->positions, model->types);
    else
        puts("input        hidden states only: there are no embedding tables");
    printf("tasks        ");
    for (int task = 0; task < (int)(sizeof tasks / sizeof *tasks); task++) {
        if (!dtr_model_has_task(model, task))
            continue;
        printf("%s%s", task ? ", " : "", tasks[task]);
        if (task == DTR_TASK_CLASSIFY)
            print_labels(model);
    }
    putchar('\n');
}

/* The numbers in the layers' matrices, which are what `[kernel] dtype` narrows. */
static uint64_t matrix_numbers(const struct dtr_model *model) {
    static const enum dtr_tensor_kind kinds[] = {
        DTR_TENSOR_QUERY_WEIGHT,        DTR_TENSOR_KEY_WEIGHT,
        DTR_TENSOR_VALUE_WEIGHT,        DTR_TENSOR_ATTENTION_OUTPUT_WEIGHT,
        DTR_TENSOR_INTERMEDIATE_WEIGHT, DTR_TENSOR_OUTPUT_WEIGHT};
    uint64_t numbers = 0;
    for (uint32_t layer = 0; layer < model->shape.layers; layer++) {
        const bool whole = dtr_model_layer_is_original(model, layer);
        const int32_t end = whole ? 0 : (int32_t)model->shape.divisions;
        for (int32_t division = whole ? -1 : 0; division < end; division++)
            for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
                const struct dtr_tensor_id id = {kinds[i], layer, division};
                uint32_t rows, columns;
                if (dtr_model_tensor_shape(model, id, &rows, &columns))
                    numbers += (uint64_t)rows * columns;
            }
    }
    return numbers;
}

static void print_matrices(const struct dtr_model *model) {
    const uint64_t numbers = matrix_numbers(model);
    char f32[24], bf16[24], int8[24];
    printf("matrices     %llu numbers in the layers: %s in f32, %s in bf16, %s in int8\n",
           (unsigned long long)numbers, bytes_text(4 * numbers, f32), bytes_text(2 * numbers, bf16),
           bytes_text(numbers, int8));
}

static void print_weights(const struct dtr_model *model, const struct files *files) {
    char text[24];
    const struct dtr_checkpoint *checkpoint = model->weights->checkpoint;
    printf("parameters   %llu", (unsigned long long)model->parameters);
    if (!checkpoint) {
        printf("; %s as f32\nweights      none here; they would be random\n",
               bytes_text(model->parameters * sizeof(float), text));
        return;
    }
    uint64_t bytes[DTR_STORED_TYPES] = {0};
    for (size_t i = 0; i < checkpoint->count; i++)
        bytes[checkpoint->entry[i].tensor->type] += checkpoint->entry[i].tensor->bytes;
    printf("\nweights      %s: %zu tensors in %zu file%s", files->weights, checkpoint->count,
           checkpoint->files, checkpoint->files == 1 ? "" : "s");
    for (enum dtr_stored_type type = 0; type < DTR_STORED_TYPES; type++)
        if (bytes[type])
            printf(", %s %s", bytes_text(bytes[type], text), dtr_stored_type_name(type));
    printf("\ndigest       ");
    for (size_t i = 0; i < sizeof model->digest; i++)
        printf("%02x", model->digest[i]);
    putchar('\n');
}

static void print_tensors(const struct dtr_checkpoint *checkpoint) {
    printf("%-5s %-20s %12s  %s\n", "type", "shape", "bytes", "name");
    for (size_t i = 0; i < checkpoint->count; i++) {
        const struct dtr_stored_tensor *tensor = checkpoint->entry[i].tensor;
        char shape[100];
        printf("%-5s %-20s %12llu  %s\n", dtr_stored_type_name(tensor->type),
               dtr_stored_shape_text(tensor, shape, sizeof shape),
               (unsigned long long)tensor->bytes, tensor->name);
    }
}

/* --- what devices would hold ------------------------------------------------------------------ */

/* What one device holds of the layers when `strategy` runs all of them, read off its schedule. */
static int weigh(const struct dtr_model *model, struct dtr_plan *plan, uint32_t strategy,
                 uint32_t device, uint64_t *bytes_p, struct dtr_error *error) {
    const uint32_t length = 4 * plan->devices; /* so that each has tokens */
    memset(plan->open, 0, plan->strategies);
    plan->open[strategy] = 1;
    for (uint32_t i = 0; i < plan->groups; i++)
        plan->strategy[i] = strategy;
    const struct dtr_lowering lowering = {
        .model = &model->shape,
        .plan = plan,
        .device = device,
        .sequences = 1,
        .lengths = &length,
        .wire = DTR_F32,
    };
    struct dtr_schedule *schedule;
    const int status = dtr_lower(&lowering, &schedule, error);
    if (status)
        return status;
    struct dtr_account account;
    dtr_account_schedule(schedule, &model->shape, NULL, &account);
    dtr_schedule_free(schedule);
    *bytes_p = account.weight_bytes;
    return DTR_OK;
}

static int print_device(const struct dtr_model *model, struct dtr_plan *plan, uint32_t device,
                        struct dtr_error *error) {
    printf("%-6u", device);
    for (uint32_t i = 0; i < plan->strategies; i++) {
        uint64_t bytes;
        char text[24];
        if (dtr_strategy_at(i)->decoupled && !plan->divisions)
            continue;
        const int status = weigh(model, plan, i, device, &bytes, error);
        if (status)
            return status;
        printf(" %11s", bytes ? bytes_text(bytes, text) : "-");
    }
    const char *separator = "  ";
    for (uint32_t i = 0; i < plan->divisions; i++)
        if (dtr_plan_holds(plan, i, device)) {
            printf("%s%u", separator, i);
            separator = " ";
        }
    putchar('\n');
    return DTR_OK;
}

static int print_placement(const struct dtr_model *model, uint32_t devices,
                           struct dtr_error *error) {
    struct dtr_device_info *info = calloc(devices, sizeof *info);
    struct dtr_plan *plan = dtr_plan_create(&model->shape, devices, dtr_strategy_count(), error);
    int status = info && plan ? DTR_OK : dtr_fail_memory(error);
    for (uint32_t i = 0; !status && i < devices; i++)
        info[i] = (struct dtr_device_info){.size = sizeof *info, .share = 1.0};
    if (!status)
        status = dtr_plan_place(plan, info, sizeof *info, error);
    if (!status) {
        printf("\nWeights of the layers on each of %u equal devices, as f32, by strategy:\n%-6s",
               devices, "device");
        for (uint32_t i = 0; i < plan->strategies; i++)
            if (plan->divisions || !dtr_strategy_at(i)->decoupled)
                printf(" %11s", dtr_strategy_at(i)->name);
        puts(plan->divisions ? "  divisions" : "");
    }
    for (uint32_t i = 0; !status && i < devices; i++)
        status = print_device(model, plan, i, error);
    dtr_plan_free(plan);
    free(info);
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

static int inspect_model(const struct files *files, uint32_t devices, struct dtr_error *error) {
    const struct dtr_model_source source = {
        .config = files->config, .weights = files->weights, .attention = -1};
    struct dtr_model *model;
    int status = dtr_model_open(&source, &model, error);
    if (status)
        return status;
    printf("config       %s\n", files->config);
    print_structure(model);
    print_tasks(model);
    print_weights(model, files);
    print_matrices(model);
    if (!devices)
        devices = model->shape.divisions ? model->shape.divisions : 4;
    status = print_placement(model, devices, error);
    dtr_model_close(model);
    return status;
}

static int inspect_tensors(const char *weights, struct dtr_error *error) {
    struct dtr_checkpoint *checkpoint;
    if (!weights)
        return dtr_fail(error, DTR_E_CONFIG, "there is no file with weights to list");
    const int status = dtr_checkpoint_open(weights, &checkpoint, error);
    if (status)
        return status;
    print_tensors(checkpoint);
    dtr_checkpoint_close(checkpoint);
    return DTR_OK;
}

static int parse_devices(const char *text, uint32_t *devices_p, struct dtr_error *error) {
    enum { MOST = 1024 };
    char *end;
    const unsigned long devices = text ? strtoul(text, &end, 10) : 0;
    *devices_p = (uint32_t)devices;
    if (!text || (text[0] >= '1' && text[0] <= '9' && !*end && devices <= MOST))
        return DTR_OK;
    return dtr_fail(error, DTR_E_CONFIG, "--devices must be a number from 1 to %d", MOST);
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    (void)cli;
    struct dtr_error error = {0};
    struct files files = {0};
    uint32_t devices;
    const bool tensors = dtr_argument(&dtr_command_inspect, arguments, "tensors") != NULL;
    int status =
        parse_devices(dtr_argument(&dtr_command_inspect, arguments, "devices"), &devices, &error);
    if (!status)
        status = find_files(arguments->operands[0], &files, &error);
    if (!status)
        status = tensors ? inspect_tensors(files.weights, &error)
                         : inspect_model(&files, devices, &error);
    files_free(&files);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_inspect = {
    .name = "inspect",
    .summary = "show what a model is, and what each device would hold of it",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .help = "MODEL is a folder with config.json and weights, a config.json alone, or a\n"
            ".safetensors file (or its .index.json) with config.json beside it.  All of the\n"
            "files is checked as a run would.",
    .run = run,
};

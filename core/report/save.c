/* SPDX-License-Identifier: MIT
 *
 * save.c -- what a run leaves behind in files.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "model/safetensors.h"
#include "report/report.h"
#include "run/planning.h"

int dtr_report_make_folder(const char *path, struct dtr_error *error) {
    char *copy = strdup(path);
    if (!copy)
        return dtr_fail_memory(error);
    int failure = 0;
    for (char *at = copy + 1; !failure; at++) {
        const char was = *at;
        if (was != '/' && was)
            continue;
        *at = '\0';
        if (mkdir(copy, 0777) && errno != EEXIST)
            failure = errno;
        *at = was;
        if (!was)
            break;
    }
    struct stat status;
    if (!failure && (stat(copy, &status) || !S_ISDIR(status.st_mode)))
        failure = ENOTDIR;
    free(copy);
    return failure ? dtr_fail(error, DTR_E_CONFIG, "%s: the folder cannot be made: %s", path,
                              strerror(failure))
                   : DTR_OK;
}

/* Why nothing could be created in the folder that the path is in, or 0. */
static int folder_failure(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    const int failure = !folder ? ENOMEM : access(folder, W_OK | X_OK) ? errno : 0;
    free(folder);
    return failure;
}

int dtr_report_check_file(const char *path, bool replaced, struct dtr_error *error) {
    struct stat status;
    const bool exists = stat(path, &status) == 0;
    int failure = 0;
    if (!exists && errno != ENOENT)
        failure = errno;
    else if (exists && S_ISDIR(status.st_mode))
        failure = EISDIR;
    else if (exists && replaced && !S_ISREG(status.st_mode))
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not a regular file", path);
    else if (!exists || replaced)
        failure = folder_failure(path);
    else if (access(path, W_OK))
        failure = errno;
    return failure
               ? dtr_fail(error, DTR_E_CONFIG, "%s: cannot be written: %s", path, strerror(failure))
               : DTR_OK;
}

static FILE *create(const char *folder, const char *name, char **path_p, struct dtr_error *error) {
    if (asprintf(path_p, "%s%s%s", folder ? folder : "", folder ? "/" : "", name) < 0) {
        *path_p = NULL;
        dtr_fail_memory(error);
        return NULL;
    }
    FILE *file = fopen(*path_p, "w");
    if (!file)
        dtr_fail(error, DTR_E_SYSTEM, "%s: %s", *path_p, strerror(errno));
    return file;
}

/* Closes the file and frees its path; a write that failed shows at the latest here. */
static int finish(FILE *file, char *path, struct dtr_error *error) {
    int status = DTR_OK;
    if (!dtr_file_close(file))
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    free(path);
    return status;
}

static int write_text(const char *folder, const char *name, const char *text,
                      struct dtr_error *error) {
    char *path;
    FILE *file = create(folder, name, &path, error);
    if (!file) {
        free(path);
        return error->status;
    }
    fputs(text, file);
    return finish(file, path, error);
}

int dtr_report_write_json(const char *path, const cJSON *json, struct dtr_error *error) {
    char *text = cJSON_Print(json);
    if (!text)
        return dtr_fail_memory(error);
    int status = DTR_OK;
    if (strcmp(path, "-") == 0)
        puts(text);
    else
        status = write_text(NULL, path, text, error);
    cJSON_free(text);
    return status;
}

/* As a shell reads it back. */
static void write_word(FILE *file, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";
    if (*word && !word[strspn(word, plain)]) {
        fputs(word, file);
        return;
    }
    putc('\'', file);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", file);
        else
            putc(*word, file);
    putc('\'', file);
}

static int write_command(const char *folder, int argc, char *const *argv, struct dtr_error *error) {
    char *path, cpu[200];
    struct utsname system;
    FILE *file = create(folder, "command.txt", &path, error);
    if (!file) {
        free(path);
        return error->status;
    }
    for (int i = 0; i < argc; i++) {
        if (i)
            putc(' ', file);
        write_word(file, argv[i]);
    }
    dtr_planning_cpu(cpu, sizeof cpu);
    fprintf(file, "\n%s\ncpu %s\n", PACKAGE_STRING, cpu);
    if (uname(&system) == 0)
        fprintf(file, "system %s %s %s\n", system.sysname, system.release, system.machine);
    return finish(file, path, error);
}

/* "bp+sp", or one name for each group. */
static void write_strategies(const cJSON *decision, FILE *file) {
    const cJSON *names = cJSON_GetObjectItem(decision, "strategy"), *name;
    bool same = true;
    cJSON_ArrayForEach(name, names) same =
        same && strcmp(name->valuestring, names->child->valuestring) == 0;
    cJSON_ArrayForEach(name, names) if (name == names->child || !same)
        fprintf(file, "%s%s", name == names->child ? "" : " ", name->valuestring);
    putc('\n', file);
}

static int write_csv(const char *folder, const cJSON *json, struct dtr_error *error) {
    char *path;
    FILE *file = create(folder, "requests.csv", &path, error);
    if (!file) {
        free(path);
        return error->status;
    }
    fputs("request,latency_ms,strategy\n", file);
    const cJSON *sample, *decision = cJSON_GetObjectItem(json, "decisions");
    decision = decision ? decision->child : NULL;
    int number = 0;
    cJSON_ArrayForEach(sample,
                       cJSON_GetObjectItem(cJSON_GetObjectItem(json, "latency_ms"), "samples")) {
        while (decision && decision->next &&
               cJSON_GetObjectItem(decision->next, "request")->valueint <= number)
            decision = decision->next;
        fprintf(file, "%d,%.6f,", number++, sample->valuedouble);
        write_strategies(decision, file);
    }
    return finish(file, path, error);
}

int dtr_report_save(const struct dtr_experiment *experiment, const cJSON *json, int argc,
                    char *const *argv, struct dtr_error *error) {
    const char *folder = experiment->results;
    char *effective = dtr_experiment_print(experiment);
    if (!effective)
        return dtr_fail_memory(error);
    int status = write_text(folder, "experiment.ini", effective, error);
    free(effective);
    if (!status)
        status = write_command(folder, argc, argv, error);
    if (!status)
        status = write_csv(folder, json, error);
    char *path;
    if (!status && asprintf(&path, "%s/report.json", folder) < 0)
        status = dtr_fail_memory(error);
    if (status)
        return status;
    status = dtr_report_write_json(path, json, error);
    free(path);
    return status;
}

/* --- tensors ---------------------------------------------------------------------------------- */

static struct dtr_stored_tensor matrix(const char *name, const float *data, uint64_t rows,
                                       uint64_t columns) {
    return (struct dtr_stored_tensor){
        .name = name,
        .type = DTR_STORED_F32,
        .rank = 2,
        .shape = {rows, columns},
        .data = (const uint8_t *)data,
        .bytes = rows * columns * sizeof *data,
    };
}

int dtr_report_dump(const char *path, const struct dtr_model *model,
                    const struct dtr_response *response, struct dtr_error *error) {
    const uint32_t layers = response->layers ? model->shape.layers : 0;
    const uint32_t hidden = model->shape.hidden;
    struct dtr_stored_tensor *tensors = calloc((size_t)layers + 3, sizeof *tensors);
    char(*names)[24] = calloc((size_t)layers + 1, sizeof *names);
    size_t count = 0;
    int status = tensors && names ? DTR_OK : dtr_fail_memory(error);
    if (status)
        goto out_free;
    tensors[count++] = matrix("last_hidden_state", response->hidden, response->rows, hidden);
    if (response->pooled)
        tensors[count++] = matrix("pooled", response->pooled, response->sequences, hidden);
    if (response->logits)
        tensors[count++] =
            matrix("logits", response->logits, response->logits_rows, response->logits_columns);
    for (uint32_t i = 0; i < layers; i++) {
        snprintf(names[i], sizeof names[i], "layer.%u", i);
        tensors[count++] = matrix(names[i], response->layers[i], response->rows, hidden);
    }
    status = dtr_safetensors_write(path, tensors, count, error);
out_free:
    free(names);
    free(tensors);
    return status;
}

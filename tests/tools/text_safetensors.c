/* SPDX-License-Identifier: MIT
 *
 * text_safetensors.c -- text_safetensors OUT NAME=FILE...: a safetensors file from numbers in text
 * files, a row of a tensor F32 [rows, columns] in each line; NAME:I64=FILE gives I64 [numbers].
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

enum { TENSORS_MAX = 16, NUMBERS_MAX = 1 << 20 };

static bool complain(const char *path, const char *what) {
    fprintf(stderr, "text_safetensors: %s: %s\n", path, what);
    return false;
}

/* All numbers of one line; false where it holds anything else or there is no room. */
static bool read_line(char *line, double *numbers, size_t *count) {
    for (char *at = line + strspn(line, " \t\n"); *at; at += strspn(at, " \t\n")) {
        char *end;
        if (*count == NUMBERS_MAX)
            return false;
        numbers[(*count)++] = strtod(at, &end);
        if (end == at)
            return false;
        at = end;
    }
    return true;
}

static bool read_numbers(const char *path, double *numbers, size_t *count, uint64_t *rows) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    bool fine = file != NULL;
    *count = 0;
    *rows = 0;
    while (fine && getline(&line, &size, file) > 0) {
        fine = read_line(line, numbers, count);
        (*rows)++;
    }
    free(line);
    if (file)
        fclose(file);
    if (!fine || !*count || *count % *rows)
        return complain(path, "cannot be read as rows of numbers");
    return true;
}

/* The data is the tensor's, to be freed. */
static bool make_tensor(char *argument, double *numbers, struct dtr_stored_tensor *tensor) {
    char *path = strchr(argument, '=');
    if (!path)
        return complain(argument, "is not written NAME=FILE");
    *path++ = '\0';
    char *type = strstr(argument, ":I64");
    size_t count;
    uint64_t rows;
    if (!read_numbers(path, numbers, &count, &rows))
        return false;
    *tensor = type ? (struct dtr_stored_tensor){.type = DTR_STORED_I64, .rank = 1, .shape = {count}}
                   : (struct dtr_stored_tensor){
                         .type = DTR_STORED_F32, .rank = 2, .shape = {rows, count / rows}};
    if (type)
        *type = '\0';
    tensor->name = argument;
    tensor->bytes = count * dtr_stored_type_bytes(tensor->type);
    uint8_t *data = malloc(tensor->bytes);
    if (!data)
        return complain(path, "out of memory");
    tensor->data = data;
    for (size_t i = 0; i < count; i++) {
        const float real = (float)numbers[i];
        const int64_t whole = (int64_t)numbers[i];
        memcpy(data + i * (type ? sizeof whole : sizeof real), type ? (const void *)&whole : &real,
               type ? sizeof whole : sizeof real);
    }
    return true;
}

int main(int argc, char **argv) {
    struct dtr_stored_tensor tensor[TENSORS_MAX] = {{.name = NULL}};
    struct dtr_error error = {.status = DTR_OK};
    if (argc < 3 || argc > 2 + TENSORS_MAX) {
        fputs("usage: text_safetensors OUT NAME=FILE...\n", stderr);
        return 2;
    }
    const size_t count = (size_t)argc - 2;
    double *numbers = malloc(NUMBERS_MAX * sizeof *numbers);
    bool fine = numbers != NULL;
    for (size_t i = 0; fine && i < count; i++)
        fine = make_tensor(argv[2 + i], numbers, &tensor[i]);
    if (fine && dtr_safetensors_write(argv[1], tensor, count, &error))
        fine = complain(argv[1], error.text);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)tensor[i].data);
    free(numbers);
    return fine ? 0 : 1;
}

/* SPDX-License-Identifier: MIT
 *
 * compare_safetensors.c -- compare_safetensors GOT WANTED [--tolerance T] [--names A,B]: whether
 * GOT has every tensor of WANTED, or those named, with the same shape and numbers that differ by no
 * more than T (2e-5).  A line for each says how much they differ.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

struct options {
    const char *path[2]; /* got, wanted */
    double tolerance;
    char *names; /* NULL: all */
};

static bool same_shape(const struct dtr_stored_tensor *a, const struct dtr_stored_tensor *b) {
    return a->rank == b->rank && !memcmp(a->shape, b->shape, a->rank * sizeof *a->shape);
}

static bool is_real(const struct dtr_stored_tensor *tensor) {
    return tensor->type == DTR_STORED_F32 || tensor->type == DTR_STORED_F16 ||
           tensor->type == DTR_STORED_BF16;
}

/* The largest difference; a NaN stays one. */
static double difference(const struct dtr_stored_tensor *a, const struct dtr_stored_tensor *b) {
    const uint64_t count = a->bytes / dtr_stored_type_bytes(a->type);
    double largest = 0;
    for (uint64_t i = 0; i < count; i++) {
        float x, y;
        dtr_stored_floats(a, i, 1, &x);
        dtr_stored_floats(b, i, 1, &y);
        const double apart = fabs((double)x - (double)y);
        if (!(apart <= largest))
            largest = apart;
        if (isnan(largest))
            break;
    }
    return largest;
}

static bool compare(const struct dtr_stored_tensor *got, const struct dtr_stored_tensor *wanted,
                    double tolerance) {
    char got_shape[100], wanted_shape[100];
    if (!same_shape(got, wanted)) {
        printf("%s: shape %s, not %s\n", wanted->name,
               dtr_stored_shape_text(got, got_shape, sizeof got_shape),
               dtr_stored_shape_text(wanted, wanted_shape, sizeof wanted_shape));
        return false;
    }
    if (is_real(got) && is_real(wanted)) {
        const double apart = difference(got, wanted);
        printf("%s: %.3g\n", wanted->name, apart);
        return apart <= tolerance;
    }
    const bool same = got->type == wanted->type && !memcmp(got->data, wanted->data, got->bytes);
    printf("%s: %s\n", wanted->name, same ? "equal" : "not equal");
    return same;
}

static bool compare_name(struct dtr_safetensors *const file[2], const char *name,
                         double tolerance) {
    const struct dtr_stored_tensor *tensor[2];
    for (int i = 0; i < 2; i++) {
        tensor[i] = dtr_safetensors_find(file[i], name);
        if (!tensor[i]) {
            printf("%s: not in %s\n", name, file[i]->path);
            return false;
        }
    }
    return compare(tensor[0], tensor[1], tolerance);
}

static bool compare_files(struct dtr_safetensors *const file[2], const struct options *options) {
    bool same = true;
    for (size_t i = 0; !options->names && i < file[1]->count; i++)
        same &= compare_name(file, file[1]->tensor[i].name, options->tolerance);
    for (char *rest = options->names, *name; rest && (name = strsep(&rest, ","));)
        same &= compare_name(file, name, options->tolerance);
    return same;
}

static bool read_number(const char *text, double *number_p) {
    char *end;
    *number_p = strtod(text, &end);
    return end != text && !*end;
}

static bool read_options(char **argv, struct options *options) {
    int paths = 0;
    while (*++argv) {
        if (!strcmp(*argv, "--tolerance") && argv[1] && read_number(argv[1], &options->tolerance))
            argv++;
        else if (!strcmp(*argv, "--names") && argv[1])
            options->names = *++argv;
        else if (**argv != '-' && paths < 2)
            options->path[paths++] = *argv;
        else
            return false;
    }
    return paths == 2;
}

int main(int argc, char **argv) {
    struct options options = {.tolerance = 2e-5};
    struct dtr_safetensors *file[2] = {NULL, NULL};
    struct dtr_error error = {.status = DTR_OK};
    if (argc < 1 || !read_options(argv, &options)) {
        fputs("usage: compare_safetensors GOT WANTED [--tolerance T] [--names A,B]\n", stderr);
        return 2;
    }
    bool same = false;
    if (dtr_safetensors_open(options.path[0], &file[0], &error) ||
        dtr_safetensors_open(options.path[1], &file[1], &error))
        fprintf(stderr, "compare_safetensors: %s\n", error.text);
    else
        same = compare_files(file, &options);
    for (int i = 0; i < 2; i++)
        if (file[i])
            dtr_safetensors_close(file[i]);
    return same ? 0 : 1;
}

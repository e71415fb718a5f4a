/* SPDX-License-Identifier: MIT */
#include "model/safetensors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_entry(FILE *out, const struct dtr_stored_tensor *tensor, uint64_t begin) {
    fprintf(out, "\"%s\":{\"dtype\":\"%s\",\"shape\":[", tensor->name,
            dtr_stored_type_name(tensor->type));
    for (uint32_t i = 0; i < tensor->rank; i++)
        fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)tensor->shape[i]);
    fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
            (unsigned long long)(begin + tensor->bytes));
}

/* The header as text, padded with blanks so that the numbers behind it are aligned. */
static char *make_header(const struct dtr_stored_tensor *tensor, size_t count, size_t *length_p) {
    char *text = NULL;
    FILE *out = open_memstream(&text, length_p);
    if (!out)
        return NULL;
    uint64_t begin = 0;
    fputc('{', out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            fputc(',', out);
        write_entry(out, &tensor[i], begin);
        begin += tensor[i].bytes;
    }
    fputc('}', out);
    fflush(out);
    for (size_t i = *length_p; i % 8; i++)
        fputc(' ', out);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

static bool write_all(FILE *out, const char *header, size_t length,
                      const struct dtr_stored_tensor *tensor, size_t count) {
    uint64_t length64 = length;
    if (fwrite(&length64, sizeof length64, 1, out) != 1 || fwrite(header, length, 1, out) != 1)
        return false;
    for (size_t i = 0; i < count; i++)
        if (tensor[i].bytes && fwrite(tensor[i].data, (size_t)tensor[i].bytes, 1, out) != 1)
            return false;
    return fflush(out) == 0;
}

int dtr_safetensors_write(const char *path, const struct dtr_stored_tensor *tensor, size_t count,
                          struct dtr_error *error) {
    int status = DTR_OK;
    size_t length = 0;
    char *partial = NULL, *header = make_header(tensor, count, &length);
    if (!header || asprintf(&partial, "%s.partial", path) < 0) {
        free(header);
        return dtr_fail_memory(error);
    }
    struct stat there;
    if (!stat(path, &there) && !S_ISREG(there.st_mode)) {
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: is not a regular file", path);
        goto out_names;
    }
    FILE *out = fopen(partial, "wbe");
    if (!out) {
        status =
            dtr_fail(error, DTR_E_SYSTEM, "%s: cannot be created: %s", partial, strerror(errno));
        goto out_names;
    }
    bool written = write_all(out, header, length, tensor, count);
    int cause = errno;
    if (fclose(out) && written) {
        written = false;
        cause = errno;
    }
    if (written && rename(partial, path)) {
        written = false;
        cause = errno;
    }
    if (!written) {
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: cannot be written: %s", path, strerror(cause));
        unlink(partial);
    }
out_names:
    free(partial);
    free(header);
    return status;
}

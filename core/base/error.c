/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"

int dtr_fail(struct dtr_error *error, int status, const char *format, ...) {
    if (!error || error->status)
        return status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    dtr_text_clean(error->text);
    error->status = status;
    return status;
}

int dtr_fail_memory(struct dtr_error *error) {
    return dtr_fail(error, DTR_E_MEMORY, "out of memory");
}

void dtr_error_prefix(struct dtr_error *error, const char *format, ...) {
    if (!error || !error->status)
        return;
    char prefix[200];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix - 2, format, args);
    va_end(args);
    dtr_text_clean(prefix);
    strcat(prefix, prefix[0] && prefix[strlen(prefix) - 1] == ']' ? " " : ": ");
    size_t length = strlen(prefix), room = sizeof error->text - length - 1;
    size_t kept = strnlen(error->text, room);
    memmove(error->text + length, error->text, kept);
    memcpy(error->text, prefix, length);
    error->text[length + kept] = '\0';
}

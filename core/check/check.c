/* SPDX-License-Identifier: MIT */
#include "check/check.h"

#include <stdarg.h>

static void name_case(struct dtr_check *check, const char *outcome, const char *name,
                      va_list args) {
    check->cases++;
    fprintf(check->out, "%s %u - ", outcome, check->cases);
    vfprintf(check->out, name, args);
}

void dtr_check_case(struct dtr_check *check, const char *why, const char *name, ...) {
    va_list args;
    va_start(args, name);
    name_case(check, why ? "not ok" : "ok", name, args);
    va_end(args);
    fputc('\n', check->out);
    if (why) {
        check->failed++;
        fprintf(check->out, "# %s\n", why);
    }
    fflush(check->out);
}

void dtr_check_skip(struct dtr_check *check, const char *why, const char *name, ...) {
    va_list args;
    va_start(args, name);
    name_case(check, "ok", name, args);
    va_end(args);
    fprintf(check->out, " # SKIP %s\n", why);
    fflush(check->out);
}

void dtr_check_note(struct dtr_check *check, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("# ", check->out);
    vfprintf(check->out, format, args);
    fputc('\n', check->out);
    va_end(args);
}

void dtr_check_end(struct dtr_check *check) {
    fprintf(check->out, "1..%u\n", check->cases);
    fflush(check->out);
}

/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void dtr_log(const struct dtr_log *log, enum dtr_log_level level, const char *format, ...) {
    if (!log || level > log->level)
        return;
    int saved = errno;
    char line[1200];
    int length = snprintf(line, sizeof line, "detransformer: %s%s%s: ", log->who ? log->who : "",
                          log->who ? ": " : "", level_names[level]);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, args);
    va_end(args);
    if (more > 0)
        length += more;
    if ((size_t)length > sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length] = '\0';
    dtr_text_clean(line);
    line[length++] = '\n';
    /* One write a line, so that the lines of several processes do not mix. */
    ssize_t written = write(log->fd, line, (size_t)length);
    (void)written;
    errno = saved;
}

const char *dtr_log_level_name(enum dtr_log_level level) {
    return level_names[level];
}

int dtr_log_level_parse(const char *word) {
    for (int i = 0; i < (int)(sizeof level_names / sizeof level_names[0]); i++)
        if (!strcmp(word, level_names[i]))
            return i;
    return -1;
}

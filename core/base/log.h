/* SPDX-License-Identifier: MIT
 *
 * log.h -- the program's one log: lines on standard error, below a level.  The log is passed to
 * those who need it; lines of several processes do not mix.
 */
#ifndef DTR_BASE_LOG_H
#define DTR_BASE_LOG_H

#include <detransformer/plugin.h>

struct dtr_log {
    enum dtr_log_level level; /* lines above it are dropped */
    int fd;                   /* usually 2 */
    const char *who;          /* put before each line ("device 2"), or NULL */
};

/* One line; errno is kept.  Any thread.  `log` may be NULL: nothing is written. */
void dtr_log(const struct dtr_log *log, enum dtr_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The word for a level. */
const char *dtr_log_level_name(enum dtr_log_level level);

/* "error", "warn", "info", "debug", "trace"; -1 for any other word. */
int dtr_log_level_parse(const char *word);

#endif

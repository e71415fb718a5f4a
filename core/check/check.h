/* SPDX-License-Identifier: MIT
 *
 * check.h -- the conformance suites: what every plugin of a kind must do, tried on one of them and
 * reported as TAP, a line a case.
 */
#ifndef DTR_CHECK_CHECK_H
#define DTR_CHECK_CHECK_H

#include <stdint.h>
#include <stdio.h>

struct dtr_check {
    FILE *out;
    uint32_t cases, failed;
};

/* One case: `why` is one sentence, or NULL when it passed. */
void dtr_check_case(struct dtr_check *check, const char *why, const char *name, ...)
    __attribute__((format(printf, 3, 4)));

/* One case that does not apply to this plugin, and why. */
void dtr_check_skip(struct dtr_check *check, const char *why, const char *name, ...)
    __attribute__((format(printf, 3, 4)));

/* A remark between the cases. */
void dtr_check_note(struct dtr_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says how many cases there were; the last line. */
void dtr_check_end(struct dtr_check *check);

#endif

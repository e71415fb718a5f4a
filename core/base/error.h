/* SPDX-License-Identifier: MIT
 *
 * error.h -- one sentence about what went wrong, with the status that says how much is lost.  It is
 * written once, by whoever first knows the cause; everyone else passes the status up.
 */
#ifndef DTR_BASE_ERROR_H
#define DTR_BASE_ERROR_H

#include <detransformer/plugin.h>

struct dtr_error {
    int status; /* enum dtr_status */
    char text[1000];
};

/* Stores the sentence (lower case or a place first, no full stop) unless `error` is NULL or holds
 * one already; returns `status`.  Control characters in it become question marks. */
int dtr_fail(struct dtr_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for DTR_E_MEMORY. */
int dtr_fail_memory(struct dtr_error *error);

/* Puts "prefix: " before the sentence, or "prefix " when it ends in a bracket. */
void dtr_error_prefix(struct dtr_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

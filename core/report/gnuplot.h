/* SPDX-License-Identifier: MIT
 *
 * gnuplot.h -- draws with gnuplot, where it is installed.
 */
#ifndef DTR_REPORT_GNUPLOT_H
#define DTR_REPORT_GNUPLOT_H

#include <stdbool.h>

#include "base/error.h"

/* Runs a script and puts the picture into the file `path`; gnuplot itself would say nothing of a
 * disk that is full.  The script draws to standard output when its variable `streamed` is there,
 * which holds the format that is wanted.  *drawn_p is false when gnuplot is not there or did not
 * succeed.  DTR_E_SYSTEM when the file cannot be written.  Blocks. */
int dtr_gnuplot(const char *script, const char *format, const char *path, bool *drawn_p,
                struct dtr_error *error);

#endif

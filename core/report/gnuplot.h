/* SPDX-License-Identifier: MIT
 *
 * gnuplot.h -- draws with gnuplot, where it is installed.
 */
#ifndef DTR_REPORT_GNUPLOT_H
#define DTR_REPORT_GNUPLOT_H

#include <stdbool.h>

/* Runs a script; false when gnuplot is not there or did not succeed.  Blocks. */
bool dtr_gnuplot(const char *script);

#endif

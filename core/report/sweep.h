/* SPDX-License-Identifier: MIT
 *
 * sweep.h -- the points of a grid of experiments, and what was measured at each: a CSV file that
 * grows with every point, so that an interrupted grid goes on where it stopped, and a plot of it.
 */
#ifndef DTR_REPORT_SWEEP_H
#define DTR_REPORT_SWEEP_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "config/experiment.h"

struct dtr_sweep;

/* The grid of the experiment: every value of every key of [sweep], under every series. */
int dtr_sweep_create(const struct dtr_experiment *experiment, struct dtr_sweep **sweep_p,
                     struct dtr_error *error);
void dtr_sweep_free(struct dtr_sweep *sweep);

size_t dtr_sweep_points(const struct dtr_sweep *sweep);

/* The settings of a point, as --set takes them; `settings` has room for dtr_sweep_settings_max().
 * Their texts belong to the sweep and last until the next call. */
size_t dtr_sweep_settings_max(const struct dtr_sweep *sweep);
size_t dtr_sweep_settings(struct dtr_sweep *sweep, size_t point, struct dtr_setting *settings);

/* "bandwidth=125 strategy=tp", for the progress line. */
const char *dtr_sweep_name(struct dtr_sweep *sweep, size_t point);

/* Takes in the points that an earlier sweep has left in the folder.  `predict`: predictions are all
 * that is wanted.  DTR_E_CONFIG when the folder holds those of another grid. */
int dtr_sweep_read(struct dtr_sweep *sweep, const char *folder, bool predict,
                   struct dtr_error *error);

/* Whether a point was taken in; dtr_sweep_identify() says whether it may stay. */
bool dtr_sweep_known(const struct dtr_sweep *sweep, size_t point);

/* What the point measures now, NULL where that cannot be said; what is known of it is forgotten
 * when it is of another experiment. */
int dtr_sweep_identify(struct dtr_sweep *sweep, size_t point,
                       const struct dtr_experiment *experiment, struct dtr_error *error);

/* Opens the CSV file, with the points that have stayed, for more. */
int dtr_sweep_start(struct dtr_sweep *sweep, struct dtr_error *error);

/* Closes it. */
int dtr_sweep_end(struct dtr_sweep *sweep, struct dtr_error *error);

bool dtr_sweep_done(const struct dtr_sweep *sweep, size_t point);

/* A point's report, or the sentence why there is none (`json` NULL). */
int dtr_sweep_add(struct dtr_sweep *sweep, size_t point, const cJSON *json, const char *failure,
                  struct dtr_error *error);

void dtr_sweep_print(const struct dtr_sweep *sweep, FILE *out);

/* Draws sweep.png and sweep.svg with gnuplot; *drawn_p is false where gnuplot is missing. */
int dtr_sweep_plot(const struct dtr_sweep *sweep, const char *title, bool *drawn_p,
                   struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * measure.h -- one experiment from the first process to the report, for `run` and, many times, for
 * `sweep`.
 */
#ifndef DTR_CLI_MEASURE_H
#define DTR_CLI_MEASURE_H

#include <cjson/cJSON.h>

#include "cli/experiment.h"
#include "report/progress.h"

/* The last request's hidden states, [count] numbers; the caller frees them. */
struct dtr_kept {
    float *hidden;
    size_t count;
};

/* What is wanted besides the report. */
struct dtr_measure {
    const char *dump, *trace;      /* files, or NULL */
    bool outcomes;                 /* print what came of every request, and the table */
    struct dtr_progress *progress; /* may be NULL */
    struct dtr_kept *kept;         /* filled in, or NULL */
    uint64_t first;                /* the number of the first request, and of those that warm up */
    uint64_t requests;             /* 0: as the experiment says */
};

/* How many requests the experiment measures. */
uint64_t dtr_cli_requests(const struct dtr_experiment *experiment, const struct dtr_input *input);

/* Starts the devices, runs the requests, ends the devices.  `opened` was checked.  The caller
 * deletes the report. */
int dtr_cli_measure(const struct dtr_cli *cli, struct dtr_opened *opened,
                    const struct dtr_measure *wanted, cJSON **report_p, struct dtr_error *error);

/* What the simulator makes of the first request, nothing being started: a report with predictions
 * alone.  There must be a profile. */
int dtr_cli_predict(struct dtr_opened *opened, cJSON **report_p, struct dtr_error *error);

/* Starts the devices, measures their kernels and links, ends them; opened->profile is what was
 * found.  `progress` may be NULL. */
int dtr_cli_profile(const struct dtr_cli *cli, struct dtr_opened *opened,
                    struct dtr_progress *progress, struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * report.h -- what an experiment showed: gathered while requests run, then written as a table for
 * people, as JSON and as CSV.
 */
#ifndef DTR_REPORT_REPORT_H
#define DTR_REPORT_REPORT_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "run/session.h"

struct dtr_report;

/* The arguments outlive the report. */
int dtr_report_create(const struct dtr_experiment *experiment, struct dtr_session *session,
                      struct dtr_report **report_p, struct dtr_error *error);
void dtr_report_free(struct dtr_report *report);

/* Takes one measured request in; `outcome` (may be NULL) becomes the report's. */
int dtr_report_add(struct dtr_report *report, const struct dtr_response *response, cJSON *outcome,
                   struct dtr_error *error);

/* False when something makes the figures worthless, such as kernels that ran late; the reason is
 * written to `why`. */
bool dtr_report_valid(const struct dtr_report *report, char *why, size_t bytes);

/* How the groups run, where the weights are, and why.  `members`: the numbers of the plan's devices;
 * NULL: they are all there. */
cJSON *dtr_report_plan_json(const struct dtr_plan *plan, const uint32_t *members);

void dtr_report_print(const struct dtr_report *report, FILE *out);
cJSON *dtr_report_json(const struct dtr_report *report);

/* Writes the experiment's results folder: the effective experiment, the command, what ran where,
 * a line a request, the JSON.  `json` as dtr_report_json() made it. */
int dtr_report_save(const struct dtr_experiment *experiment, const cJSON *json, int argc,
                    char *const *argv, struct dtr_error *error);

/* Writes JSON to a file, or to standard output for "-". */
int dtr_report_write_json(const char *path, const cJSON *json, struct dtr_error *error);

/* Makes the experiment's results folder, with those above it; before anything runs. */
int dtr_report_make_folder(const char *path, struct dtr_error *error);

/* Whether a file can be written there, as far as that can be told before; `replaced`: by a new one
 * of that name.  DTR_E_CONFIG. */
int dtr_report_check_file(const char *path, bool replaced, struct dtr_error *error);

/* --dump: the last request's tensors as a safetensors file. */
int dtr_report_dump(const char *path, const struct dtr_model *model,
                    const struct dtr_response *response, struct dtr_error *error);

/* --trace: the last request as Chrome trace events, one track a device for what it computes and
 * one for what travels (https://ui.perfetto.dev opens it). */
int dtr_report_trace(const char *path, const struct dtr_session *session, uint32_t devices,
                     struct dtr_error *error);

#endif

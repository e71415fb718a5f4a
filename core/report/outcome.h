/* SPDX-License-Identifier: MIT
 *
 * outcome.h -- what a model's answer to a request means: labels, words for masks, spans of a
 * paragraph.  Made once as JSON; what a person reads is printed from it.
 */
#ifndef DTR_REPORT_OUTCOME_H
#define DTR_REPORT_OUTCOME_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "run/input.h"
#include "run/session.h"

/* An array with one object a sequence; the caller deletes it.  NULL: out of memory. */
cJSON *dtr_outcome_create(const struct dtr_experiment *experiment, const struct dtr_model *model,
                          const struct dtr_input *input, const struct dtr_request *request,
                          const struct dtr_response *response);

/* A few lines a sequence. */
void dtr_outcome_print(const struct dtr_experiment *experiment, const cJSON *outcome, FILE *out);

#endif

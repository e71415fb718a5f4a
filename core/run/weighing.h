/* SPDX-License-Identifier: MIT
 *
 * weighing.h -- what prepared weights take on every device, before any is prepared: asked of the
 * devices' kernel plugins, which are opened here when the first question comes.
 */
#ifndef DTR_RUN_WEIGHING_H
#define DTR_RUN_WEIGHING_H

#include "run/kernels.h"

struct dtr_weighing;

/* rows_max: rows of the largest request.  All arguments outlive it. */
int dtr_weighing_create(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                        const struct dtr_model *model, uint32_t rows_max,
                        struct dtr_weighing **weighing_p, struct dtr_error *error);
void dtr_weighing_free(struct dtr_weighing *weighing);

/* Bytes of a weight on a device of the experiment; 0: its plugin does not know, or cannot be opened
 * on this machine.  One thread at a time. */
uint64_t dtr_weighing_bytes(struct dtr_weighing *weighing, uint32_t device,
                            const struct dtr_weight_key *key);

#endif

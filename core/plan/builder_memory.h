/* SPDX-License-Identifier: MIT
 *
 * builder_memory.h -- growing the arrays of a schedule under construction; for the builder's own
 * files.
 */
#ifndef DTR_PLAN_BUILDER_MEMORY_H
#define DTR_PLAN_BUILDER_MEMORY_H

#include "plan/builder.h"

/* A new zeroed element at the end of an array, whose index goes to *index_p; NULL, and the
 * builder's status set, when there is no memory (or none was left before). */
struct dtr_buffer *dtr_new_buffer(struct dtr_builder *b, int32_t *index_p);
struct dtr_step *dtr_new_step(struct dtr_builder *b, enum dtr_step_kind kind);
struct dtr_weight_key *dtr_new_weight(struct dtr_builder *b, int32_t *index_p);
struct dtr_collective *dtr_new_collective(struct dtr_builder *b, int32_t *index_p);
struct dtr_message *dtr_new_message(struct dtr_builder *b);
struct dtr_view *dtr_new_view(struct dtr_builder *b);
struct dtr_span *dtr_new_span(struct dtr_builder *b);
uint32_t *dtr_new_row(struct dtr_builder *b);

#endif

/* SPDX-License-Identifier: MIT
 *
 * tensor.h -- the two halves of a tensor-parallel layer (Shoeybi et al., "Megatron-LM", 2019,
 * section 3), for strategies that run all of a layer so, or an original layer, or a sub-block that
 * several devices share.
 */
#ifndef DTR_PLAN_TENSOR_H
#define DTR_PLAN_TENSOR_H

#include "plan/builder.h"

/* Blocks side by side in the columns of x, whose sums travel together. */
struct dtr_tensor {
    const struct dtr_team *team;
    const struct dtr_block *blocks;
    uint32_t count;
    struct dtr_view x; /* this device's, all members have it */
};

/* Attention by heads, all-reduce, add + norm.  Returns the result, on every member.  All devices
 * call it. */
struct dtr_view dtr_tensor_attention(struct dtr_builder *b, const struct dtr_tensor *tensor);

/* This device's part of the sum that is the attention of its heads; DTR_NO_VIEW outside the team.
 * *residual_p: x, or the selected rows of it. */
struct dtr_view dtr_tensor_heads(struct dtr_builder *b, const struct dtr_tensor *tensor,
                                 struct dtr_view *residual_p);

/* Who has something to add to that sum: a range for each device. */
const struct dtr_range *dtr_tensor_head_parts(struct dtr_builder *b,
                                              const struct dtr_tensor *tensor);

/* add + norm of every block: out = LayerNorm(in + residual), for the rows of `in`. */
void dtr_tensor_add_norm(struct dtr_builder *b, const struct dtr_tensor *tensor,
                         enum dtr_weight_kind kind, struct dtr_view in, struct dtr_view residual,
                         struct dtr_view out);

/* This device's part of the sum that is the feed-forward of `in`. */
struct dtr_view dtr_tensor_feed_forward(struct dtr_builder *b, const struct dtr_tensor *tensor,
                                        struct dtr_view in);

/* Who has something to add to that sum: a range for each device. */
const struct dtr_range *dtr_tensor_feed_forward_parts(struct dtr_builder *b,
                                                      const struct dtr_tensor *tensor);

/* All of the layer; the result replaces x. */
void dtr_tensor_layer(struct dtr_builder *b, const struct dtr_tensor *tensor);

#endif

/* SPDX-License-Identifier: MIT
 *
 * vector_table.c -- the table of one instruction set.
 */
#include "vector_variant.h"

#define DTR_TEXT2(_x) #_x
#define DTR_TEXT(_x) DTR_TEXT2(_x)

extern const struct dtr_vector DTR_NAME(vector);

const struct dtr_vector DTR_NAME(vector) = {
    .name = DTR_TEXT(DTR_VARIANT),
    .panel = DTR_PANEL,
    .pack_floats = DTR_NAME(pack_floats),
    .pack = DTR_NAME(pack),
    .pack_pairs = LANES_PAIRS ? DTR_NAME(pack_pairs) : NULL,
    .linear = DTR_NAME(linear),
    .to_bf16 = DTR_NAME(to_bf16),
    .to_int8 = DTR_NAME(to_int8),
    .from_int32 = DTR_NAME(from_int32),
    .activate = DTR_NAME(activate),
    .add_norm = DTR_NAME(add_norm),
    .moments = DTR_NAME(moments),
    .normalise = DTR_NAME(normalise),
    .attend_scratch = DTR_NAME(attend_scratch),
    .attend = DTR_NAME(attend),
};

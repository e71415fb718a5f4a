/* SPDX-License-Identifier: MIT
 *
 * vector.h -- what kernel plugins do between matrix products: activations, attention and layer
 * normalisation, in code compiled for several instruction sets of which the best is chosen at run
 * time.  Linked into every plugin that wants it.
 */
#ifndef DTR_COMMON_VECTOR_H
#define DTR_COMMON_VECTOR_H

#include <detransformer/kernel.h>
#include <stdbool.h>

/* Of so many numbers: floats, or pairs of bfloat16, of which the last may be half empty. */
static inline uint32_t dtr_vector_terms(bool pairs, uint32_t numbers) {
    return pairs ? numbers / 2 + numbers % 2 : numbers;
}

/* One linear layer over packed weights. */
struct dtr_vector_linear {
    const float *packed; /* [packed_floats] by pack(), aligned to 64 bytes */
    size_t packed_floats;
    const float *bias; /* [out], filled up with zeros to a whole panel */
    uint32_t out, in, rows, activation;
    bool pairs; /* x and W are pairs of bfloat16, and `in` counts those */
    const float *x;
    size_t x_stride;
    float *y;
    size_t y_stride;
    bool accumulate; /* onto y; only with DTR_ACT_NONE */
};

struct dtr_vector {
    const char *name; /* of the instruction set */

    /* Packs W [out, in]; `panel` is the number of outputs that are packed together. */
    uint32_t panel;
    size_t (*pack_floats)(uint32_t out, uint32_t in);
    void (*pack)(uint32_t out, uint32_t in, const float *weight, size_t stride, float *packed);

    /* Packs W [out, in] for pairs into pack_floats(out, (in + 1) / 2); NULL: it cannot do pairs. */
    void (*pack_pairs)(uint32_t out, uint32_t in, const float *weight, size_t stride,
                       float *packed);

    /* Outputs [first, end) of a linear layer; `first` is a multiple of `panel`, `end` too or all.
     */
    void (*linear)(const struct dtr_vector_linear *linear, uint32_t first, uint32_t end);

    /* Rounds to bfloat16, ties to even; or to int8, the farthest from zero to 127: returns what 1
     * stands for.  to_bf16: y may begin where x does. */
    void (*to_bf16)(uint32_t count, const float *x, uint16_t *y);
    float (*to_int8)(uint32_t count, const float *x, int8_t *y);

    /* y = activation(x_scale w_scale sums + bias), added to y or not; `bias` may be NULL. */
    void (*from_int32)(uint32_t activation, uint32_t count, const int32_t *sums, float x_scale,
                       const float *w_scale, const float *bias, bool accumulate, float *y);

    /* y = activation(y + bias); `bias` may be NULL. */
    void (*activate)(uint32_t activation, uint32_t count, const float *bias, float *y);

    /* Rows [first, end) of the operations of the same names. */
    void (*add_norm)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
    void (*moments)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
    void (*normalise)(const struct dtr_norm *norm, uint32_t first, uint32_t end);

    /* The floats of scratch memory (aligned to 64 bytes) that one thread needs for attend(). */
    size_t (*attend_scratch)(const struct dtr_attention *attention);

    /* The part-th of `parts` equal shares of the queries of all heads. */
    void (*attend)(const struct dtr_attention *attention, uint32_t part, uint32_t parts,
                   float *scratch);
};

/* Those that run on this machine, the best first; ends at NULL. */
const struct dtr_vector *const *dtr_vector_list(void);

#endif

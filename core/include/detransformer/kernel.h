/* SPDX-License-Identifier: MIT
 *
 * kernel.h -- the operations of a kernel plugin.  A kernel plugin overlays the complete set of
 * the plugin `reference`: what it does not support is done there, so one that has only a matrix
 * product is a good plugin.
 *
 * All activations are float, row-major, with a row stride counted in floats that is at least the
 * number of columns.  An instance is used by one thread at a time; for more it asks
 * dtr_host.parallel().  Nothing here blocks on anything but computing.
 */
#ifndef DETRANSFORMER_KERNEL_H
#define DETRANSFORMER_KERNEL_H

#include <detransformer/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dtr_dtype { DTR_F32, DTR_F16, DTR_BF16, DTR_INT8 };

/* `gelu` is x Phi(x) with the error function, `gelu_tanh` its tanh approximation (Hendrycks and
 * Gimpel 2016; Hugging Face's gelu_new and gelu_pytorch_tanh). */
enum dtr_activation { DTR_ACT_NONE, DTR_ACT_GELU, DTR_ACT_GELU_TANH, DTR_ACT_TANH };

enum dtr_op { DTR_OP_LINEAR, DTR_OP_ATTENTION, DTR_OP_ADD_NORM, DTR_OP_MOMENTS, DTR_OP_NORMALISE };

/* A linear layer y = activation(x W^T + bias): what is known when its weight is prepared. */
struct dtr_linear {
    size_t size;         /* sizeof(struct dtr_linear) in the core                   */
    uint32_t out, in;    /* W is [out, in]                                          */
    uint32_t rows_max;   /* the most rows that a run will have; may be exceeded, then
                            slower                                                  */
    uint32_t dtype;      /* enum dtr_dtype: how W is kept and multiplied            */
    uint32_t activation; /* enum dtr_activation                                     */
};

/* What is to be supported: the linear layer for DTR_OP_LINEAR (else NULL), heads and head_size for
 * DTR_OP_ATTENTION, columns for the rest. */
struct dtr_op_shape {
    size_t size; /* sizeof(struct dtr_op_shape) in the core */
    uint32_t op; /* enum dtr_op */
    const struct dtr_linear *linear;
    uint32_t heads, head_size, columns;
};

/* One sequence: its queries and the keys and values that they see, as row numbers counted from
 * the pointers in dtr_attention. */
struct dtr_span {
    uint32_t query_first, query_rows;
    uint32_t key_first, key_rows;
};

/* Scaled dot-product attention (Vaswani et al. 2017, equation 1) of several heads.  Head i uses
 * columns [i head_size, (i + 1) head_size) of q, k, v and context. */
struct dtr_attention {
    size_t size; /* sizeof(struct dtr_attention) in the core */
    uint32_t heads, head_size;
    float scale; /* of the products, 1 / sqrt(head_size) */
    const float *q, *k, *v;
    float *context; /* overlaps none of the inputs */
    size_t q_stride, k_stride, v_stride, context_stride;
    uint32_t spans_count;
    const struct dtr_span *spans;
    uint32_t dtype; /* enum dtr_dtype of the linear layers around it: with DTR_BF16 and DTR_INT8 the
                       factors of both products may be rounded to bfloat16, sums are float */
};

/* Layer normalisation (Ba et al. 2016) and its two halves, for rows whose columns lie on several
 * devices. */
struct dtr_norm {
    size_t size; /* sizeof(struct dtr_norm) in the core */
    uint32_t rows, columns;
    const float *x;
    size_t x_stride;
    const float *residual; /* added to x first; may be NULL */
    size_t residual_stride;
    float *y; /* may be x or residual */
    size_t y_stride;
    const float *gamma, *beta; /* [columns] */
    float epsilon;
    float *moments; /* [rows, 2]: mean of the row, and sum of squared distances from it */
    uint32_t count; /* normalise: the number of values that the moments stand for */
};

#define DTR_LINEAR_ACCUMULATE 1u /* y += x W^T + bias; only with DTR_ACT_NONE */

struct dtr_kernel_ops {
    size_t size;

    /* Zero: not this one.  Else a score, at least 1.  Mandatory. */
    int (*supports)(void *self, const struct dtr_op_shape *shape);

    /* Packs W [out, in] (row stride in floats) and bias [out] (NULL: none) into a form of the
     * plugin's own.  The inputs are the caller's and are not kept.  All three or none.
     * packed_bytes: the memory that a packed weight takes. */
    int (*prepare)(void *self, const struct dtr_linear *linear, const float *weight,
                   size_t weight_stride, const float *bias, void **packed_p,
                   struct dtr_error *error);
    void (*unprepare)(void *self, void *packed);
    size_t (*packed_bytes)(void *self, const void *packed);

    /* y [rows, out] from x [rows, in]; they do not overlap.  `flags`: DTR_LINEAR_*.  Allocates
     * nothing once it has run with as many rows. */
    int (*linear)(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride,
                  float *y, size_t y_stride, uint32_t flags);

    int (*attention)(void *self, const struct dtr_attention *attention);

    /* y = gamma (z - mean) / sqrt(variance + epsilon) + beta with z = x + residual. */
    int (*add_norm)(void *self, const struct dtr_norm *norm);

    /* y = x + residual, and the moments of its rows. */
    int (*moments)(void *self, const struct dtr_norm *norm);

    /* y = gamma (x - mean) / sqrt(M2 / count + epsilon) + beta with the moments given. */
    int (*normalise)(void *self, const struct dtr_norm *norm);

    /* Optional: how late the plugin's own clock runs, in nanoseconds since the last call, and the
     * time that it should have taken (a wrapper that emulates a slower device). */
    void (*lateness)(void *self, uint64_t *late_ns_p, uint64_t *due_ns_p);

    /* Optional: what packed_bytes() will say of a weight that is prepared so, with a bias or
     * without; 0: that is not known before. */
    size_t (*prepared_bytes)(void *self, const struct dtr_linear *linear, int biased);
};

#ifdef __cplusplus
}
#endif

#endif

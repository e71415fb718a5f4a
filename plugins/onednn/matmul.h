/* SPDX-License-Identifier: MIT
 *
 * matmul.h -- matrix products by oneDNN, with what is made for one shape kept for the next time.
 * Every product is made and run with a single OpenMP thread: the device's own threads each run one.
 */
#ifndef DTR_ONEDNN_MATMUL_H
#define DTR_ONEDNN_MATMUL_H

#include <detransformer/kernel.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>

#define MATMUL_KEPT 160u /* products that are kept; each takes some 50 KB of code */

/* y [rows, n] = x [rows, k] W, all dense.  f32 and bf16 give f32; int8 gives int32. */
struct matmul_shape {
    uint32_t rows, n, k;
    uint32_t dtype;
    uint32_t activation; /* applied to the result; not to int32 */
    bool bias;           /* added; not to int32 */
    bool accumulate;     /* onto y; not with an activation */
    uint32_t part;       /* products of different parts may run at the same time */
};

struct matmul {
    struct matmul_shape shape;
    dnnl_memory_desc_t weights; /* how W is packed */
    bool slow;                  /* there is only generic code for it */
    size_t scratch_bytes;
    uint64_t used;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, bias, y, scratch;
};

struct matmul_cache {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint64_t clock;
    struct matmul kept[MATMUL_KEPT];
};

/* DTR_E_*; zero for success. */
int matmul_status(dnnl_status_t status);

int matmul_cache_open(struct matmul_cache *cache);
void matmul_cache_close(struct matmul_cache *cache);

/* How oneDNN wants W packed for a product of that shape, and whether it has generic code only. */
int matmul_layout(struct matmul_cache *cache, const struct matmul_shape *shape,
                  dnnl_memory_desc_t *weights_p, bool *slow_p);

/* Packs W from [n, k] with a row stride, of float, or of int8_t for DTR_INT8. */
int matmul_pack(struct matmul_cache *cache, const struct matmul_shape *shape, const void *weight,
                size_t stride, const dnnl_memory_desc_t *layout, dnnl_memory_t packed);

/* The product for weights packed that way: kept from earlier, or made now.  It belongs to the
 * cache and is good until MATMUL_KEPT others were asked for. */
int matmul_find(struct matmul_cache *cache, const struct matmul_shape *shape,
                const dnnl_memory_desc_t *layout, struct matmul **matmul_p);

/* `bias` may be NULL where the shape has none.  Any thread. */
int matmul_run(const struct matmul_cache *cache, const struct matmul *matmul, dnnl_memory_t packed,
               const void *x, const float *bias, void *y, void *scratch);

#endif

/* SPDX-License-Identifier: MIT */
#include "matmul.h"

#include <omp.h>
#include <string.h>

int matmul_status(dnnl_status_t status) {
    switch (status) {
    case dnnl_success:
        return DTR_OK;
    case dnnl_out_of_memory:
        return DTR_E_MEMORY;
    case dnnl_unimplemented:
        return DTR_E_UNSUPPORTED;
    default:
        return DTR_E_PLUGIN;
    }
}

int matmul_cache_open(struct matmul_cache *cache) {
    memset(cache, 0, sizeof *cache);
    int status = matmul_status(dnnl_engine_create(&cache->engine, dnnl_cpu, 0));
    if (status)
        return status;
    status =
        matmul_status(dnnl_stream_create(&cache->stream, cache->engine, dnnl_stream_default_flags));
    if (status)
        dnnl_engine_destroy(cache->engine);
    return status;
}

static void drop(struct matmul *matmul) {
    dnnl_memory_t memories[] = {matmul->x, matmul->bias, matmul->y, matmul->scratch};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (matmul->primitive)
        dnnl_primitive_destroy(matmul->primitive);
    memset(matmul, 0, sizeof *matmul);
}

void matmul_cache_close(struct matmul_cache *cache) {
    for (uint32_t i = 0; i < MATMUL_KEPT; i++)
        drop(&cache->kept[i]);
    dnnl_stream_destroy(cache->stream);
    dnnl_engine_destroy(cache->engine);
}

static dnnl_data_type_t factor_type(uint32_t dtype) {
    return dtype == DTR_INT8 ? dnnl_s8 : dtype == DTR_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* A dense matrix; `rows` with their stride, or the columns of the transposed. */
static dnnl_status_t matrix(dnnl_memory_desc_t *desc, uint32_t rows, uint32_t columns,
                            dnnl_data_type_t type, size_t row_stride, size_t column_stride) {
    const dnnl_dims_t dims = {rows, columns};
    const dnnl_dims_t strides = {(dnnl_dim_t)row_stride, (dnnl_dim_t)column_stride};
    return dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides);
}

static dnnl_status_t post_ops(const struct matmul_shape *shape, dnnl_primitive_attr_t attr) {
    static const dnnl_alg_kind_t kind[] = {[DTR_ACT_GELU] = dnnl_eltwise_gelu_erf,
                                           [DTR_ACT_GELU_TANH] = dnnl_eltwise_gelu_tanh,
                                           [DTR_ACT_TANH] = dnnl_eltwise_tanh};
    dnnl_post_ops_t ops;
    dnnl_status_t status = dnnl_post_ops_create(&ops);
    if (status)
        return status;
    if (shape->accumulate)
        status = dnnl_post_ops_append_sum(ops, 1.0f);
    if (!status && shape->activation != DTR_ACT_NONE)
        status = dnnl_post_ops_append_eltwise(ops, 1.0f, kind[shape->activation], 0.0f, 0.0f);
    if (!status)
        status = dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

/* `layout`: of the weights, NULL: as oneDNN likes it best. */
static dnnl_status_t describe(const struct matmul_cache *cache, const struct matmul_shape *shape,
                              const dnnl_memory_desc_t *layout, dnnl_primitive_desc_t *desc_p) {
    const dnnl_data_type_t type = factor_type(shape->dtype);
    const dnnl_dims_t weight_dims = {shape->k, shape->n};
    dnnl_memory_desc_t x, w, bias, y;
    dnnl_matmul_desc_t matmul;
    dnnl_status_t status = matrix(&x, shape->rows, shape->k, type, shape->k, 1);
    if (!status)
        status =
            matrix(&y, shape->rows, shape->n, type == dnnl_s8 ? dnnl_s32 : dnnl_f32, shape->n, 1);
    if (!status)
        status = matrix(&bias, 1, shape->n, dnnl_f32, shape->n, 1);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&w, 2, weight_dims, type, dnnl_format_tag_any);
    if (!status)
        status = dnnl_matmul_desc_init(&matmul, &x, layout ? layout : &w,
                                       shape->bias ? &bias : NULL, &y);
    if (status)
        return status;
    dnnl_primitive_attr_t attr;
    status = dnnl_primitive_attr_create(&attr);
    if (status)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!status)
        status = post_ops(shape, attr);
    omp_set_num_threads(1);
    if (!status)
        status = dnnl_primitive_desc_create(desc_p, &matmul, attr, cache->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static bool is_slow(const_dnnl_primitive_desc_t desc) {
    const char *name = "ref";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return strstr(name, "ref") != NULL;
}

int matmul_layout(struct matmul_cache *cache, const struct matmul_shape *shape,
                  dnnl_memory_desc_t *weights_p, bool *slow_p) {
    dnnl_primitive_desc_t desc;
    const dnnl_status_t status = describe(cache, shape, NULL, &desc);
    if (status)
        return matmul_status(status);
    *weights_p = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    *slow_p = is_slow(desc);
    dnnl_primitive_desc_destroy(desc);
    return DTR_OK;
}

static dnnl_status_t reorder(const struct matmul_cache *cache, const dnnl_memory_desc_t *from,
                             const dnnl_memory_desc_t *to, dnnl_memory_t source,
                             dnnl_memory_t target) {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    omp_set_num_threads(1);
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&desc, from, cache->engine, to, cache->engine, NULL);
    if (status)
        return status;
    status = dnnl_primitive_create(&primitive, desc);
    dnnl_primitive_desc_destroy(desc);
    if (status)
        return status;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
    status = dnnl_primitive_execute(primitive, cache->stream, 2, args);
    dnnl_primitive_destroy(primitive);
    return status;
}

int matmul_pack(struct matmul_cache *cache, const struct matmul_shape *shape, const void *weight,
                size_t stride, const dnnl_memory_desc_t *layout, dnnl_memory_t packed) {
    dnnl_memory_desc_t from;
    dnnl_memory_t source;
    const dnnl_data_type_t type = shape->dtype == DTR_INT8 ? dnnl_s8 : dnnl_f32;
    dnnl_status_t status = matrix(&from, shape->k, shape->n, type, 1, stride);
    if (!status)
        status = dnnl_memory_create(&source, &from, cache->engine, (void *)(uintptr_t)weight);
    if (status)
        return matmul_status(status);
    status = reorder(cache, &from, layout, source, packed);
    dnnl_memory_destroy(source);
    return matmul_status(status);
}

static bool is_same(const struct matmul *matmul, const struct matmul_shape *shape,
                    const dnnl_memory_desc_t *layout) {
    const struct matmul_shape *kept = &matmul->shape;
    return matmul->primitive && kept->rows == shape->rows && kept->n == shape->n &&
           kept->k == shape->k && kept->dtype == shape->dtype &&
           kept->activation == shape->activation && kept->bias == shape->bias &&
           kept->accumulate == shape->accumulate && kept->part == shape->part &&
           dnnl_memory_desc_equal(&matmul->weights, layout);
}

/* Memory objects without memory: it is given in each run. */
static dnnl_status_t make_memory(const struct matmul_cache *cache, const_dnnl_primitive_desc_t desc,
                                 dnnl_query_t what, int index, dnnl_memory_t *memory_p) {
    const dnnl_memory_desc_t *memory = dnnl_primitive_desc_query_md(desc, what, index);
    return dnnl_memory_create(memory_p, memory, cache->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t make(const struct matmul_cache *cache, const struct matmul_shape *shape,
                          const dnnl_memory_desc_t *layout, struct matmul *matmul) {
    dnnl_primitive_desc_t desc;
    dnnl_status_t status = describe(cache, shape, layout, &desc);
    if (status)
        return status;
    matmul->shape = *shape;
    matmul->weights = *layout;
    matmul->slow = is_slow(desc);
    matmul->scratch_bytes =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
    status = make_memory(cache, desc, dnnl_query_src_md, 0, &matmul->x);
    if (!status)
        status = make_memory(cache, desc, dnnl_query_dst_md, 0, &matmul->y);
    if (!status)
        status = make_memory(cache, desc, dnnl_query_scratchpad_md, 0, &matmul->scratch);
    if (!status && shape->bias)
        status = make_memory(cache, desc, dnnl_query_weights_md, 1, &matmul->bias);
    if (!status)
        status = dnnl_primitive_create(&matmul->primitive, desc);
    dnnl_primitive_desc_destroy(desc);
    if (status)
        drop(matmul);
    return status;
}

int matmul_find(struct matmul_cache *cache, const struct matmul_shape *shape,
                const dnnl_memory_desc_t *layout, struct matmul **matmul_p) {
    struct matmul *oldest = &cache->kept[0];
    cache->clock++;
    for (uint32_t i = 0; i < MATMUL_KEPT; i++) {
        struct matmul *matmul = &cache->kept[i];
        if (is_same(matmul, shape, layout)) {
            matmul->used = cache->clock;
            *matmul_p = matmul;
            return DTR_OK;
        }
        if (matmul->used < oldest->used)
            oldest = matmul;
    }
    drop(oldest);
    const dnnl_status_t status = make(cache, shape, layout, oldest);
    if (status)
        return matmul_status(status);
    oldest->used = cache->clock;
    *matmul_p = oldest;
    return DTR_OK;
}

int matmul_run(const struct matmul_cache *cache, const struct matmul *matmul, dnnl_memory_t packed,
               const void *x, const float *bias, void *y, void *scratch) {
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, matmul->x},
                                    {DNNL_ARG_WEIGHTS, packed},
                                    {DNNL_ARG_DST, matmul->y},
                                    {DNNL_ARG_SCRATCHPAD, matmul->scratch},
                                    {DNNL_ARG_BIAS, matmul->bias}};
    dnnl_status_t status = dnnl_memory_set_data_handle(matmul->x, (void *)(uintptr_t)x);
    if (!status)
        status = dnnl_memory_set_data_handle(matmul->y, y);
    if (!status)
        status = dnnl_memory_set_data_handle(matmul->scratch, scratch);
    if (!status && matmul->bias)
        status = dnnl_memory_set_data_handle(matmul->bias, (void *)(uintptr_t)bias);
    omp_set_num_threads(1); /* counts for the calling thread only */
    if (!status)
        status =
            dnnl_primitive_execute(matmul->primitive, cache->stream, matmul->bias ? 5 : 4, args);
    return matmul_status(status);
}

/* SPDX-License-Identifier: MIT */
#include "linear.h"

#include <math.h>
#include <string.h>

#define ALIGNMENT 64u
#define GRAIN 64u     /* outputs that stay together */
#define INT8_ROWS 16u /* rows of a tile of int8 */
#define ROWS_MOST 4096u

/* The outputs [first, first + n) of one thread. */
struct part {
    uint32_t first, n;
    dnnl_memory_desc_t layout;
    dnnl_memory_t memory; /* oneDNN's name for `weight` */
    void *weight;
};

struct packed {
    uint32_t out, in, dtype, activation, parts;
    size_t bytes;
    float *bias;  /* [out], or NULL */
    float *scale; /* [out], DTR_INT8 only: what 1 stands for */
    struct part part[];
};

static size_t padded(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct matmul_shape shape_of(const struct packed *packed, uint32_t part, uint32_t rows) {
    const bool fused = packed->dtype != DTR_INT8;
    return (struct matmul_shape){.rows = rows,
                                 .n = packed->part[part].n,
                                 .k = packed->in,
                                 .dtype = packed->dtype,
                                 .activation = fused ? packed->activation : DTR_ACT_NONE,
                                 .bias = fused && packed->bias,
                                 .part = part};
}

int onednn_supports(struct onednn *onednn, const struct dtr_linear *linear) {
    if (linear->dtype == DTR_F16 || linear->dtype > DTR_INT8 || linear->activation > DTR_ACT_TANH ||
        !linear->in || !linear->out)
        return 0;
    const struct matmul_shape shape = {.rows = linear->rows_max ? linear->rows_max : 1,
                                       .n = linear->out,
                                       .k = linear->in,
                                       .dtype = linear->dtype};
    dnnl_memory_desc_t layout;
    bool slow;
    if (matmul_layout(&onednn->cache, &shape, &layout, &slow))
        return 0;
    return linear->dtype == DTR_F32 || !slow;
}

/* Chooses the layout of each part and counts its memory. */
static int plan_parts(struct onednn *onednn, const struct dtr_linear *linear,
                      struct packed *packed) {
    for (uint32_t i = 0; i < packed->parts; i++) {
        struct part *part = &packed->part[i];
        uint32_t end;
        bool slow;
        dtr_common_share(packed->out, GRAIN, packed->parts, i, &part->first, &end);
        part->n = end - part->first;
        if (!part->n)
            continue;
        const struct matmul_shape shape =
            shape_of(packed, i, linear->rows_max ? linear->rows_max : 1);
        const int status = matmul_layout(&onednn->cache, &shape, &part->layout, &slow);
        if (status)
            return status;
        packed->bytes += padded(dnnl_memory_desc_get_size(&part->layout));
    }
    return DTR_OK;
}

/* Without the instructions of VNNI, oneDNN adds the products of bytes in pairs of 16 bits, where
 * 127 steps would overflow and 63 do not (its guide, "Nuances of int8 Computations"). */
static bool pairs_overflow(void) {
    const uint32_t vnni = (dnnl_cpu_isa_avx512_core_vnni & ~dnnl_cpu_isa_avx512_core) |
                          (dnnl_cpu_isa_avx2_vnni & ~dnnl_cpu_isa_avx2);
    const uint32_t isa = dnnl_get_effective_cpu_isa();
    return isa & dnnl_cpu_isa_sse41 && !(isa & vnni);
}

/* Rounds so that the farthest from zero is 63; returns what 1 stands for. */
static float to_63(uint32_t count, const float *x, int8_t *rounded) {
    float farthest = 0.0f;
    for (uint32_t i = 0; i < count; i++)
        farthest = fmaxf(farthest, fabsf(x[i]));
    const float inverse = farthest > 0.0f ? 63.0f / farthest : 0.0f;
    for (uint32_t i = 0; i < count; i++)
        rounded[i] = (int8_t)lrintf(x[i] * inverse);
    return farthest / 63.0f;
}

/* Rounds W to int8, one scale for each output, into scratch memory. */
static const int8_t *quantise(struct onednn *onednn, struct packed *packed, const float *weight,
                              size_t stride) {
    int8_t *rounded = dtr_common_scratch(&onednn->common, (size_t)packed->out * packed->in);
    float (*const to_int8)(uint32_t, const float *, int8_t *) =
        pairs_overflow() ? to_63 : onednn->common.vector->to_int8;
    for (uint32_t n = 0; rounded && n < packed->out; n++)
        packed->scale[n] =
            to_int8(packed->in, weight + n * stride, rounded + (size_t)n * packed->in);
    return rounded;
}

static int pack_parts(struct onednn *onednn, struct packed *packed, const float *weight,
                      size_t stride) {
    const struct dtr_host *host = onednn->common.host;
    const int8_t *rounded = NULL;
    if (packed->dtype == DTR_INT8 && !(rounded = quantise(onednn, packed, weight, stride)))
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < packed->parts; i++) {
        struct part *part = &packed->part[i];
        if (!part->n)
            continue;
        part->weight = host->allocate(host, ALIGNMENT, dnnl_memory_desc_get_size(&part->layout));
        if (!part->weight)
            return DTR_E_MEMORY;
        const struct matmul_shape shape = shape_of(packed, i, 1);
        int status = matmul_status(
            dnnl_memory_create(&part->memory, &part->layout, onednn->cache.engine, part->weight));
        if (!status && rounded)
            status = matmul_pack(&onednn->cache, &shape, rounded + (size_t)part->first * packed->in,
                                 packed->in, &part->layout, part->memory);
        else if (!status)
            status = matmul_pack(&onednn->cache, &shape, weight + part->first * stride, stride,
                                 &part->layout, part->memory);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* The head of a packed weight, with room for bias and scales behind it; parts without memory yet.
 */
static struct packed *make_packed(const struct onednn *onednn, const struct dtr_linear *linear,
                                  bool biased) {
    const struct dtr_host *host = onednn->common.host;
    const uint32_t threads = onednn->common.threads;
    /* All of a call's products must be kept at a time. */
    const uint32_t parts = threads < MATMUL_KEPT ? threads : MATMUL_KEPT;
    const size_t head = padded(sizeof(struct packed) + parts * sizeof(struct part));
    const bool scales = linear->dtype == DTR_INT8;
    const size_t bytes = head + ((biased ? 1u : 0u) + scales) * (size_t)linear->out * sizeof(float);
    struct packed *packed = host->allocate(host, ALIGNMENT, bytes);
    if (!packed)
        return NULL;
    memset(packed, 0, head);
    packed->out = linear->out;
    packed->in = linear->in;
    packed->dtype = linear->dtype;
    packed->activation = linear->activation;
    packed->parts = parts;
    packed->bytes = bytes;
    float *rest = (float *)((char *)packed + head);
    if (scales) {
        packed->scale = rest;
        rest += linear->out;
    }
    if (biased)
        packed->bias = rest;
    return packed;
}

void onednn_unprepare(void *self, void *opaque) {
    const struct dtr_host *host = ((struct onednn *)self)->common.host;
    struct packed *packed = opaque;
    for (uint32_t i = 0; i < packed->parts; i++) {
        if (packed->part[i].memory)
            dnnl_memory_destroy(packed->part[i].memory);
        host->release(host, packed->part[i].weight);
    }
    host->release(host, packed);
}

int onednn_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                   size_t weight_stride, const float *bias, void **packed_p,
                   struct dtr_error *error) {
    struct onednn *onednn = self;
    const struct dtr_host *host = onednn->common.host;
    struct packed *packed = make_packed(onednn, linear, bias != NULL);
    int status = packed ? plan_parts(onednn, linear, packed) : DTR_E_MEMORY;
    if (!status)
        status = pack_parts(onednn, packed, weight, weight_stride);
    if (!status) {
        if (bias)
            memcpy(packed->bias, bias, linear->out * sizeof *bias);
        *packed_p = packed;
        return DTR_OK;
    }
    if (packed)
        onednn_unprepare(onednn, packed);
    return host->fail(error, status, "%s a weight of %u x %u",
                      status == DTR_E_MEMORY ? "no memory for" : "oneDNN cannot pack", linear->out,
                      linear->in);
}

size_t onednn_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct packed *)packed)->bytes;
}

/* The layout of a part may depend on its bias, which is there, then, though it has no values. */
size_t onednn_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    struct packed *packed = make_packed(self, linear, biased);
    const size_t bytes = packed && !plan_parts(self, linear, packed) ? packed->bytes : 0;
    if (packed)
        onednn_unprepare(self, packed);
    return bytes;
}

/* One call of linear(), as its threads see it. */
struct product {
    struct onednn *onednn;
    const struct packed *packed;
    uint32_t rows, rows_run; /* rows_run >= rows: what oneDNN multiplies */
    const float *x;
    size_t x_stride;
    float *y;
    size_t y_stride;
    bool accumulate;
    bool direct;          /* oneDNN writes to y */
    bool convert;         /* x has to be copied or rounded */
    size_t x_bytes;       /* of one row in the weight's type */
    void *factors;        /* [rows_run, in] x in the weight's type; x itself where that will do */
    float *scale;         /* [rows_run] DTR_INT8 only */
    char *scratch;        /* of all parts */
    size_t scratch_bytes; /* of each */
    size_t result_bytes;  /* of which are its results, when not direct */
    const struct matmul *const *matmul; /* [parts] */
    int status;
};

static void convert_rows(void *arg, uint32_t part) {
    struct product *p = arg;
    const struct dtr_vector *vector = p->onednn->common.vector;
    uint32_t first, end;
    dtr_common_share(p->rows_run, 1, p->packed->parts, part, &first, &end);
    for (uint32_t row = first; row < end; row++) {
        const float *x = p->x + row * p->x_stride;
        void *to = (char *)p->factors + row * p->x_bytes;
        if (row >= p->rows)
            memset(to, 0, p->x_bytes);
        else if (p->packed->dtype == DTR_INT8)
            p->scale[row] = vector->to_int8(p->packed->in, x, to);
        else if (p->packed->dtype == DTR_BF16)
            vector->to_bf16(p->packed->in, x, to);
        else
            memcpy(to, x, p->x_bytes);
    }
}

/* From a part's results to y. */
static void store(const struct product *p, const struct part *part, const void *results) {
    const struct packed *packed = p->packed;
    const float *bias = packed->bias ? packed->bias + part->first : NULL;
    for (uint32_t row = 0; row < p->rows; row++) {
        float *y = p->y + row * p->y_stride + part->first;
        if (packed->dtype == DTR_INT8) {
            p->onednn->common.vector->from_int32(
                packed->activation, part->n, (const int32_t *)results + (size_t)row * part->n,
                p->scale[row], packed->scale + part->first, bias, p->accumulate, y);
            continue;
        }
        const float *from = (const float *)results + (size_t)row * part->n;
        for (uint32_t i = 0; i < part->n; i++)
            y[i] = p->accumulate ? y[i] + from[i] : from[i];
    }
}

static void multiply(void *arg, uint32_t index) {
    struct product *p = arg;
    const struct part *part = &p->packed->part[index];
    if (!part->n)
        return;
    char *scratch = p->scratch + index * p->scratch_bytes;
    void *results = p->direct ? (void *)p->y : (void *)scratch;
    const float *bias = p->packed->bias ? p->packed->bias + part->first : NULL;
    const int status = matmul_run(&p->onednn->cache, p->matmul[index], part->memory, p->factors,
                                  bias, results, scratch + p->result_bytes);
    if (status)
        __atomic_store_n(&p->status, status, __ATOMIC_RELAXED);
    else if (!p->direct)
        store(p, part, results);
}

/* The primitives of all parts.  In a layout for many rows, int8 may have only generic code for
 * few; more of them are multiplied then. */
static int find_parts(struct product *p, const struct matmul **matmul) {
    struct matmul_cache *cache = &p->onednn->cache;
    p->rows_run = p->rows;
    if (p->packed->dtype == DTR_INT8)
        p->rows_run = (p->rows + INT8_ROWS - 1) / INT8_ROWS * INT8_ROWS;
    p->scratch_bytes = 0;
    for (uint32_t i = 0; i < p->packed->parts; i++) {
        const struct part *part = &p->packed->part[i];
        struct matmul *found;
        if (!part->n)
            continue;
        struct matmul_shape shape = shape_of(p->packed, i, p->rows_run);
        shape.accumulate = p->accumulate && p->direct;
        const int status = matmul_find(cache, &shape, &part->layout, &found);
        if (status)
            return status;
        if (found->slow && p->packed->dtype == DTR_INT8 && p->rows_run < ROWS_MOST) {
            p->rows_run *= 2;
            i = UINT32_MAX; /* from the first part again */
            continue;
        }
        matmul[i] = found;
        if (found->scratch_bytes > p->scratch_bytes)
            p->scratch_bytes = found->scratch_bytes;
    }
    return DTR_OK;
}

/* Lays out the scratch memory: x in the weight's type, its scales, and each part's own. */
static int lay_out(struct product *p) {
    const struct packed *packed = p->packed;
    static const size_t element[] = {
        [DTR_F32] = sizeof(float), [DTR_BF16] = sizeof(uint16_t), [DTR_INT8] = 1};
    p->convert = packed->dtype != DTR_F32 || (p->x_stride != packed->in && p->rows > 1);
    p->x_bytes = packed->in * element[packed->dtype];
    const size_t factors = p->convert ? padded(p->rows_run * p->x_bytes) : 0;
    const size_t scales = packed->dtype == DTR_INT8 ? padded(p->rows_run * sizeof(float)) : 0;
    uint32_t widest = 0;
    for (uint32_t i = 0; i < packed->parts; i++)
        widest = packed->part[i].n > widest ? packed->part[i].n : widest;
    p->result_bytes = p->direct ? 0 : padded((size_t)p->rows_run * widest * sizeof(float));
    p->scratch_bytes = padded(p->scratch_bytes) + p->result_bytes;
    char *memory =
        dtr_common_scratch(&p->onednn->common, factors + scales + packed->parts * p->scratch_bytes);
    if (!memory)
        return DTR_E_MEMORY;
    p->factors = p->convert ? memory : (void *)(uintptr_t)p->x;
    p->scale = (float *)(memory + factors);
    p->scratch = memory + factors + scales;
    return DTR_OK;
}

int onednn_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride,
                  float *y, size_t y_stride, uint32_t flags) {
    struct onednn *onednn = self;
    const struct packed *packed = opaque;
    const struct dtr_host *host = onednn->common.host;
    const struct matmul **matmul = onednn->matmul;
    struct product p = {.onednn = onednn,
                        .packed = packed,
                        .rows = rows,
                        .x = x,
                        .x_stride = x_stride,
                        .y = y,
                        .y_stride = y_stride,
                        .accumulate = flags & DTR_LINEAR_ACCUMULATE,
                        .matmul = matmul};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || (flags && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    if (!rows)
        return DTR_OK;
    p.direct = packed->dtype != DTR_INT8 && packed->part[packed->parts - 1].n == packed->out &&
               (y_stride == packed->out || rows == 1);
    int status = find_parts(&p, matmul);
    if (!status)
        status = lay_out(&p);
    if (status)
        return status;
    if (p.convert)
        host->parallel(host, convert_rows, &p, packed->parts);
    host->parallel(host, multiply, &p, packed->parts);
    return p.status;
}

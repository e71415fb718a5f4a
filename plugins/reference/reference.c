/* SPDX-License-Identifier: MIT
 *
 * reference -- every kernel operation in plain C.  It is what other kernel plugins are measured
 * against and what does the operations they leave out, so it is written to be read: sums are kept
 * exact enough (short float blocks in products, double elsewhere) and nothing is tuned.
 */
#include <detransformer/kernel.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define ALIGNMENT 64u
#define PANEL 8u /* rows of W that lie interleaved, so that a compiler can vectorise over them */
#define TILE 4u  /* rows of x that share one pass over a panel */
#define BLOCK                                                                         \
    256u /* terms summed in float before they join the total, which bounds the error; \
            so many products of two int8 are exact */

struct reference {
    const struct dtr_host *host;
    uint32_t threads;
    void *scratch;
    size_t scratch_bytes;
};

/* W [out, in] as panels [out / PANEL][in][PANEL], filled up with zeros. */
struct packed {
    uint32_t out, in, panels, dtype, activation;
    size_t bytes;
    float *weight; /* values of the dtype, kept as float */
    float *scale;  /* [out] what a value of 1 stands for; 1 but for int8 */
    float *bias;   /* [out] */
};

/* The i-th of `parts` nearly equal shares of [0, total). */
static void share(uint32_t total, uint32_t parts, uint32_t i, uint32_t *first_p, uint32_t *end_p) {
    *first_p = (uint32_t)((uint64_t)total * i / parts);
    *end_p = (uint32_t)((uint64_t)total * (i + 1) / parts);
}

/* Memory that lives until close() and only grows. */
static void *scratch(struct reference *self, size_t bytes) {
    if (bytes <= self->scratch_bytes)
        return self->scratch;
    void *memory = self->host->allocate(self->host, ALIGNMENT, bytes);
    if (!memory)
        return NULL;
    self->host->release(self->host, self->scratch);
    self->scratch = memory;
    self->scratch_bytes = bytes;
    return memory;
}

/* Number formats: each function gives the nearest value that the format holds, ties to even. */

static float to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x))
        return x;
    bits += 0x7fffu + (bits >> 16 & 1u);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static float to_f16(float x) {
    const float smallest_normal = 0x1p-14f, overflow = 65520.0f;
    if (isnan(x))
        return x;
    if (fabsf(x) >= overflow)
        return copysignf(INFINITY, x);
    if (fabsf(x) < smallest_normal) {
        /* Subnormals are multiples of 2^-24, the spacing of floats around 0.75. */
        volatile float shifted = x + 0.75f;
        return copysignf(shifted - 0.75f, x);
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 0xfffu + (bits >> 13 & 1u);
    bits &= 0xffffe000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* Rounds a row to the format; returns what a value of 1 stands for.  int8 is symmetric: the value
 * farthest from zero becomes 127. */
static float to_dtype(uint32_t dtype, const float *x, uint32_t count, float *y) {
    if (dtype == DTR_BF16 || dtype == DTR_F16) {
        for (uint32_t i = 0; i < count; i++)
            y[i] = dtype == DTR_BF16 ? to_bf16(x[i]) : to_f16(x[i]);
        return 1.0f;
    }
    if (dtype != DTR_INT8) {
        memcpy(y, x, count * sizeof *y);
        return 1.0f;
    }
    float farthest = 0.0f;
    for (uint32_t i = 0; i < count; i++)
        farthest = fmaxf(farthest, fabsf(x[i]));
    const float scale = farthest / 127.0f, inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (uint32_t i = 0; i < count; i++)
        y[i] = fminf(fmaxf(rintf(x[i] * inverse), -127.0f), 127.0f);
    return scale;
}

static float activate(uint32_t activation, float x) {
    const double z = x;
    switch (activation) {
    case DTR_ACT_GELU:
        return (float)(0.5 * z * (1.0 + erf(z * 0.70710678118654752440)));
    case DTR_ACT_GELU_TANH:
        return (float)(0.5 * z * (1.0 + tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z))));
    case DTR_ACT_TANH:
        return (float)tanh(z);
    default:
        return x;
    }
}

static int reference_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    switch (shape->op) {
    case DTR_OP_LINEAR:
        return shape->linear->dtype <= DTR_INT8 && shape->linear->activation <= DTR_ACT_TANH;
    case DTR_OP_ATTENTION:
    case DTR_OP_ADD_NORM:
    case DTR_OP_MOMENTS:
    case DTR_OP_NORMALISE:
        return 1;
    default:
        return 0;
    }
}

static void pack_row(struct packed *packed, uint32_t row, const float *rounded) {
    float *panel = packed->weight + (size_t)(row / PANEL) * packed->in * PANEL;
    for (uint32_t k = 0; k < packed->in; k++)
        panel[(size_t)k * PANEL + row % PANEL] = rounded[k];
}

static const size_t head_bytes = (sizeof(struct packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

static uint32_t panels_of(const struct dtr_linear *linear) {
    return linear->out / PANEL + (linear->out % PANEL != 0);
}

/* There is room for a bias and for scales in any case. */
static size_t reference_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    const uint64_t floats = (uint64_t)panels_of(linear) * PANEL * ((uint64_t)linear->in + 2);
    (void)self;
    (void)biased;
    return floats <= (SIZE_MAX - head_bytes) / sizeof(float)
               ? head_bytes + (size_t)floats * sizeof(float)
               : 0;
}

static int reference_prepare(void *opaque, const struct dtr_linear *linear, const float *weight,
                             size_t weight_stride, const float *bias, void **packed_p,
                             struct dtr_error *error) {
    struct reference *self = opaque;
    const struct dtr_host *host = self->host;
    const uint32_t panels = panels_of(linear);
    const size_t bytes = reference_prepared_bytes(self, linear, bias != NULL);
    if (!bytes)
        return host->fail(error, DTR_E_MEMORY, "a weight of %u x %u does not fit in memory",
                          linear->out, linear->in);
    float *rounded = scratch(self, linear->in * sizeof(float) + 1);
    struct packed *packed = rounded ? host->allocate(host, ALIGNMENT, bytes) : NULL;
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "no memory for a weight of %u x %u", linear->out,
                          linear->in);
    memset(packed, 0, bytes);
    *packed = (struct packed){.out = linear->out,
                              .in = linear->in,
                              .panels = panels,
                              .dtype = linear->dtype,
                              .activation = linear->activation,
                              .bytes = bytes};
    packed->weight = (float *)((char *)packed + head_bytes);
    packed->scale = packed->weight + (size_t)panels * PANEL * linear->in;
    packed->bias = packed->scale + (size_t)panels * PANEL;
    for (uint32_t row = 0; row < linear->out; row++) {
        packed->scale[row] =
            to_dtype(linear->dtype, weight + row * weight_stride, linear->in, rounded);
        packed->bias[row] = bias ? bias[row] : 0.0f;
        pack_row(packed, row, rounded);
    }
    *packed_p = packed;
    return DTR_OK;
}

static void reference_unprepare(void *opaque, void *packed) {
    struct reference *self = opaque;
    self->host->release(self->host, packed);
}

static size_t reference_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct packed *)packed)->bytes;
}

/* One call of linear(), as its threads see it. */
struct product {
    const struct packed *packed;
    uint32_t rows, parts;
    const float *x; /* rounded to the dtype */
    size_t x_stride;
    const float *x_scale; /* [rows], or NULL: all 1 */
    float *y;
    size_t y_stride;
    bool accumulate;
};

/* Half a panel, for any vector unit: compilers for machines without one split it up. */
typedef float lanes __attribute__((vector_size(4 * sizeof(float))));

/* sums[r][c] = x[r] . (column c of the panel) */
static void multiply_tile(const float *const x[TILE], const lanes *panel, uint32_t in,
                          lanes sums[TILE][2]) {
    memset(sums, 0, sizeof(lanes[TILE][2]));
    for (uint32_t begin = 0; begin < in; begin += BLOCK) {
        const uint32_t end = in - begin < BLOCK ? in : begin + BLOCK;
        lanes part[TILE][2] = {{{0.0f}}};
        for (uint32_t k = begin; k < end; k++) {
            const lanes w0 = panel[2 * (size_t)k], w1 = panel[2 * (size_t)k + 1];
#pragma GCC unroll 4
            for (uint32_t r = 0; r < TILE; r++) {
                part[r][0] += x[r][k] * w0;
                part[r][1] += x[r][k] * w1;
            }
        }
        for (uint32_t r = 0; r < TILE; r++) {
            sums[r][0] += part[r][0];
            sums[r][1] += part[r][1];
        }
    }
}

static void store_row(const struct product *product, uint32_t row, uint32_t panel,
                      const float sums[PANEL]) {
    const struct packed *packed = product->packed;
    const float x_scale = product->x_scale ? product->x_scale[row] : 1.0f;
    float *y = product->y + row * product->y_stride;
    for (uint32_t c = 0; c < PANEL && panel * PANEL + c < packed->out; c++) {
        const uint32_t column = panel * PANEL + c;
        const float sum = sums[c] * (packed->scale[column] * x_scale) + packed->bias[column];
        y[column] = product->accumulate ? y[column] + sum : activate(packed->activation, sum);
    }
}

static void multiply_panels(void *arg, uint32_t part) {
    const struct product *product = arg;
    const struct packed *packed = product->packed;
    uint32_t first, end;
    share(packed->panels, product->parts, part, &first, &end);
    for (uint32_t p = first; p < end; p++) {
        const lanes *panel = (const lanes *)(packed->weight + (size_t)p * packed->in * PANEL);
        for (uint32_t row = 0; row < product->rows; row += TILE) {
            const uint32_t rows = product->rows - row < TILE ? product->rows - row : TILE;
            const float *x[TILE];
            union {
                lanes lanes[TILE][2];
                float floats[TILE][PANEL];
            } sums;
            for (uint32_t r = 0; r < TILE; r++) /* rows that are not there repeat the first */
                x[r] = product->x + (row + (r < rows ? r : 0)) * product->x_stride;
            multiply_tile(x, panel, packed->in, sums.lanes);
            for (uint32_t r = 0; r < rows; r++)
                store_row(product, row + r, p, sums.floats[r]);
        }
    }
}

static int reference_linear(void *opaque, void *opaque_packed, uint32_t rows, const float *x,
                            size_t x_stride, float *y, size_t y_stride, uint32_t flags) {
    struct reference *self = opaque;
    const struct packed *packed = opaque_packed;
    struct product product = {.packed = packed,
                              .rows = rows,
                              .parts = self->threads,
                              .x = x,
                              .x_stride = x_stride,
                              .y = y,
                              .y_stride = y_stride,
                              .accumulate = flags & DTR_LINEAR_ACCUMULATE};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) ||
        (product.accumulate && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    if (packed->dtype != DTR_F32) {
        float *scale = scratch(self, ((size_t)rows * packed->in + rows) * sizeof(float) + 1);
        if (!scale)
            return DTR_E_MEMORY;
        float *rounded = scale + rows;
        for (uint32_t r = 0; r < rows; r++)
            scale[r] = to_dtype(packed->dtype, x + r * x_stride, packed->in,
                                rounded + (size_t)r * packed->in);
        product.x = rounded;
        product.x_stride = packed->in;
        product.x_scale = scale;
    }
    self->host->parallel(self->host, multiply_panels, &product, product.parts);
    return DTR_OK;
}

/* One call of attention(); every thread has its own row of scores. */
struct attend {
    const struct dtr_attention *attention;
    uint32_t parts, keys_max;
    double *scores;
};

/* scores = softmax(scale q . k) over the keys of the span. */
static void weigh_keys(const struct dtr_attention *a, const struct dtr_span *span, const float *q,
                       const float *k, double *scores) {
    double highest = -DBL_MAX, sum = 0.0;
    for (uint32_t j = 0; j < span->key_rows; j++, k += a->k_stride) {
        double dot = 0.0;
        for (uint32_t i = 0; i < a->head_size; i++)
            dot += (double)q[i] * (double)k[i];
        scores[j] = dot * (double)a->scale;
        highest = scores[j] > highest ? scores[j] : highest;
    }
    for (uint32_t j = 0; j < span->key_rows; j++) {
        scores[j] = exp(scores[j] - highest);
        sum += scores[j];
    }
    for (uint32_t j = 0; j < span->key_rows; j++)
        scores[j] /= sum;
}

static void mix_values(const struct dtr_attention *a, const struct dtr_span *span, const float *v,
                       const double *scores, float *context) {
    for (uint32_t i = 0; i < a->head_size; i++) {
        double sum = 0.0;
        for (uint32_t j = 0; j < span->key_rows; j++)
            sum += scores[j] * (double)v[j * a->v_stride + i];
        context[i] = (float)sum;
    }
}

static void attend_heads(void *arg, uint32_t part) {
    const struct attend *attend = arg;
    const struct dtr_attention *a = attend->attention;
    double *scores = attend->scores + (size_t)part * attend->keys_max;
    uint32_t first, end;
    share(a->heads, attend->parts, part, &first, &end);
    for (uint32_t head = first; head < end; head++) {
        const size_t column = (size_t)head * a->head_size;
        for (uint32_t s = 0; s < a->spans_count; s++) {
            const struct dtr_span *span = &a->spans[s];
            for (uint32_t i = 0; i < span->query_rows; i++) {
                const size_t query = span->query_first + i, key = span->key_first;
                weigh_keys(a, span, a->q + query * a->q_stride + column,
                           a->k + key * a->k_stride + column, scores);
                mix_values(a, span, a->v + key * a->v_stride + column, scores,
                           a->context + query * a->context_stride + column);
            }
        }
    }
}

static int reference_attention(void *opaque, const struct dtr_attention *attention) {
    struct reference *self = opaque;
    struct attend attend = {.attention = attention, .parts = self->threads};
    for (uint32_t s = 0; s < attention->spans_count; s++)
        if (attention->spans[s].key_rows > attend.keys_max)
            attend.keys_max = attention->spans[s].key_rows;
    attend.scores = scratch(self, (size_t)attend.parts * attend.keys_max * sizeof(double) + 1);
    if (!attend.scores)
        return DTR_E_MEMORY;
    self->host->parallel(self->host, attend_heads, &attend, attend.parts);
    return DTR_OK;
}

/* One call of add_norm(), moments() or normalise(): what is done to each row. */
struct rows {
    const struct dtr_norm *norm;
    uint32_t parts;
    void (*row)(const struct dtr_norm *norm, uint32_t row);
};

static void add_row(const struct dtr_norm *n, uint32_t row) {
    const float *x = n->x + row * n->x_stride;
    const float *residual = n->residual ? n->residual + row * n->residual_stride : NULL;
    float *y = n->y + row * n->y_stride;
    for (uint32_t i = 0; i < n->columns; i++)
        y[i] = residual ? x[i] + residual[i] : x[i];
}

static void row_moments(const float *x, uint32_t columns, double *mean_p, double *m2_p) {
    double sum = 0.0, m2 = 0.0;
    for (uint32_t i = 0; i < columns; i++)
        sum += (double)x[i];
    const double mean = sum / columns;
    for (uint32_t i = 0; i < columns; i++)
        m2 += ((double)x[i] - mean) * ((double)x[i] - mean);
    *mean_p = mean;
    *m2_p = m2;
}

static void scale_row(const struct dtr_norm *n, const float *x, float *y, double mean,
                      double variance) {
    const double factor = 1.0 / sqrt(variance + (double)n->epsilon);
    for (uint32_t i = 0; i < n->columns; i++)
        y[i] = (float)(((double)x[i] - mean) * factor * (double)n->gamma[i] + (double)n->beta[i]);
}

static void add_norm_row(const struct dtr_norm *n, uint32_t row) {
    double mean, m2;
    float *y = n->y + row * n->y_stride;
    add_row(n, row);
    row_moments(y, n->columns, &mean, &m2);
    scale_row(n, y, y, mean, m2 / n->columns);
}

static void moments_row(const struct dtr_norm *n, uint32_t row) {
    double mean, m2;
    add_row(n, row);
    row_moments(n->y + row * n->y_stride, n->columns, &mean, &m2);
    n->moments[2 * (size_t)row] = (float)mean;
    n->moments[2 * (size_t)row + 1] = (float)m2;
}

static void normalise_row(const struct dtr_norm *n, uint32_t row) {
    const float *moments = n->moments + 2 * (size_t)row;
    scale_row(n, n->x + row * n->x_stride, n->y + row * n->y_stride, (double)moments[0],
              (double)moments[1] / n->count);
}

static void do_rows(void *arg, uint32_t part) {
    const struct rows *rows = arg;
    uint32_t first, end;
    share(rows->norm->rows, rows->parts, part, &first, &end);
    for (uint32_t row = first; row < end; row++)
        rows->row(rows->norm, row);
}

static int all_rows(struct reference *self, const struct dtr_norm *norm,
                    void (*row)(const struct dtr_norm *norm, uint32_t row)) {
    struct rows rows = {.norm = norm, .parts = self->threads, .row = row};
    self->host->parallel(self->host, do_rows, &rows, rows.parts);
    return DTR_OK;
}

static int reference_add_norm(void *self, const struct dtr_norm *norm) {
    return all_rows(self, norm, add_norm_row);
}

static int reference_moments(void *self, const struct dtr_norm *norm) {
    return all_rows(self, norm, moments_row);
}

static int reference_normalise(void *self, const struct dtr_norm *norm) {
    return all_rows(self, norm, normalise_row);
}

static int reference_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 10;
}

static int reference_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                          struct dtr_error *error) {
    struct reference *self = host->allocate(host, _Alignof(struct reference), sizeof *self);
    if (!self)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *self = (struct reference){.host = host, .threads = how->threads};
    *self_p = self;
    return DTR_OK;
}

static void reference_close(void *opaque) {
    struct reference *self = opaque;
    self->host->release(self->host, self->scratch);
    self->host->release(self->host, self);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = reference_supports,
    .prepare = reference_prepare,
    .unprepare = reference_unprepare,
    .packed_bytes = reference_packed_bytes,
    .prepared_bytes = reference_prepared_bytes,
    .linear = reference_linear,
    .attention = reference_attention,
    .add_norm = reference_add_norm,
    .moments = reference_moments,
    .normalise = reference_normalise,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "reference",
    .version = "1.0",
    .summary = "every operation in plain C",
    .probe = reference_probe,
    .open = reference_open,
    .close = reference_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

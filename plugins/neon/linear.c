/* SPDX-License-Identifier: MIT */
#include "linear.h"

#include <string.h>

#define ALIGNMENT 64u

struct packed {
    uint32_t out, in, dtype, activation;
    uint32_t depth; /* elements of four bytes in a row: floats, or fours of int8, an even number */
    size_t bytes;
    char *weight; /* panels [out / 12][depth][12] */
    float *scale; /* [out], int8 only: what 1 stands for */
    float *bias;  /* [out], or NULL */
};

static uint32_t depth_of(uint32_t dtype, uint32_t in) {
    return dtype == DTR_INT8 ? (in / 8 + (in % 8 != 0)) * 2 : in;
}

/* Puts row `index` among `width` interleaved rows; `row` has `depth` whole elements. */
static void interleave(const void *row, uint32_t depth, uint32_t index, uint32_t width, void *to) {
    const uint32_t *element = row;
    uint32_t *at = (uint32_t *)to + index;
    for (uint32_t k = 0; k < depth; k++, at += width)
        *at = element[k];
}

/* A row in the weight's type, filled up with zeros to whole elements; returns what 1 stands for. */
static float convert_row(const struct neon *neon, const struct packed *packed, const float *x,
                         void *row) {
    if (packed->dtype != DTR_INT8) {
        memcpy(row, x, packed->in * sizeof *x);
        return 1.0f;
    }
    memset((char *)row + packed->in, 0, packed->depth * (size_t)GEMM_ELEMENT - packed->in);
    return neon->common.vector->to_int8(packed->in, x, row);
}

bool neon_supports_linear(const struct dtr_linear *linear) {
    return (linear->dtype == DTR_F32 || linear->dtype == DTR_INT8) &&
           linear->activation <= DTR_ACT_TANH;
}

static void pack(const struct neon *neon, struct packed *packed, const float *weight, size_t stride,
                 void *row) {
    const size_t panel = (size_t)packed->depth * GEMM_COLUMNS * GEMM_ELEMENT;
    for (uint32_t n = 0; n < packed->out; n++) {
        const float scale = convert_row(neon, packed, weight + n * stride, row);
        if (packed->scale)
            packed->scale[n] = scale;
        interleave(row, packed->depth, n % GEMM_COLUMNS, GEMM_COLUMNS,
                   packed->weight + n / GEMM_COLUMNS * panel);
    }
}

static const size_t head = (sizeof(struct packed) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

/* Of whole panels, without bias and scales. */
static uint64_t weight_bytes_of(const struct dtr_linear *linear) {
    const uint64_t columns =
        ((uint64_t)linear->out + GEMM_COLUMNS - 1) / GEMM_COLUMNS * GEMM_COLUMNS;
    return columns * depth_of(linear->dtype, linear->in) * GEMM_ELEMENT;
}

size_t neon_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    (void)self;
    const uint32_t rows = (biased ? 1u : 0u) + (linear->dtype == DTR_INT8 ? 1u : 0u);
    const uint64_t bytes =
        head + weight_bytes_of(linear) + rows * (uint64_t)linear->out * sizeof(float);
    return bytes <= SIZE_MAX ? (size_t)bytes : 0;
}

int neon_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                 size_t weight_stride, const float *bias, void **packed_p,
                 struct dtr_error *error) {
    struct neon *neon = self;
    const struct dtr_host *host = neon->common.host;
    const uint32_t depth = depth_of(linear->dtype, linear->in);
    const uint64_t weight_bytes = weight_bytes_of(linear);
    const size_t bytes = neon_prepared_bytes(self, linear, bias != NULL);
    void *row = dtr_common_scratch(&neon->common, depth * (size_t)GEMM_ELEMENT);
    struct packed *packed = row && bytes ? host->allocate(host, ALIGNMENT, bytes) : NULL;
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "no memory for a weight of %u x %u", linear->out,
                          linear->in);
    memset(packed, 0, (size_t)(head + weight_bytes));
    *packed = (struct packed){.out = linear->out,
                              .in = linear->in,
                              .dtype = linear->dtype,
                              .activation = linear->activation,
                              .depth = depth,
                              .bytes = bytes,
                              .weight = (char *)packed + head};
    float *rest = (float *)(packed->weight + weight_bytes);
    if (linear->dtype == DTR_INT8) {
        packed->scale = rest;
        rest += linear->out;
    }
    if (bias) {
        packed->bias = rest;
        memcpy(rest, bias, linear->out * sizeof *bias);
    }
    pack(neon, packed, weight, weight_stride, row);
    *packed_p = packed;
    return DTR_OK;
}

size_t neon_packed_bytes(void *self, const void *packed) {
    (void)self;
    return ((const struct packed *)packed)->bytes;
}

/* One call of linear(), as its threads see it. */
struct product {
    const struct neon *neon;
    const struct packed *packed;
    uint32_t rows;
    const float *x;
    size_t x_stride;
    float *y;
    size_t y_stride;
    bool accumulate;
    size_t tile_bytes, row_bytes;
    char *tiles;  /* [rows / 8][depth][8] */
    char *row;    /* [threads] one row each, while it is being packed */
    float *scale; /* [rows] */
};

static void pack_rows(void *arg, uint32_t part) {
    const struct product *p = arg;
    uint32_t first, end;
    dtr_common_share(p->rows, GEMM_ROWS, p->neon->common.threads, part, &first, &end);
    char *row = p->row + part * p->row_bytes;
    for (uint32_t r = first; r < end; r++) {
        p->scale[r] = convert_row(p->neon, p->packed, p->x + r * p->x_stride, row);
        interleave(row, p->packed->depth, r % GEMM_ROWS, GEMM_ROWS,
                   p->tiles + r / GEMM_ROWS * p->tile_bytes);
    }
}

/* A tile's rows on their way to y. */
static void store(const struct product *p, uint32_t row, uint32_t column, uint32_t rows,
                  uint32_t columns, void *tile) {
    const struct packed *packed = p->packed;
    const struct dtr_vector *vector = p->neon->common.vector;
    const float *bias = packed->bias ? packed->bias + column : NULL;
    for (uint32_t r = 0; r < rows; r++) {
        float *y = p->y + (row + r) * p->y_stride + column;
        if (packed->dtype == DTR_INT8) {
            vector->from_int32(packed->activation, columns,
                               (const int32_t *)tile + r * GEMM_COLUMNS, p->scale[row + r],
                               packed->scale + column, bias, p->accumulate, y);
            continue;
        }
        float *sums = (float *)tile + r * GEMM_COLUMNS;
        vector->activate(packed->activation, columns, bias, sums);
        for (uint32_t c = 0; c < columns; c++)
            y[c] = p->accumulate ? y[c] + sums[c] : sums[c];
    }
}

static void multiply(void *arg, uint32_t part) {
    const struct product *p = arg;
    const struct packed *packed = p->packed;
    gemm_fn *gemm = packed->dtype == DTR_INT8 ? p->neon->igemm : neon_sgemm_8x12;
    uint32_t first, end;
    dtr_common_share(packed->out, GEMM_COLUMNS, p->neon->common.threads, part, &first, &end);
    for (uint32_t column = first; column < end; column += GEMM_COLUMNS) {
        const uint32_t columns = end - column < GEMM_COLUMNS ? end - column : GEMM_COLUMNS;
        const char *panel = packed->weight + (size_t)column * packed->depth * GEMM_ELEMENT;
        for (uint32_t row = 0; row < p->rows; row += GEMM_ROWS) {
            const uint32_t rows = p->rows - row < GEMM_ROWS ? p->rows - row : GEMM_ROWS;
            _Alignas(64) uint32_t tile[GEMM_ROWS * GEMM_COLUMNS];
            gemm(rows, packed->depth, p->tiles + row / GEMM_ROWS * p->tile_bytes, panel, tile);
            store(p, row, column, rows, columns, tile);
        }
    }
}

int neon_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride, float *y,
                size_t y_stride, uint32_t flags) {
    struct neon *neon = self;
    const struct packed *packed = opaque;
    const struct dtr_host *host = neon->common.host;
    const size_t tiles = rows / GEMM_ROWS + (rows % GEMM_ROWS != 0);
    struct product p = {.neon = neon,
                        .packed = packed,
                        .rows = rows,
                        .x = x,
                        .x_stride = x_stride,
                        .y = y,
                        .y_stride = y_stride,
                        .accumulate = flags & DTR_LINEAR_ACCUMULATE,
                        .tile_bytes = (size_t)packed->depth * GEMM_ROWS * GEMM_ELEMENT,
                        .row_bytes = (size_t)packed->depth * GEMM_ELEMENT};
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || (flags && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    p.tiles = dtr_common_scratch(&neon->common, tiles * p.tile_bytes +
                                                    neon->common.threads * p.row_bytes +
                                                    rows * sizeof(float));
    if (!p.tiles)
        return DTR_E_MEMORY;
    p.row = p.tiles + tiles * p.tile_bytes;
    p.scale = (float *)(p.row + neon->common.threads * p.row_bytes);
    if (rows % GEMM_ROWS) /* rows of the last tile that are not there */
        memset(p.tiles + (tiles - 1) * p.tile_bytes, 0, p.tile_bytes);
    host->parallel(host, pack_rows, &p, neon->common.threads);
    host->parallel(host, multiply, &p, neon->common.threads);
    return DTR_OK;
}

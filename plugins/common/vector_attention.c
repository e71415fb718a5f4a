/* SPDX-License-Identifier: MIT
 *
 * vector_attention.c -- scaled dot-product attention without a matrix of all scores: for each head
 * the keys and values are packed once, then a block of queries at a time is multiplied with the
 * keys, put through the softmax and multiplied with the values, all within the second-level cache.
 *
 * Both products run over panels of PANEL columns, a row for each term, filled up with zeros.  A
 * term of a sum is a float, or two numbers of bfloat16 that the machine multiplies and adds at
 * once, in 32 bits as well.
 */
#include "vector_variant.h"

#define TILE 6u   /* rows of one tile, so that accumulators fill the registers */
#define BLOCK 24u /* queries whose scores are kept at once */
#if LANES == 16 || defined(__aarch64__)
#define WIDTH 4u /* vectors side by side: 32 registers */
#else
#define WIDTH 2u /* 16 registers */
#endif
#define PANEL (WIDTH * LANES)

/* c[TILE][width * LANES] = a[TILE][depth] b[depth][PANEL]; rows that are not there repeat others.
 */
static inline __attribute__((always_inline)) void multiply(uint32_t width, bool pairs,
                                                           const float *const a[TILE],
                                                           const float *b, uint32_t depth, float *c,
                                                           size_t c_stride) {
    lanes sum[TILE][WIDTH];
#pragma GCC unroll 6
    for (uint32_t r = 0; r < TILE; r++)
#pragma GCC unroll 4
        for (uint32_t w = 0; w < width; w++)
            sum[r][w] = lanes_set(0.0f);
    for (uint32_t k = 0; k < depth; k++, b += PANEL)
#pragma GCC unroll 6
        for (uint32_t r = 0; r < TILE; r++)
#pragma GCC unroll 4
            for (uint32_t w = 0; w < width; w++)
                sum[r][w] = pairs ? lanes_add_pairs(sum[r][w], a[r] + k, b + w * LANES)
                                  : sum[r][w] + a[r][k] * *(const lanes *)(b + w * LANES);
#pragma GCC unroll 6
    for (uint32_t r = 0; r < TILE; r++)
#pragma GCC unroll 4
        for (uint32_t w = 0; w < width; w++)
            lanes_store(c + r * c_stride + w * LANES, sum[r][w]);
}

static inline __attribute__((always_inline)) void multiply_columns(uint32_t columns, bool pairs,
                                                                   const float *const a[TILE],
                                                                   const float *b, uint32_t depth,
                                                                   float *c, size_t c_stride) {
    switch ((columns + LANES - 1) / LANES) {
    case 1:
        multiply(1, pairs, a, b, depth, c, c_stride);
        break;
#if PANEL > 2 * LANES
    case 2:
        multiply(2, pairs, a, b, depth, c, c_stride);
        break;
    case 3:
        multiply(3, pairs, a, b, depth, c, c_stride);
        break;
#endif
    default:
        multiply(WIDTH, pairs, a, b, depth, c, c_stride);
    }
}

static void multiply_tile(bool pairs, const float *const a[TILE], const float *b, uint32_t depth,
                          uint32_t columns, float *c, size_t c_stride) {
    if (LANES_PAIRS && pairs)
        multiply_columns(columns, true, a, b, depth, c, c_stride);
    else
        multiply_columns(columns, false, a, b, depth, c, c_stride);
}

static uint32_t panels(uint32_t columns) {
    return columns / PANEL + (columns % PANEL != 0);
}

/* One head's keys and values, and where its results go. */
struct head {
    const struct dtr_attention *attention;
    const struct dtr_span *span;
    size_t column; /* of the head's first value */
    bool pairs;    /* are multiplied */
    uint32_t size; /* terms of a query or a key */
    float *keys;   /* [panels(key_rows)][size][PANEL] */
    float *values; /* [panels(head_size)][terms of key_rows][PANEL] */
    float *scores; /* [BLOCK][score_stride] */
    float *rows;   /* [ROUNDED][size]: queries or keys as pairs */
    size_t score_stride;
};

/* Queries, or keys, that are rounded at once. */
#define ROUNDED (PANEL > BLOCK ? PANEL : BLOCK)

static void round_row(uint32_t numbers, const float *from, float *to) {
    uint16_t *narrow = (uint16_t *)to;
    DTR_NAME(to_bf16)(numbers, from, narrow);
    memset(narrow + numbers, 0, numbers % 2 * sizeof *narrow);
}

/* Queries or keys in the terms that are multiplied; *stride_p becomes theirs. */
static const float *rows_of(const struct head *h, const float *from, size_t *stride_p,
                            uint32_t rows) {
    if (!h->pairs)
        return from;
    for (uint32_t r = 0; r < rows; r++)
        round_row(h->attention->head_size, from + r * *stride_p, h->rows + (size_t)r * h->size);
    *stride_p = h->size;
    return h->rows;
}

/* Keys [first, first + PANEL) as a panel [size][PANEL]; `size`: their terms. */
static void pack_keys(const float *k, size_t stride, uint32_t rows, uint32_t size, float *panel) {
    const uint32_t keys = rows < PANEL ? rows : PANEL;
    if (keys < PANEL)
        memset(panel, 0, (size_t)size * PANEL * sizeof *panel);
    for (uint32_t j = 0; j < keys; j += 4)
        for (uint32_t i = 0; i < size; i += 4) {
            const float *from = k + j * stride + i;
            float *to = panel + (size_t)i * PANEL + j;
            if (j + 4 <= keys && i + 4 <= size) {
                quad_transpose(from, stride, to, PANEL);
                continue;
            }
            for (uint32_t r = 0; r < 4 && j + r < keys; r++)
                for (uint32_t c = 0; c < 4 && i + c < size; c++)
                    to[c * PANEL + r] = from[r * stride + c];
        }
}

/* LANES numbers of a row from column c on; zeros behind its end. */
static inline lanes load_columns(const float *row, uint32_t c, uint32_t columns) {
    return c + LANES <= columns ? lanes_load(row + c)
           : c >= columns       ? lanes_set(0.0f)
                                : lanes_load_part(row + c, columns - c, 0.0f);
}

/* Columns of all values as a panel [terms of rows][PANEL]. */
static void pack_values(bool pairs, const float *v, size_t stride, uint32_t rows, uint32_t columns,
                        float *panel) {
    const uint32_t step = pairs ? 2 : 1;
    for (uint32_t j = 0; j < rows; j += step, v += step * stride, panel += PANEL)
        for (uint32_t c = 0; c < PANEL; c += LANES) {
            const lanes x = load_columns(v, c, columns);
            if (pairs)
                lanes_store(panel + c,
                            lanes_pairs(x, j + 1 < rows ? load_columns(v + stride, c, columns)
                                                        : lanes_set(0.0f)));
            else
                lanes_store(panel + c, x);
        }
}

static void pack(const struct head *h) {
    const struct dtr_attention *a = h->attention;
    const uint32_t rows = h->span->key_rows, size = a->head_size;
    const float *k = a->k + h->span->key_first * a->k_stride + h->column;
    const float *v = a->v + h->span->key_first * a->v_stride + h->column;
    for (uint32_t first = 0; first < rows; first += PANEL) {
        size_t stride = a->k_stride;
        const float *from = rows_of(h, k + first * stride, &stride, smaller(rows - first, PANEL));
        pack_keys(from, stride, rows - first, h->size, h->keys + (size_t)first * h->size);
    }
    for (uint32_t first = 0; first < size; first += PANEL)
        pack_values(h->pairs, v + first, a->v_stride, rows, smaller(size - first, PANEL),
                    h->values + (size_t)first * dtr_vector_terms(h->pairs, rows));
}

/* Turns a row of products into e^(scale (product - largest)); returns their sum. */
static float soften(float *scores, uint32_t count, float scale) {
    lanes highest = lanes_set(scores[0]), sum = lanes_set(0.0f);
    const uint32_t whole = count / LANES * LANES, rest = count - whole;
    for (uint32_t j = 0; j < whole; j += LANES) {
        const lanes x = lanes_load(scores + j);
        highest = lanes_larger(x, highest);
    }
    if (rest) {
        const lanes x = lanes_load_part(scores + whole, rest, scores[0]);
        highest = lanes_larger(x, highest);
    }
    const float shift = lanes_max(highest);
    for (uint32_t j = 0; j < whole; j += LANES) {
        const lanes e = lanes_exp_below((lanes_load(scores + j) - shift) * scale);
        lanes_store(scores + j, e);
        sum += e;
    }
    float total = lanes_sum(sum);
    if (rest) {
        const lanes e =
            lanes_exp_below((lanes_load_part(scores + whole, rest, shift) - shift) * scale);
        lanes_store_part(scores + whole, rest, e);
        for (uint32_t j = whole; j < count; j++)
            total += scores[j];
    }
    return total;
}

/* The rows of a tile; those from `rows` on repeat the first. */
static void tile_rows(const float *first, size_t stride, uint32_t rows, const float *row[TILE]) {
    for (uint32_t r = 0; r < TILE; r++)
        row[r] = first + (r < rows ? r : 0) * stride;
}

static void score(const struct head *h, const float *q, uint32_t queries) {
    const uint32_t keys = h->span->key_rows;
    size_t stride = h->attention->q_stride;
    q = rows_of(h, q, &stride, queries);
    for (uint32_t first = 0; first < keys; first += PANEL) {
        const float *panel = h->keys + (size_t)first * h->size;
        for (uint32_t i = 0; i < queries; i += TILE) {
            const float *row[TILE];
            tile_rows(q + i * stride, stride, queries - i, row);
            multiply_tile(h->pairs, row, panel, h->size, keys - first,
                          h->scores + i * h->score_stride + first, h->score_stride);
        }
    }
}

/* The softmax of each query's scores, but for the division by the sum of the row. */
static void soften_rows(const struct head *h, uint32_t queries, float *sum) {
    const uint32_t keys = h->span->key_rows;
    for (uint32_t r = 0; r < queries; r++) {
        float *row = h->scores + r * h->score_stride;
        sum[r] = soften(row, keys, h->attention->scale);
        if (h->pairs)
            round_row(keys, row, row);
    }
}

static void mix(const struct head *h, const float *sum, float *context, uint32_t queries) {
    const struct dtr_attention *a = h->attention;
    const uint32_t size = a->head_size, keys = dtr_vector_terms(h->pairs, h->span->key_rows);
    for (uint32_t first = 0; first < size; first += PANEL) {
        const float *panel = h->values + (size_t)first * keys;
        const uint32_t columns = smaller(size - first, PANEL);
        for (uint32_t i = 0; i < queries; i += TILE) {
            const float *row[TILE];
            _Alignas(64) float tile[TILE][PANEL];
            tile_rows(h->scores + i * h->score_stride, h->score_stride, queries - i, row);
            multiply_tile(h->pairs, row, panel, keys, columns, tile[0], PANEL);
            for (uint32_t r = 0; r < TILE && i + r < queries; r++) {
                float *y = context + (i + r) * a->context_stride + first;
                const float factor = 1.0f / sum[i + r];
                for (uint32_t c = 0; c < columns; c += LANES) {
                    const lanes z = *(const lanes *)&tile[r][c] * factor;
                    if (columns - c >= LANES)
                        lanes_store(y + c, z);
                    else
                        lanes_store_part(y + c, columns - c, z);
                }
            }
        }
    }
}

/* Queries [first, end) of the head's span. */
static void attend_head(const struct head *h, uint32_t first, uint32_t end) {
    const struct dtr_attention *a = h->attention;
    pack(h);
    for (uint32_t i = first; i < end; i += BLOCK) {
        const uint32_t queries = smaller(end - i, BLOCK);
        const size_t row = (size_t)h->span->query_first + i;
        float sum[BLOCK];
        score(h, a->q + row * a->q_stride + h->column, queries);
        soften_rows(h, queries, sum);
        mix(h, sum, a->context + row * a->context_stride + h->column, queries);
    }
}

static uint32_t keys_max(const struct dtr_attention *a) {
    uint32_t keys = 0;
    for (uint32_t s = 0; s < a->spans_count; s++)
        keys = a->spans[s].key_rows > keys ? a->spans[s].key_rows : keys;
    return keys;
}

size_t DTR_NAME(attend_scratch)(const struct dtr_attention *attention) {
    const size_t keys = (size_t)panels(keys_max(attention)) * PANEL;
    const size_t size = (size_t)panels(attention->head_size) * PANEL;
    return keys * (attention->head_size + size + BLOCK) + ROUNDED * (size_t)attention->head_size;
}

/* Types that let factors be rounded to bfloat16, where the machine multiplies pairs. */
static bool by_pairs(uint32_t dtype) {
    return LANES_PAIRS && (dtype == DTR_BF16 || dtype == DTR_INT8);
}

/* The queries of all heads and spans are numbered through, head by head within a span, and dealt
 * out evenly: a head at a boundary is packed by both neighbours. */
void DTR_NAME(attend)(const struct dtr_attention *attention, uint32_t part, uint32_t parts,
                      float *scratch) {
    const size_t keys = (size_t)panels(keys_max(attention)) * PANEL;
    const bool pairs = by_pairs(attention->dtype);
    struct head head = {.attention = attention,
                        .pairs = pairs,
                        .size = dtr_vector_terms(pairs, attention->head_size),
                        .keys = scratch,
                        .score_stride = keys};
    head.values = head.keys + keys * attention->head_size;
    head.scores = head.values + keys * panels(attention->head_size) * PANEL;
    head.rows = head.scores + keys * BLOCK;
    uint64_t total = 0, at = 0;
    for (uint32_t s = 0; s < attention->spans_count; s++)
        total += (uint64_t)attention->spans[s].query_rows * attention->heads;
    const uint64_t first = total * part / parts, end = total * (part + 1) / parts;
    for (uint32_t s = 0; s < attention->spans_count; s++) {
        const struct dtr_span *span = head.span = &attention->spans[s];
        for (uint32_t i = 0; i < attention->heads; i++, at += span->query_rows) {
            const uint64_t from = first > at ? first - at : 0;
            const uint64_t to = end > at ? end - at : 0;
            head.column = (size_t)i * attention->head_size;
            if (from < to && from < span->query_rows)
                attend_head(&head, (uint32_t)from,
                            to < span->query_rows ? (uint32_t)to : span->query_rows);
        }
    }
}

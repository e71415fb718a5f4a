/* SPDX-License-Identifier: MIT
 *
 * kernel_norms.c -- layer normalisation, whole and in its two halves.
 */
#include "check/kernel_rig.h"

#include <math.h>

static const struct {
    uint32_t rows, columns, gap;
} shapes[] = {{1, 1, 0},  {2, 2, 1},   {3, 3, 0},   {2, 7, 5},   {1, 8, 0},   {5, 15, 1},
              {4, 16, 0}, {3, 17, 1},  {2, 31, 3},  {7, 32, 32}, {2, 33, 1},  {1, 63, 1},
              {3, 64, 0}, {2, 65, 7},  {9, 192, 1}, {2, 255, 0}, {3, 257, 1}, {128, 48, 0},
              {0, 16, 0}, {2, 768, 0}, {1, 1024, 5}};

/* Where the result goes. */
enum place { APART, OVER_X, OVER_RESIDUAL, NO_RESIDUAL, PLACES };
static const char *const place_name[] = {"apart", "over x", "over the residual", "no residual"};

struct matrices {
    struct kernel_grid x, residual, y, gamma, beta, moments;
    struct kernel_grid z; /* x + residual as they were */
};

static void free_matrices(struct matrices *m) {
    dtr_kernel_grid_free(&m->x);
    dtr_kernel_grid_free(&m->residual);
    dtr_kernel_grid_free(&m->y);
    dtr_kernel_grid_free(&m->gamma);
    dtr_kernel_grid_free(&m->beta);
    dtr_kernel_grid_free(&m->moments);
    dtr_kernel_grid_free(&m->z);
}

static bool make_matrices(struct matrices *m, uint32_t rows, uint32_t columns, uint32_t gap,
                          enum place place) {
    *m = (struct matrices){0};
    if (!dtr_kernel_grid_make(&m->x, rows, columns, gap) ||
        !dtr_kernel_grid_make(&m->residual, rows, columns, gap + 2) ||
        !dtr_kernel_grid_make(&m->y, rows, columns, gap + 1) ||
        !dtr_kernel_grid_make(&m->gamma, 1, columns, gap) ||
        !dtr_kernel_grid_make(&m->beta, 1, columns, gap) ||
        !dtr_kernel_grid_make(&m->moments, rows, 2, 0) ||
        !dtr_kernel_grid_make(&m->z, rows, columns, 0))
        return false;
    dtr_kernel_grid_fill(&m->x, columns, 2.0f);
    dtr_kernel_grid_fill(&m->residual, columns + 1, 1.0f);
    dtr_kernel_grid_fill(&m->gamma, 3, 1.5f);
    dtr_kernel_grid_fill(&m->beta, 4, 1.0f);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < columns; i++) {
            float *x = &m->x.at[row * m->x.stride + i];
            if (row == 1) /* a row that is far from zero: its variance must not drown */
                *x += 100.0f;
            const float other =
                place == NO_RESIDUAL ? 0.0f : m->residual.at[row * m->residual.stride + i];
            m->z.at[row * m->z.stride + i] = *x + other;
        }
    return true;
}

static struct dtr_norm describe(struct matrices *m, enum place place) {
    struct dtr_norm norm = {.size = sizeof norm,
                            .rows = m->x.rows,
                            .columns = m->x.columns,
                            .x = m->x.at,
                            .x_stride = m->x.stride,
                            .y = m->y.at,
                            .y_stride = m->y.stride,
                            .gamma = m->gamma.at,
                            .beta = m->beta.at,
                            .epsilon = 1e-12f,
                            .moments = m->moments.at,
                            .count = m->x.columns};
    if (place != NO_RESIDUAL) {
        norm.residual = m->residual.at;
        norm.residual_stride = m->residual.stride;
    }
    if (place == OVER_X) {
        norm.y = m->x.at;
        norm.y_stride = m->x.stride;
    } else if (place == OVER_RESIDUAL) {
        norm.y = m->residual.at;
        norm.y_stride = m->residual.stride;
    }
    return norm;
}

struct moments {
    double mean, m2, farthest, distance; /* farthest from zero; the sum of |x - mean| */
};

static struct moments moments_of(const float *z, uint32_t columns) {
    struct moments m = {0};
    for (uint32_t i = 0; i < columns; i++) {
        m.mean += (double)z[i] / columns;
        m.farthest = fmax(m.farthest, fabs((double)z[i]));
    }
    for (uint32_t i = 0; i < columns; i++) {
        const double d = (double)z[i] - m.mean;
        m.m2 += d * d;
        m.distance += fabs(d);
    }
    return m;
}

/* y against gamma (z - mean) / sqrt(m2 / count + epsilon) + beta. */
static void compare_rows(const struct dtr_norm *n, const struct matrices *m, bool given,
                         struct kernel_verdict *verdict) {
    for (uint32_t row = 0; row < n->rows; row++) {
        const float *z = m->z.at + row * m->z.stride;
        struct moments at = moments_of(z, n->columns);
        if (given) {
            at.mean = (double)n->moments[2 * row];
            at.m2 = (double)n->moments[2 * row + 1];
        }
        const double factor = 1.0 / sqrt(at.m2 / n->count + (double)n->epsilon);
        for (uint32_t i = 0; i < n->columns; i++) {
            const double gamma = (double)n->gamma[i], beta = (double)n->beta[i];
            const double scaled = ((double)z[i] - at.mean) * factor;
            const double limit =
                KERNEL_ROUNDING *
                (16.0 * fabs(gamma) * (at.farthest * factor + fabs(scaled)) + 4.0 * fabs(beta));
            dtr_kernel_verdict_value(verdict, "y", row, i, (double)n->y[row * n->y_stride + i],
                                     scaled * gamma + beta, n->columns > 1 ? limit : 1e-6);
        }
    }
}

static void compare_moments(const struct dtr_norm *n, const struct matrices *m,
                            struct kernel_verdict *verdict) {
    for (uint32_t row = 0; row < n->rows; row++) {
        const float *z = m->z.at + row * m->z.stride;
        const struct moments at = moments_of(z, n->columns);
        const double drift = 8.0 * KERNEL_ROUNDING * at.farthest;
        for (uint32_t i = 0; i < n->columns; i++)
            dtr_kernel_verdict_value(verdict, "y", row, i, (double)n->y[row * n->y_stride + i],
                                     (double)z[i], 0.0);
        dtr_kernel_verdict_value(verdict, "mean", row, 0, (double)n->moments[2 * row], at.mean,
                                 drift);
        dtr_kernel_verdict_value(verdict, "m2", row, 0, (double)n->moments[2 * row + 1], at.m2,
                                 16.0 * KERNEL_ROUNDING * at.m2 + 2.0 * at.distance * drift +
                                     n->columns * drift * drift);
    }
}

static void check_margins(const struct matrices *m, struct kernel_verdict *verdict) {
    if (!dtr_kernel_grid_is_intact(&m->x) || !dtr_kernel_grid_is_intact(&m->residual) ||
        !dtr_kernel_grid_is_intact(&m->y) || !dtr_kernel_grid_is_intact(&m->moments))
        dtr_kernel_verdict_fail(verdict, "there are writes outside of y or the moments");
}

static int try_add_norm(struct kernel_rig *rig, struct matrices *m, enum place place,
                        struct kernel_verdict *verdict) {
    const struct dtr_norm norm = describe(m, place);
    const int status = rig->ops->add_norm(rig->self, &norm);
    if (!status)
        compare_rows(&norm, m, false, verdict);
    return status;
}

static int try_moments(struct kernel_rig *rig, struct matrices *m, enum place place,
                       struct kernel_verdict *verdict) {
    const struct dtr_norm norm = describe(m, place);
    const int status = rig->ops->moments(rig->self, &norm);
    if (!status)
        compare_moments(&norm, m, verdict);
    return status;
}

/* With moments that stand for three times as many columns, as if the others were elsewhere. */
static int try_normalise(struct kernel_rig *rig, struct matrices *m, enum place place,
                         struct kernel_verdict *verdict) {
    struct dtr_norm norm = describe(m, place == NO_RESIDUAL ? APART : OVER_X);
    norm.residual = NULL;
    norm.count *= 3;
    for (uint32_t row = 0; row < norm.rows; row++) {
        for (uint32_t i = 0; i < norm.columns; i++)
            m->x.at[row * m->x.stride + i] = m->z.at[row * m->z.stride + i];
        norm.moments[2 * row] = row == 1 ? 100.0f : 0.25f;
        norm.moments[2 * row + 1] = 0.7f * (float)norm.count;
    }
    const int status = rig->ops->normalise(rig->self, &norm);
    if (!status)
        compare_rows(&norm, m, true, verdict);
    return status;
}

static void try_shapes(struct kernel_rig *rig, uint32_t op_code, const char *name,
                       int (*one)(struct kernel_rig *rig, struct matrices *m, enum place place,
                                  struct kernel_verdict *verdict),
                       struct dtr_check *check) {
    struct kernel_verdict verdict = {.worst = 0.0};
    bool any = false;
    for (size_t i = 0; i < PLACES * (sizeof shapes / sizeof *shapes) && !*verdict.why; i++) {
        const enum place place = (enum place)(i % PLACES);
        const uint32_t rows = shapes[i / PLACES].rows, columns = shapes[i / PLACES].columns;
        const struct dtr_op_shape op = {.size = sizeof op, .op = op_code, .columns = columns};
        struct matrices m;
        if (rig->ops->supports(rig->self, &op) <= 0)
            continue;
        any = true;
        dtr_kernel_verdict_shape(&verdict, "%u rows of %u, gap %u, %s", rows, columns,
                                 shapes[i / PLACES].gap, place_name[place]);
        if (make_matrices(&m, rows, columns, shapes[i / PLACES].gap, place)) {
            const int status = one(rig, &m, place, &verdict);
            if (status)
                dtr_kernel_verdict_fail(&verdict, "it failed with %d", status);
            check_margins(&m, &verdict);
        } else {
            dtr_kernel_verdict_fail(&verdict, "the test is out of memory");
        }
        free_matrices(&m);
    }
    if (any)
        dtr_kernel_verdict_report(&verdict, check, name);
    else
        dtr_check_skip(check, "not supported", "%s", name);
}

void dtr_kernel_check_norms(struct kernel_rig *rig, struct dtr_check *check) {
    char name[60];
    snprintf(name, sizeof name, "add_norm, threads %u", rig->threads);
    try_shapes(rig, DTR_OP_ADD_NORM, name, try_add_norm, check);
    snprintf(name, sizeof name, "moments, threads %u", rig->threads);
    try_shapes(rig, DTR_OP_MOMENTS, name, try_moments, check);
    snprintf(name, sizeof name, "normalise, threads %u", rig->threads);
    try_shapes(rig, DTR_OP_NORMALISE, name, try_normalise, check);
}

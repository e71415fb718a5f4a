/* SPDX-License-Identifier: MIT */
#include "check/kernel_rig.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 67u /* floats before and after a grid; odd, so that nothing is aligned by chance */
#define MARK 0x7fc5a5a5u /* the bits of a mark: not a number, so that reading one shows as well */
#define CLOSE 0.8        /* of its limit: an error that is worth a remark */

static void *counting_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    struct kernel_host *counting = (struct kernel_host *)(uintptr_t)host;
    void *memory = NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes ? bytes : 1))
        return NULL;
    atomic_fetch_add(&counting->allocations, 1);
    atomic_fetch_add(&counting->live, 1);
    return memory;
}

static void counting_release(const struct dtr_host *host, void *memory) {
    struct kernel_host *counting = (struct kernel_host *)(uintptr_t)host;
    if (memory)
        atomic_fetch_sub(&counting->live, 1);
    free(memory);
}

static int open_one(struct kernel_rig *rig, const struct dtr_plugin *plugin, const void *params,
                    const struct dtr_log *log, struct dtr_error *error) {
    struct kernel_host *host = &rig->host[rig->count];
    dtr_services_init(&host->services, plugin->name, log, rig->pool);
    host->services.host.allocate = counting_allocate;
    host->services.host.release = counting_release;
    atomic_init(&host->allocations, 0);
    atomic_init(&host->live, 0);
    if (plugin->probe(&host->services.host, error) <= 0)
        return dtr_fail(error, DTR_E_UNSUPPORTED, "it cannot run here and does not say why");
    const struct dtr_open how = {.size = sizeof how,
                                 .params = params,
                                 .lower = rig->count ? &rig->instance[rig->count - 1] : NULL,
                                 .threads = rig->threads,
                                 .device = 0,
                                 .devices = 1};
    void *self = NULL;
    const int status = plugin->open(&host->services.host, &how, &self, error);
    if (status)
        return dtr_fail(error, status, "it does not open and does not say why");
    rig->instance[rig->count++] = (struct dtr_instance){.plugin = plugin, .self = self};
    return DTR_OK;
}

int dtr_kernel_rig_open(struct kernel_rig *rig, const struct dtr_chain *chain,
                        const struct dtr_log *log, uint32_t threads, struct dtr_error *error) {
    rig->pool = NULL;
    rig->count = 0;
    rig->threads = threads;
    int status = dtr_pool_create(threads, &rig->pool, error);
    for (uint32_t i = chain->count; !status && i-- > 0;)
        status = open_one(rig, chain->plugin[i], chain->params[i], log, error);
    if (status) {
        dtr_kernel_rig_close(rig);
        return status;
    }
    rig->ops = chain->plugin[0]->ops;
    rig->self = rig->instance[rig->count - 1].self;
    return DTR_OK;
}

int64_t dtr_kernel_rig_live(const struct kernel_rig *rig) {
    int64_t live = 0;
    for (uint32_t i = 0; i < rig->count; i++)
        live += (int64_t)atomic_load(&rig->host[i].live);
    return live;
}

uint64_t dtr_kernel_rig_allocations(const struct kernel_rig *rig) {
    uint64_t allocations = 0;
    for (uint32_t i = 0; i < rig->count; i++)
        allocations += atomic_load(&rig->host[i].allocations);
    return allocations;
}

int64_t dtr_kernel_rig_close(struct kernel_rig *rig) {
    for (uint32_t i = rig->count; i-- > 0;)
        rig->instance[i].plugin->close(rig->instance[i].self);
    const int64_t live = dtr_kernel_rig_live(rig);
    dtr_pool_free(rig->pool);
    rig->pool = NULL;
    rig->count = 0;
    return live;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void mark(float *cell) {
    const uint32_t bits = MARK;
    memcpy(cell, &bits, sizeof bits);
}

bool dtr_kernel_grid_make(struct kernel_grid *grid, uint32_t rows, uint32_t columns, uint32_t gap) {
    const size_t stride = (size_t)columns + gap, floats = stride * rows + 2 * MARGIN;
    *grid = (struct kernel_grid){.rows = rows, .columns = columns, .stride = stride};
    grid->floats = floats;
    grid->memory = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
    if (!grid->memory)
        return false;
    grid->at = grid->memory + (gap % 2 ? MARGIN : MARGIN / 16 * 16);
    for (size_t i = 0; i < floats; i++)
        mark(&grid->memory[i]);
    return true;
}

void dtr_kernel_grid_free(struct kernel_grid *grid) {
    free(grid->memory);
    *grid = (struct kernel_grid){0};
}

/* Steele, Lea and Flood 2014, SplitMix64 */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void dtr_kernel_grid_fill(struct kernel_grid *grid, uint64_t seed, float size) {
    uint64_t counter = mix(seed);
    for (uint32_t row = 0; row < grid->rows; row++)
        for (uint32_t column = 0; column < grid->columns; column++) {
            const int32_t whole = (int32_t)(mix(counter++) >> 40) - (1 << 23);
            grid->at[row * grid->stride + column] = (float)whole * 0x1p-23f * size;
        }
}

void dtr_kernel_grid_clear(struct kernel_grid *grid) {
    for (uint32_t row = 0; row < grid->rows; row++)
        for (uint32_t column = 0; column < grid->columns; column++)
            mark(&grid->at[row * grid->stride + column]);
}

bool dtr_kernel_grid_is_marked(const struct kernel_grid *grid, uint32_t row, uint32_t column) {
    return bits_of(grid->at[row * grid->stride + column]) == MARK;
}

bool dtr_kernel_grid_is_intact(const struct kernel_grid *grid) {
    const size_t before = (size_t)(grid->at - grid->memory);
    for (size_t i = 0; i < grid->floats; i++) {
        const bool inside = i >= before && (i - before) / grid->stride < grid->rows &&
                            (i - before) % grid->stride < grid->columns;
        if (!inside && bits_of(grid->memory[i]) != MARK)
            return false;
    }
    return true;
}

bool dtr_kernel_grid_copy(const struct kernel_grid *grid, struct kernel_grid *copy) {
    const uint32_t gap = (uint32_t)(grid->stride - grid->columns);
    if (!dtr_kernel_grid_make(copy, grid->rows, grid->columns, gap))
        return false;
    memcpy(copy->memory, grid->memory, grid->floats * sizeof(float));
    return true;
}

bool dtr_kernel_grid_is_equal(const struct kernel_grid *a, const struct kernel_grid *b) {
    return memcmp(a->memory, b->memory, a->floats * sizeof(float)) == 0;
}

void dtr_kernel_verdict_shape(struct kernel_verdict *verdict, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->shape, sizeof verdict->shape, format, args);
    va_end(args);
}

void dtr_kernel_verdict_fail(struct kernel_verdict *verdict, const char *format, ...) {
    if (*verdict->why)
        return;
    const size_t room = sizeof verdict->why;
    const int used = snprintf(verdict->why, room, "%s: ", verdict->shape);
    va_list args;
    va_start(args, format);
    if (used >= 0 && (size_t)used < room)
        vsnprintf(verdict->why + used, room - (size_t)used, format, args);
    va_end(args);
}

void dtr_kernel_verdict_value(struct kernel_verdict *verdict, const char *what, uint32_t row,
                              uint32_t column, double value, double expected, double limit) {
    const double error = fabs(value - expected);
    if (!(error <= limit)) {
        dtr_kernel_verdict_fail(verdict, "%s[%u][%u] is %.9g and should be %.9g within %.2g", what,
                                row, column, value, expected, limit);
        return;
    }
    if (limit > 0.0 && error / limit > verdict->worst) {
        verdict->worst = error / limit;
        memcpy(verdict->worst_shape, verdict->shape, sizeof verdict->shape);
    }
}

void dtr_kernel_verdict_report(const struct kernel_verdict *verdict, struct dtr_check *check,
                               const char *name) {
    dtr_check_case(check, *verdict->why ? verdict->why : NULL, "%s", name);
    if (!*verdict->why && verdict->worst > CLOSE)
        dtr_check_note(check, "warning: %s: the error reaches %.0f %% of what is allowed",
                       verdict->worst_shape, 100.0 * verdict->worst);
}

/* SPDX-License-Identifier: MIT */
#include "plan/collective.h"

#include <stdlib.h>

#include "plan/builder.h"
#include "plan/plan.h"
#include "plan/wire.h"

/* --- one collective --------------------------------------------------------------------------- */

static void emit_move(struct dtr_builder *b, enum dtr_collective_kind kind, enum dtr_layout from,
                      enum dtr_layout to) {
    const struct dtr_spread in = {.layout = from, .columns = b->model->hidden, .name = "in"};
    const struct dtr_spread out = {.layout = to, .columns = b->model->hidden, .name = "out"};
    dtr_emit_wait(b, dtr_emit_exchange(b, kind, &in, &out, 0, 1));
}

static void emit_sum(struct dtr_builder *b, enum dtr_collective_kind kind) {
    const uint32_t columns = b->model->hidden;
    const struct dtr_spread out = {.layout = DTR_LAYOUT_ROWS, .columns = columns, .name = "out"};
    struct dtr_view in = DTR_NO_VIEW;
    for (uint32_t i = 0; i < b->devices; i++)
        b->ranges[i] = (struct dtr_range){0, dtr_takes(b, i) ? columns : 0};
    if (dtr_takes(b, b->device))
        in = dtr_buffer_view(b, "in", (struct dtr_range){0, b->rows}, columns);
    dtr_emit_wait(b, kind == DTR_ALL_REDUCE ? dtr_emit_all_reduce(b, &b->taking, b->ranges, in)
                                            : dtr_emit_reduce_scatter(b, b->ranges, in, &out));
}

/* All of it, from the first device to the second. */
static void emit_transfer(struct dtr_builder *b) {
    if (b->devices < 2 || b->device > 1)
        return;
    const struct dtr_view in =
        dtr_buffer_view(b, "in", (struct dtr_range){0, b->rows}, b->model->hidden);
    dtr_emit_wait(b, dtr_emit_transfer(b, b->next_tag++, in, 0, 1));
}

static void emit(struct dtr_builder *b, enum dtr_collective_kind kind) {
    switch (kind) {
    case DTR_ALL_GATHER:
        emit_move(b, kind, DTR_LAYOUT_ROWS, DTR_LAYOUT_WHOLE);
        return;
    case DTR_ALL_TO_ALL:
        emit_move(b, kind, DTR_LAYOUT_HEADS, DTR_LAYOUT_ROWS);
        return;
    case DTR_GATHER:
        emit_move(b, kind, DTR_LAYOUT_ROWS, DTR_LAYOUT_ROOT);
        return;
    case DTR_SCATTER:
        emit_move(b, kind, DTR_LAYOUT_ROOT, DTR_LAYOUT_ROWS);
        return;
    case DTR_BROADCAST:
        emit_move(b, kind, DTR_LAYOUT_ROOT, DTR_LAYOUT_WHOLE);
        return;
    case DTR_TRANSFER:
        emit_transfer(b);
        return;
    default:
        emit_sum(b, kind);
    }
}

/* A plan in which the devices do nothing but take part. */
static struct dtr_plan *plan_of(const struct dtr_model_shape *model,
                                const struct dtr_collective_shape *shape, struct dtr_error *error) {
    struct dtr_plan *plan = dtr_plan_create(model, shape->devices, 1, error);
    if (!plan)
        return NULL;
    for (uint32_t i = 0; i < shape->devices; i++)
        plan->share[i] = shape->share ? shape->share[i] : 1;
    return plan;
}

int dtr_collective_lower(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                         uint32_t device, struct dtr_schedule **schedule_p,
                         struct dtr_error *error) {
    /* Every column is a head: by heads means by columns. */
    const struct dtr_model_shape model = {
        .size = sizeof model,
        .layers = 1,
        .hidden = shape->columns,
        .heads = shape->columns,
        .intermediate = shape->columns,
        .groups = 1,
        .group_layers = 1,
    };
    struct dtr_ways ways = {0};
    struct dtr_plan *plan = plan_of(&model, shape, error);
    if (!plan)
        return DTR_E_MEMORY;
    dtr_ways_insist(&ways, shape->kind, algorithm);
    const struct dtr_lowering lowering = {
        .model = &model,
        .plan = plan,
        .device = device,
        .sequences = 1,
        .lengths = &shape->rows,
        .wire = shape->wire,
        .ways = &ways,
    };
    struct dtr_builder *b;
    int status = dtr_builder_create(&lowering, &b, error);
    if (!status) {
        emit(b, shape->kind);
        status = dtr_builder_finish(b, schedule_p, error);
    }
    dtr_plan_free(plan);
    return status;
}

/* --- the choice ------------------------------------------------------------------------------- */

bool dtr_collective_may(enum dtr_collective_kind kind, enum dtr_algorithm algorithm) {
    /* Where all comes from one, or goes to one, others but trees and straight lines are detours;
     * only a sum gains by being formed in one place. */
    const bool rooted = kind == DTR_GATHER || kind == DTR_SCATTER || kind == DTR_BROADCAST;
    if (algorithm == DTR_STAR)
        return kind == DTR_ALL_REDUCE;
    if (kind == DTR_TRANSFER)
        return algorithm == DTR_DIRECT;
    return !rooted || algorithm == DTR_DIRECT || algorithm == DTR_BRUCK;
}

/* More devices than this choose like this many: the choice has to be quick. */
enum { DEVICES_MOST = 32, CLASS_LEAST = 6, CLASS_MOST = 26 };

struct chooser {
    struct dtr_ways *ways;
    uint32_t devices, all; /* how many are tried, and how many there are */
    struct dtr_cost cost;
    struct dtr_link *link; /* [devices][devices] as the size under test sees it */
    const struct dtr_link *real;
    double *waited_s;
    struct dtr_schedule *schedules[DEVICES_MOST];
    double best_s[DTR_SIZE_CLASSES];
};

static double copy_s(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step) {
    (void)arg;
    (void)schedule;
    (void)step;
    return 0;
}

/* A collective of another size is this one over links of another speed. */
static int try_size(struct chooser *c, double scale, double *latency_p, struct dtr_error *error) {
    for (uint32_t i = 0; i < c->devices * c->devices; i++) {
        const uint32_t from = i / c->devices, to = i % c->devices;
        c->link[i] = c->real[(size_t)from * c->all + to];
        c->link[i].bytes_per_s /= scale;
    }
    struct dtr_simulation simulation = {.communicate_s = c->waited_s};
    const int status = dtr_simulate((const struct dtr_schedule *const *)c->schedules, c->devices,
                                    &c->cost, &simulation, error);
    *latency_p = 0;
    for (uint32_t i = 0; i < c->devices && !status; i++)
        if (c->waited_s[i] > *latency_p)
            *latency_p = c->waited_s[i];
    return status;
}

static int try_algorithm(struct chooser *c, enum dtr_collective_kind kind,
                         enum dtr_algorithm algorithm, struct dtr_error *error) {
    const struct dtr_collective_shape shape = {
        .kind = kind, .devices = c->devices, .rows = c->devices, .columns = 4 * c->devices};
    const double bytes =
        (double)dtr_wire_bytes(DTR_F32, shape.rows, (uint64_t)shape.rows * shape.columns);
    int status = DTR_OK;
    for (uint32_t i = 0; i < c->devices && !status; i++)
        status = dtr_collective_lower(&shape, algorithm, i, &c->schedules[i], error);
    for (uint32_t size_class = CLASS_LEAST; size_class <= CLASS_MOST && !status; size_class++) {
        double latency_s;
        /* In the middle of its class, as far as ratios go. */
        status = try_size(c, (double)(UINT64_C(1) << size_class) * 1.5 / bytes, &latency_s, error);
        /* Fewer messages are worth something where the clock sees no difference. */
        if (status || (algorithm != DTR_DIRECT && latency_s > 0.98 * c->best_s[size_class]))
            continue;
        c->best_s[size_class] = latency_s;
        dtr_ways_set(c->ways, kind, size_class, algorithm);
    }
    for (uint32_t i = 0; i < c->devices; i++) {
        dtr_schedule_free(c->schedules[i]);
        c->schedules[i] = NULL;
    }
    return status;
}

static int choose_kind(struct chooser *c, enum dtr_collective_kind kind, struct dtr_error *error) {
    int status = DTR_OK;
    for (enum dtr_algorithm i = DTR_DIRECT; i < DTR_ALGORITHMS && !status; i++)
        if (dtr_collective_may(kind, i) &&
            (dtr_route_works(i, c->devices) || kind == DTR_ALL_REDUCE))
            status = try_algorithm(c, kind, i, error);
    for (uint32_t i = 0; i < DTR_SIZE_CLASSES && !status; i++) {
        const uint32_t like = i < CLASS_LEAST ? CLASS_LEAST : i > CLASS_MOST ? CLASS_MOST : i;
        dtr_ways_set(c->ways, kind, i, dtr_ways_algorithm(c->ways, kind, UINT64_C(1) << like));
    }
    return status;
}

int dtr_collective_choose(struct dtr_ways *ways, uint32_t all, const struct dtr_cost *cost,
                          struct dtr_error *error) {
    const uint32_t devices = all < DEVICES_MOST ? all : DEVICES_MOST;
    struct chooser c = {
        .ways = ways, .devices = devices, .all = all, .cost = *cost, .real = cost->link};
    if (devices < 2)
        return DTR_OK;
    c.link = malloc((size_t)devices * devices * sizeof *c.link);
    c.waited_s = malloc(devices * sizeof *c.waited_s);
    int status = c.link && c.waited_s ? DTR_OK : dtr_fail_memory(error);
    c.cost.link = c.link;
    c.cost.step_s = copy_s;
    for (enum dtr_collective_kind kind = 0; kind < DTR_COLLECTIVE_KINDS && !status; kind++)
        if (!dtr_ways_insist_on(ways, kind))
            status = choose_kind(&c, kind, error);
    free(c.link);
    free(c.waited_s);
    return status;
}

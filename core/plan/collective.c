/* SPDX-License-Identifier: MIT */
#include "plan/collective.h"

#include <math.h>
#include <stdlib.h>

#include "plan/account.h"
#include "plan/builder.h"
#include "plan/parcel.h"
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
    if (status)
        goto out_plan;
    status = dtr_builder_begin(b, device, error);
    if (!status) {
        emit(b, shape->kind);
        status = dtr_builder_finish(b, schedule_p, error);
    }
    dtr_builder_free(b);
out_plan:
    dtr_plan_free(plan);
    return status;
}

/* --- its time --------------------------------------------------------------------------------- */

/* The schedules of all devices, [devices], which the caller frees even when it fails. */
static int lower_all(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                     struct dtr_schedule **schedules, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t i = 0; i < shape->devices && !status; i++)
        status = dtr_collective_lower(shape, algorithm, i, &schedules[i], error);
    return status;
}

static void free_all(struct dtr_schedule **schedules, uint32_t devices) {
    for (uint32_t i = 0; i < devices; i++) {
        dtr_schedule_free(schedules[i]);
        schedules[i] = NULL;
    }
}

/* Of what moves, only the moving counts. */
static double no_time_s(void *arg, const struct dtr_schedule *schedule,
                        const struct dtr_step *step) {
    (void)arg;
    (void)schedule;
    (void)step;
    return 0;
}

/* `waited_s`: room for [devices]. */
static int simulate(struct dtr_schedule *const *schedules, uint32_t devices,
                    const struct dtr_cost *cost, double *waited_s, double *latency_p,
                    struct dtr_error *error) {
    struct dtr_cost moving = *cost;
    moving.step_s = no_time_s;
    struct dtr_simulation simulation = {.communicate_s = waited_s};
    const int status = dtr_simulate((const struct dtr_schedule *const *)schedules, devices, &moving,
                                    &simulation, error);
    if (status)
        return status;
    *latency_p = 0;
    for (uint32_t i = 0; i < devices; i++)
        *latency_p = fmax(*latency_p, waited_s[i]);
    return DTR_OK;
}

int dtr_collective_predict(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                           const struct dtr_cost *cost, double *latency_p,
                           struct dtr_error *error) {
    struct dtr_schedule **schedules = calloc(shape->devices, sizeof *schedules);
    double *waited_s = malloc(shape->devices * sizeof *waited_s);
    int status = schedules && waited_s ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        status = lower_all(shape, algorithm, schedules, error);
    if (!status)
        status = simulate(schedules, shape->devices, cost, waited_s, latency_p, error);
    if (schedules)
        free_all(schedules, shape->devices);
    free(schedules);
    free(waited_s);
    return status;
}

/* --- the choice ------------------------------------------------------------------------------- */

/* Where all comes from one, or goes to one. */
static bool is_rooted(enum dtr_collective_kind kind) {
    return kind == DTR_GATHER || kind == DTR_SCATTER || kind == DTR_BROADCAST;
}

bool dtr_collective_may(enum dtr_collective_kind kind, enum dtr_algorithm algorithm) {
    /* With one end others but trees and straight lines are detours; only a sum gains by being
     * formed in one place, or in all. */
    if (algorithm == DTR_STAR || algorithm == DTR_ONE_SHOT)
        return kind == DTR_ALL_REDUCE;
    if (kind == DTR_TRANSFER)
        return algorithm == DTR_DIRECT;
    return !is_rooted(kind) || algorithm == DTR_DIRECT || algorithm == DTR_BRUCK;
}

/* More devices than this are not tried: the choice has to be quick. */
enum { DEVICES_MOST = 32, CLASS_LEAST = 6, CLASS_MOST = 26 };

/* What messages of several devices to one receiver lose where they collide.  By TCP through
 * switches of 100 and 1000 Mbit/s an all-gather of direct messages of 64 KiB took 1.29 to 1.42
 * times as long as a ring; small ones jostle: an all-reduce of 16 KiB took 0.98 to 1.3 times as
 * long as by Bruck's steps, where the simulator sees no difference. */
static const double collision = 1.25, jostling = 1.05, collision_bytes = 32768;

struct chooser {
    struct dtr_ways *ways;
    uint32_t devices, all; /* how many are tried, and how many there are */
    uint32_t count_class;
    bool many; /* the trial is for more devices than are tried */
    bool collides;
    struct dtr_cost cost;
    const struct dtr_cost *real;
    struct dtr_link *link; /* [devices][devices] as the size under test sees it */
    double *waited_s;
    struct dtr_schedule *schedules[DEVICES_MOST];
    double best_s[DTR_SIZE_CLASSES];
};

/* A collective of another size is this one over links of another speed. */
static int try_size(struct chooser *c, double scale, double *latency_p, struct dtr_error *error) {
    for (uint32_t i = 0; i < c->devices * c->devices; i++) {
        const uint32_t from = i / c->devices, to = i % c->devices;
        c->link[i] = c->real->link[(size_t)from * c->all + to];
        c->link[i].bytes_per_s /= scale;
    }
    c->cost.byte_s = c->real->byte_s * scale;
    return simulate(c->schedules, c->devices, &c->cost, c->waited_s, latency_p, error);
}

/* By how much an algorithm takes longer than the simulator says; `bytes`: of the whole matrix. */
static double slowdown(const struct chooser *c, enum dtr_collective_kind kind,
                       enum dtr_algorithm algorithm, double bytes) {
    const bool straight = algorithm == DTR_DIRECT || algorithm == DTR_ONE_SHOT;
    if (!c->collides || !straight || is_rooted(kind) || c->devices < 3)
        return 1;
    const double message = algorithm == DTR_ONE_SHOT ? bytes : bytes / c->devices;
    return message < collision_bytes ? jostling : collision;
}

/* What a collective takes at least: the time in which a port lets out what its device sends. */
static double least_s(const struct chooser *c) {
    double most_s = 0;
    for (uint32_t i = 0; i < c->devices; i++) {
        const struct dtr_schedule *schedule = c->schedules[i];
        double rate = 0;
        uint64_t sent, received;
        for (uint32_t j = 0; j < c->devices; j++)
            if (j != i)
                rate = fmax(rate, c->real->link[(size_t)i * c->all + j].bytes_per_s);
        for (uint32_t j = 0; j < schedule->collectives_count; j++) {
            dtr_account_collective(schedule, &schedule->collectives[j], &sent, &received);
            most_s = fmax(most_s, (double)sent / rate);
        }
    }
    return most_s;
}

/* The classes from `first` to `last`, with a matrix of `bytes`. */
static int try_sizes(struct chooser *c, enum dtr_collective_kind kind, enum dtr_algorithm algorithm,
                     double bytes, uint32_t first, uint32_t last, struct dtr_error *error) {
    const double bound_s = least_s(c) / bytes;
    int status = DTR_OK;
    for (uint32_t size_class = first; size_class <= last && !status; size_class++) {
        /* In the middle of its class, as far as ratios go. */
        const double size = (double)(UINT64_C(1) << size_class) * 1.5;
        const double slower = slowdown(c, kind, algorithm, size);
        /* Fewer messages are worth something where the clock sees no difference. */
        const double wanted_s = 0.98 * c->best_s[size_class];
        double latency_s;
        if (bound_s * size * slower > wanted_s)
            continue;
        status = try_size(c, size / bytes, &latency_s, error);
        latency_s *= slower;
        if (status || latency_s > wanted_s)
            continue;
        c->best_s[size_class] = latency_s;
        dtr_ways_set(c->ways, kind, c->count_class, size_class, algorithm);
    }
    return status;
}

/* With one matrix for all these sizes. */
static int try_shape(struct chooser *c, enum dtr_collective_kind kind, enum dtr_algorithm algorithm,
                     uint32_t rows, uint32_t columns, uint32_t first, uint32_t last,
                     struct dtr_error *error) {
    const struct dtr_collective_shape shape = {
        .kind = kind, .devices = c->devices, .rows = rows, .columns = columns};
    const double bytes = (double)dtr_wire_bytes(DTR_F32, rows, (uint64_t)rows * columns);
    int status = lower_all(&shape, algorithm, c->schedules, error);
    if (!status)
        status = try_sizes(c, kind, algorithm, bytes, first, last, error);
    free_all(c->schedules, c->devices);
    return status;
}

/* A small matrix where messages travel whole, and one with as many parcels as there may be: where
 * they begin to be cut there are fewer, and a ring waits somewhat longer for the first. */
static int try_algorithm(struct chooser *c, enum dtr_collective_kind kind,
                         enum dtr_algorithm algorithm, struct dtr_error *error) {
    const uint32_t cut = dtr_passes_on(kind, algorithm)
                             ? dtr_size_class(2ull * DTR_PARCEL_BYTES * c->devices)
                             : CLASS_MOST + 1;
    const uint32_t rows = DTR_PARCELS_MOST * c->devices;
    const uint32_t columns = DTR_PARCEL_BYTES / sizeof(float);
    int status =
        try_shape(c, kind, algorithm, c->devices, 4 * c->devices, CLASS_LEAST, cut - 1, error);
    if (!status && cut <= CLASS_MOST)
        status = try_shape(c, kind, algorithm, rows, columns, cut, CLASS_MOST, error);
    return status;
}

/* Beside those that cannot be: pairs where a ring does the same and keeps in step, Bruck's
 * steps where a hypercube's do, and among more devices than are tried what takes a message or a
 * round for each of them, which the trial does not see. */
static bool comes_into_question(const struct chooser *c, enum dtr_collective_kind kind,
                                enum dtr_algorithm algorithm) {
    const bool gathers =
        kind == DTR_ALL_GATHER || kind == DTR_REDUCE_SCATTER || kind == DTR_ALL_REDUCE;
    if (!dtr_collective_may(kind, algorithm) ||
        (!dtr_route_works(algorithm, c->devices) && kind != DTR_ALL_REDUCE))
        return false;
    if (gathers && algorithm == DTR_PAIRWISE)
        return false;
    if (gathers && kind != DTR_ALL_REDUCE && algorithm == DTR_BRUCK &&
        dtr_route_sparing(c->devices) != DTR_BRUCK)
        return false;
    return !gathers || !c->many || algorithm == DTR_DOUBLING || algorithm == DTR_BRUCK;
}

static int choose_kind(struct chooser *c, enum dtr_collective_kind kind, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t i = 0; i < DTR_SIZE_CLASSES; i++)
        c->best_s[i] = INFINITY;
    for (enum dtr_algorithm i = DTR_DIRECT; i < DTR_ALGORITHMS && !status; i++)
        if (comes_into_question(c, kind, i))
            status = try_algorithm(c, kind, i, error);
    for (uint32_t i = 0; i < DTR_SIZE_CLASSES && !status; i++) {
        const uint32_t like = i < CLASS_LEAST ? CLASS_LEAST : i > CLASS_MOST ? CLASS_MOST : i;
        c->ways->way[kind][c->count_class][i] = c->ways->way[kind][c->count_class][like];
    }
    return status;
}

static int choose_class(struct chooser *c, struct dtr_error *error) {
    const uint32_t most = 2u << c->count_class;
    c->many = most > DEVICES_MOST;
    c->devices = c->many ? DEVICES_MOST : most < c->all ? most : c->all;
    int status = DTR_OK;
    for (enum dtr_collective_kind kind = 0; kind < DTR_COLLECTIVE_KINDS && !status; kind++)
        if (!dtr_ways_insist_on(c->ways, kind))
            status = choose_kind(c, kind, error);
    return status;
}

int dtr_collective_choose(struct dtr_ways *ways, uint32_t devices, const struct dtr_cost *cost,
                          bool collides, struct dtr_error *error) {
    const uint32_t most = devices < DEVICES_MOST ? devices : DEVICES_MOST;
    struct chooser c = {
        .ways = ways, .all = devices, .collides = collides, .cost = *cost, .real = cost};
    if (devices < 2)
        return DTR_OK;
    c.link = malloc((size_t)most * most * sizeof *c.link);
    c.waited_s = malloc(most * sizeof *c.waited_s);
    int status = c.link && c.waited_s ? DTR_OK : dtr_fail_memory(error);
    c.cost.link = c.link;
    for (; c.count_class <= dtr_count_class(devices) && !status; c.count_class++)
        status = choose_class(&c, error);
    free(c.link);
    free(c.waited_s);
    return status;
}

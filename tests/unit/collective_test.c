/* SPDX-License-Identifier: MIT
 *
 * Every collective by every algorithm, among 1 to 9 devices with even, odd and empty shares: the
 * schedules of all devices are run in one thread, with the engine's rules, and must end as the
 * direct one does.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/account.h"
#include "plan/collective.h"
#include "plan/wire.h"

enum { DEVICES_MOST = 9 };

/* --- running schedules ------------------------------------------------------------------------ */

/* A message under way: the first comes first. */
struct letter {
    struct letter *next;
    uint64_t values;
    float value[];
};

struct machine {
    struct dtr_schedule *schedule;
    float *arena;
    uint32_t round;
    bool posted, done;
    struct letter *inbox[DEVICES_MOST]; /* by sender */
};

static float *element(const struct machine *machine, const struct dtr_view *view, uint32_t row,
                      uint32_t column) {
    const struct dtr_buffer *buffer = &machine->schedule->buffers[view->buffer];
    return machine->arena + buffer->offset +
           (size_t)(view->rows.begin + row - buffer->row) * buffer->columns + view->columns.begin +
           column;
}

/* Carries the values of a message from, or to, its views. */
static void carry(const struct machine *machine, const struct dtr_message *message, float *value) {
    for (uint32_t i = 0; i < message->views; i++) {
        const struct dtr_view *view = &machine->schedule->views[message->view + i];
        for (uint32_t row = 0; row < dtr_range_count(view->rows); row++)
            for (uint32_t column = 0; column < dtr_range_count(view->columns); column++) {
                float *at = element(machine, view, row, column);
                if (message->kind == DTR_MESSAGE_SEND)
                    *value = *at;
                else if (message->kind == DTR_MESSAGE_REDUCE)
                    *at += *value;
                else
                    *at = *value;
                value++;
            }
    }
}

static void post(struct machine *machines, uint32_t device) {
    struct machine *machine = &machines[device];
    const struct dtr_collective *collective = machine->schedule->collectives;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &machine->schedule->messages[i];
        if (message->round != machine->round || message->kind != DTR_MESSAGE_SEND)
            continue;
        struct letter *letter = malloc(sizeof *letter + message->values * sizeof(float));
        assert_non_null(letter);
        letter->next = NULL;
        letter->values = message->values;
        carry(machine, message, letter->value);
        struct letter **last = &machines[message->peer].inbox[device];
        while (*last)
            last = &(*last)->next;
        *last = letter;
    }
    machine->posted = true;
}

static bool complete(const struct machine *machine) {
    uint32_t wanted[DEVICES_MOST] = {0};
    for (uint32_t i = 0; i < machine->schedule->collectives->messages; i++) {
        const struct dtr_message *message = &machine->schedule->messages[i];
        if (message->round == machine->round && message->kind != DTR_MESSAGE_SEND)
            wanted[message->peer]++;
    }
    for (uint32_t i = 0; i < DEVICES_MOST; i++) {
        const struct letter *letter = machine->inbox[i];
        for (; wanted[i] && letter; letter = letter->next)
            wanted[i]--;
        if (wanted[i])
            return false;
    }
    return true;
}

static void take(struct machine *machine) {
    for (uint32_t i = 0; i < machine->schedule->collectives->messages; i++) {
        const struct dtr_message *message = &machine->schedule->messages[i];
        if (message->round != machine->round || message->kind == DTR_MESSAGE_SEND)
            continue;
        struct letter *letter = machine->inbox[message->peer];
        machine->inbox[message->peer] = letter->next;
        assert_int_equal(letter->values, message->values);
        carry(machine, message, letter->value);
        free(letter);
    }
}

/* One step of one device; false when it can only wait. */
static bool step(struct machine *machines, uint32_t device) {
    struct machine *machine = &machines[device];
    if (machine->done)
        return false;
    if (!machine->schedule->collectives_count ||
        machine->round == machine->schedule->collectives->rounds) {
        machine->done = true;
        return true;
    }
    if (!machine->posted) {
        post(machines, device);
        return true;
    }
    if (!complete(machine))
        return false;
    take(machine);
    machine->round++;
    machine->posted = false;
    return true;
}

/* What stays on the device. */
static void copies(const struct machine *machine) {
    const struct dtr_schedule *schedule = machine->schedule;
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *one = &schedule->steps[i];
        if (one->kind != DTR_STEP_COPY)
            continue;
        for (uint32_t row = 0; row < dtr_range_count(one->out.rows); row++)
            for (uint32_t column = 0; column < dtr_range_count(one->out.columns); column++)
                *element(machine, &one->out, row, column) =
                    *element(machine, &one->in[0], row, column);
    }
}

static struct dtr_buffer *buffer_named(const struct dtr_schedule *schedule, const char *name) {
    for (uint32_t i = 0; i < schedule->buffers_count; i++)
        if (strcmp(schedule->buffers[i].name, name) == 0)
            return &schedule->buffers[i];
    return NULL;
}

/* Whole numbers, so that sums do not depend on their order; a moved matrix is the same on all. */
static void fill(const struct machine *machine, const struct dtr_collective_shape *shape) {
    const struct dtr_buffer *in = buffer_named(machine->schedule, "in");
    const bool sum = shape->kind == DTR_ALL_REDUCE || shape->kind == DTR_REDUCE_SCATTER;
    if (!in)
        return;
    for (uint32_t row = 0; row < in->rows; row++)
        for (uint32_t column = 0; column < in->columns; column++)
            machine->arena[in->offset + (size_t)row * in->columns + column] =
                (float)((row + in->row) * 1000 + column +
                        (sum ? 7777 * machine->schedule->device : 0));
}

static int build(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                 struct machine *machines) {
    struct dtr_error error = {0};
    int status = DTR_OK;
    memset(machines, 0, DEVICES_MOST * sizeof *machines);
    for (uint32_t i = 0; i < shape->devices && !status; i++)
        status = dtr_collective_lower(shape, algorithm, i, &machines[i].schedule, &error);
    for (uint32_t i = 0; i < shape->devices && !status; i++) {
        machines[i].arena = calloc((size_t)machines[i].schedule->arena_floats + 1, sizeof(float));
        assert_non_null(machines[i].arena);
        fill(&machines[i], shape);
        copies(&machines[i]);
    }
    return status;
}

static void run(struct machine *machines, uint32_t devices) {
    bool moved = true;
    while (moved) {
        moved = false;
        /* The last first: nothing may depend on the order. */
        for (uint32_t i = devices; i-- > 0;)
            moved |= step(machines, i);
    }
    for (uint32_t i = 0; i < devices; i++) {
        assert_true(machines[i].done);
        for (uint32_t j = 0; j < DEVICES_MOST; j++)
            assert_null(machines[i].inbox[j]);
    }
}

static void drop(struct machine *machines, uint32_t devices) {
    for (uint32_t i = 0; i < devices; i++) {
        dtr_schedule_free(machines[i].schedule);
        free(machines[i].arena);
    }
}

static void assert_same_result(const struct machine *a, const struct machine *b, const char *name) {
    const struct dtr_buffer *one = buffer_named(a->schedule, name);
    const struct dtr_buffer *other = buffer_named(b->schedule, name);
    assert_int_equal(one != NULL, other != NULL);
    if (!one)
        return;
    assert_int_equal(one->rows, other->rows);
    assert_memory_equal(a->arena + one->offset, b->arena + other->offset,
                        (size_t)one->rows * one->columns * sizeof(float));
}

static void compare(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                    uint32_t *refused) {
    struct machine straight[DEVICES_MOST], other[DEVICES_MOST];
    assert_int_equal(build(shape, DTR_DIRECT, straight), DTR_OK);
    run(straight, shape->devices);
    const int status = build(shape, algorithm, other);
    if (status) {
        assert_int_equal(status, DTR_E_CONFIG);
        assert_int_equal(algorithm, DTR_DOUBLING);
        ++*refused;
    } else {
        run(other, shape->devices);
        for (uint32_t i = 0; i < shape->devices; i++)
            assert_same_result(&straight[i], &other[i],
                               shape->kind == DTR_ALL_REDUCE ? "in" : "out");
    }
    drop(straight, shape->devices);
    drop(other, shape->devices);
}

/* --- tests ------------------------------------------------------------------------------------ */

static const double even[DEVICES_MOST] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const double uneven[DEVICES_MOST] = {3, 1, 2.5, 0.2, 7, 1, 1.3, 0.1, 4};
static const double empty[DEVICES_MOST] = {0, 2, 1, 0, 1, 3, 0, 0, 1};
static const double *const shares[] = {even, uneven, empty};

static void every_algorithm_ends_alike(void **state) {
    (void)state;
    uint32_t refused = 0;
    for (enum dtr_collective_kind kind = 0; kind < DTR_TRANSFER; kind++)
        for (enum dtr_algorithm algorithm = 0; algorithm < DTR_ALGORITHMS; algorithm++)
            for (uint32_t devices = 1; devices <= DEVICES_MOST; devices++)
                for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
                    for (uint32_t rows = 1; rows <= 27; rows += 13) {
                        const struct dtr_collective_shape shape = {.kind = kind,
                                                                   .devices = devices,
                                                                   .rows = rows,
                                                                   .columns = 5 + rows,
                                                                   .share = shares[i]};
                        /* Somebody has to take part. */
                        if (shares[i][0] > 0 || devices > 1)
                            compare(&shape, algorithm, &refused);
                    }
    assert_true(refused > 0);
}

static double nothing(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step) {
    (void)arg;
    (void)schedule;
    (void)step;
    return 0;
}

/* The sender's list and the receiver's fit together for the simulator too. */
static void the_simulator_takes_them(void **state) {
    (void)state;
    struct dtr_link link[DEVICES_MOST * DEVICES_MOST];
    for (size_t i = 0; i < sizeof link / sizeof link[0]; i++)
        link[i] = (struct dtr_link){50e-6, 125e6};
    for (enum dtr_collective_kind kind = 0; kind < DTR_TRANSFER; kind++)
        for (enum dtr_algorithm algorithm = 0; algorithm < DTR_ALGORITHMS; algorithm++) {
            const struct dtr_collective_shape shape = {
                .kind = kind, .devices = 8, .rows = 64, .columns = 32};
            const struct dtr_cost cost = {
                .step_s = nothing, .link = link, .start_s = 1e-6, .message_s = 1e-6};
            struct machine machines[DEVICES_MOST];
            const struct dtr_schedule *schedules[DEVICES_MOST];
            double waited_s[DEVICES_MOST];
            struct dtr_simulation simulation = {.communicate_s = waited_s};
            struct dtr_error error = {0};
            assert_int_equal(build(&shape, algorithm, machines), DTR_OK);
            const bool straight = algorithm == DTR_ONE_SHOT && kind != DTR_ALL_REDUCE;
            for (uint32_t i = 0; i < shape.devices; i++) {
                schedules[i] = machines[i].schedule;
                assert_int_equal(machines[i].schedule->collectives->algorithm,
                                 straight ? DTR_DIRECT : algorithm);
            }
            assert_int_equal(dtr_simulate(schedules, shape.devices, &cost, &simulation, &error),
                             DTR_OK);
            assert_true(waited_s[1] > 0);
            drop(machines, shape.devices);
        }
}

static uint64_t bytes_sent(const struct dtr_collective_shape *shape, enum dtr_algorithm algorithm,
                           uint32_t device) {
    struct dtr_schedule *schedule;
    struct dtr_error error = {0};
    struct dtr_account account = {0};
    const struct dtr_model_shape model = {.size = sizeof model};
    assert_int_equal(dtr_collective_lower(shape, algorithm, device, &schedule, &error), DTR_OK);
    dtr_account_schedule(schedule, &model, NULL, &account);
    dtr_schedule_free(schedule);
    return account.bytes_sent;
}

static void each_sends_what_it_must(void **state) {
    (void)state;
    const struct dtr_collective_shape gather = {
        .kind = DTR_ALL_GATHER, .devices = 8, .rows = 64, .columns = 16};
    const struct dtr_collective_shape sum = {
        .kind = DTR_ALL_REDUCE, .devices = 8, .rows = 64, .columns = 16};
    const uint64_t matrix = 64 * 16 * sizeof(float);
    static const enum dtr_algorithm thrifty[] = {DTR_DIRECT, DTR_PAIRWISE, DTR_RING, DTR_DOUBLING,
                                                 DTR_BRUCK};
    for (size_t i = 0; i < sizeof thrifty / sizeof thrifty[0]; i++) {
        assert_int_equal(bytes_sent(&gather, thrifty[i], 5), matrix * 7 / 8);
        if (thrifty[i] != DTR_DOUBLING)
            assert_int_equal(bytes_sent(&sum, thrifty[i], 5), 2 * matrix * 7 / 8);
    }
    assert_int_equal(bytes_sent(&sum, DTR_DOUBLING, 5), 3 * matrix);
    assert_int_equal(bytes_sent(&sum, DTR_STAR, 5), matrix);
    assert_int_equal(bytes_sent(&sum, DTR_STAR, 0), 7 * matrix);
    assert_int_equal(bytes_sent(&sum, DTR_ONE_SHOT, 5), 7 * matrix);
}

/* The choice among `devices` of a group of as many as `all`. */
struct situation {
    uint32_t all, devices;
    double latency_s, message_s, bytes_per_s;
    double round_s;
    bool collides;
};

/* So many devices on links of that kind, of a group that has no others. */
static struct situation among(uint32_t devices, double latency_s, double message_s,
                              double bytes_per_s) {
    return (struct situation){.all = devices,
                              .devices = devices,
                              .latency_s = latency_s,
                              .message_s = message_s,
                              .bytes_per_s = bytes_per_s};
}

static enum dtr_algorithm chosen(const struct situation *situation, enum dtr_collective_kind kind,
                                 uint64_t bytes) {
    const size_t links = (size_t)situation->all * situation->all;
    struct dtr_error error = {0};
    struct dtr_ways ways = {0};
    struct dtr_link *link = calloc(links, sizeof *link);
    assert_non_null(link);
    for (size_t i = 0; i < links; i++)
        link[i] = (struct dtr_link){situation->latency_s, situation->bytes_per_s};
    const struct dtr_cost cost = {.link = link,
                                  .start_s = 1e-6,
                                  .message_s = situation->message_s,
                                  .round_s = situation->round_s};
    assert_int_equal(
        dtr_collective_choose(&ways, situation->all, &cost, situation->collides, &error), DTR_OK);
    free(link);
    return dtr_ways_algorithm(&ways, kind, situation->devices, bytes);
}

static void few_devices_go_straight(void **state) {
    (void)state;
    const struct situation four = among(4, 100e-6, 1e-6, 125e6);
    const struct situation two = among(2, 100e-6, 1e-6, 125e6);
    struct situation four_of_many = among(4, 10e-6, 10e-6, 125e6);
    four_of_many.all = 64;
    assert_int_equal(chosen(&four, DTR_ALL_GATHER, 1024), DTR_DIRECT);
    assert_int_equal(chosen(&four, DTR_ALL_GATHER, 1 << 20), DTR_DIRECT);
    assert_int_equal(chosen(&two, DTR_ALL_TO_ALL, 1 << 20), DTR_DIRECT);
    assert_int_equal(chosen(&four_of_many, DTR_ALL_GATHER, 1 << 20), DTR_DIRECT);
}

/* What is dear of a small collective decides: its messages, or its rounds. */
static void small_ones_save_what_is_dear(void **state) {
    (void)state;
    const struct situation dear_messages = among(4, 5e-6, 20e-6, 125e6);
    struct situation dear_rounds = among(4, 5e-6, 1e-6, 125e6);
    dear_rounds.round_s = 20e-6;
    const struct situation far = among(4, 5e-3, 1e-6, 125e6);
    assert_int_equal(chosen(&dear_messages, DTR_ALL_GATHER, 256), DTR_DOUBLING);
    assert_int_equal(chosen(&dear_messages, DTR_ALL_REDUCE, 256), DTR_DOUBLING);
    assert_int_equal(chosen(&dear_rounds, DTR_ALL_GATHER, 256), DTR_DIRECT);
    assert_int_equal(chosen(&dear_rounds, DTR_ALL_REDUCE, 256), DTR_ONE_SHOT);
    assert_int_equal(chosen(&far, DTR_ALL_REDUCE, 4096), DTR_ONE_SHOT);
    assert_int_equal(chosen(&far, DTR_ALL_REDUCE, 1 << 20), DTR_DIRECT);
    /* So much that a ring, which passes it on as it comes, is never idle. */
    assert_int_equal(chosen(&far, DTR_ALL_REDUCE, 4 << 20), DTR_RING);
}

/* A latency and a port's time for each round, and what messages and rounds cost beside them. */
static void its_time_adds_up(void **state) {
    (void)state;
    struct dtr_link link[16];
    for (size_t i = 0; i < 16; i++)
        link[i] = (struct dtr_link){100e-6, 125e6};
    const struct dtr_collective_shape shape = {
        .kind = DTR_ALL_GATHER, .devices = 4, .rows = 4, .columns = 250};
    const struct dtr_cost cost = {.link = link, .message_s = 3e-6, .round_s = 7e-6};
    struct dtr_error error = {0};
    double straight_s, stepped_s;
    assert_int_equal(dtr_collective_predict(&shape, DTR_DIRECT, &cost, &straight_s, &error),
                     DTR_OK);
    assert_int_equal(dtr_collective_predict(&shape, DTR_BRUCK, &cost, &stepped_s, &error), DTR_OK);
    assert_true(fabs(straight_s - (100e-6 + 3 * (8e-6 + 3e-6) + 7e-6)) < 1e-9);
    assert_true(fabs(stepped_s - (2 * (100e-6 + 3e-6 + 7e-6) + 3 * 8e-6)) < 1e-9);
}

static double ring_s(enum dtr_collective_kind kind, double latency_s, double message_s,
                     uint32_t columns) {
    struct dtr_link link[16];
    for (size_t i = 0; i < 16; i++)
        link[i] = (struct dtr_link){latency_s, 125e6};
    const struct dtr_collective_shape shape = {
        .kind = kind, .devices = 4, .rows = 16, .columns = columns};
    const struct dtr_cost cost = {
        .link = link, .message_s = message_s, .byte_s = 1e-9, .round_s = 7e-6};
    struct dtr_error error = {0};
    double took_s;
    assert_int_equal(dtr_collective_predict(&shape, DTR_RING, &cost, &took_s, &error), DTR_OK);
    return took_s;
}

static void is_about(double value, double expected) {
    assert_true(fabs(value - expected) < 1e-9);
}

/* Four parcels of 32 KiB a message.  A port has the next to pass on before its last has left, or
 * waits for the first of it in each round; messages that are not cut wait for all of it. */
static void what_is_passed_on_does_not_wait(void **state) {
    (void)state;
    const double parcel_s = 32768 / 125e6, copied_s = 32768 * 1e-9;
    is_about(ring_s(DTR_ALL_GATHER, 100e-6, 3e-6, 8192), 12 * parcel_s + 3 * 3e-6 + 107e-6);
    is_about(ring_s(DTR_ALL_GATHER, 2e-3, 3e-6, 8192), 6 * parcel_s + 3 * (3e-6 + 2007e-6));
    is_about(ring_s(DTR_ALL_GATHER, 100e-6, 3e-6, 100), 3 * (1600 / 125e6 + 3e-6 + 107e-6));
    /* What came to be added goes on as the sum, and the sum as what is gathered. */
    is_about(ring_s(DTR_ALL_REDUCE, 100e-6, 3e-6, 8192), 24 * parcel_s + 6 * 3e-6 + 107e-6);
    /* Senders that are slower than their ports. */
    is_about(ring_s(DTR_ALL_GATHER, 0, 1e-3, 8192),
             3 * (parcel_s + 1e-3) + 9 * (copied_s + 1e-3) + 7e-6);
}

/* Device 2 computes before it takes part. */
static const double late_s = 50e-3;

static double late(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step) {
    (void)arg;
    (void)step;
    return schedule->device == 2 ? late_s : 0;
}

static void compute_first(struct dtr_schedule *schedule) {
    struct dtr_step *steps = calloc(schedule->steps_count + 1, sizeof *steps);
    assert_non_null(steps);
    steps[0].kind = DTR_STEP_COPY;
    memcpy(steps + 1, schedule->steps, schedule->steps_count * sizeof *steps);
    free(schedule->steps);
    schedule->steps = steps;
    schedule->steps_count++;
}

/* What came to a device before it takes part is passed on right behind what is its own. */
static void who_is_late_passes_on_at_once(void **state) {
    (void)state;
    struct dtr_link link[9];
    for (size_t i = 0; i < 9; i++)
        link[i] = (struct dtr_link){100e-6, 125e6};
    const struct dtr_collective_shape shape = {
        .kind = DTR_ALL_GATHER, .devices = 3, .rows = 12, .columns = 8192};
    const struct dtr_cost cost = {.step_s = late, .link = link, .message_s = 3e-6};
    struct dtr_schedule *schedules[3];
    struct dtr_simulation simulation = {0};
    struct dtr_error error = {0};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(dtr_collective_lower(&shape, DTR_RING, i, &schedules[i], &error), DTR_OK);
        compute_first(schedules[i]);
    }
    assert_int_equal(
        dtr_simulate((const struct dtr_schedule *const *)schedules, 3, &cost, &simulation, &error),
        DTR_OK);
    is_about(simulation.latency_s, late_s + 2 * (4 * 32768 / 125e6 + 3e-6) + 100e-6);
    for (uint32_t i = 0; i < 3; i++)
        dtr_schedule_free(schedules[i]);
}

static void many_devices_with_dear_messages_do_not(void **state) {
    (void)state;
    const struct situation many = among(32, 10e-6, 10e-6, 125e6);
    const struct situation odd = among(31, 10e-6, 10e-6, 125e6);
    assert_int_not_equal(chosen(&many, DTR_ALL_GATHER, 1024), DTR_DIRECT);
    assert_int_not_equal(chosen(&many, DTR_ALL_REDUCE, 1024), DTR_DIRECT);
    assert_int_not_equal(chosen(&odd, DTR_ALL_TO_ALL, 1024), DTR_DIRECT);
    assert_int_equal(chosen(&many, DTR_ALL_TO_ALL, 64 << 20), DTR_DIRECT);
}

/* A round for each of a thousand devices is too many, however large the matrix. */
static void very_many_take_few_rounds(void **state) {
    (void)state;
    struct situation thousand = among(1000, 100e-6, 1e-6, 125e6);
    thousand.collides = true;
    for (uint64_t bytes = 1024; bytes <= 16 << 20; bytes *= 16) {
        const enum dtr_algorithm gather = chosen(&thousand, DTR_ALL_GATHER, bytes);
        const enum dtr_algorithm sum = chosen(&thousand, DTR_ALL_REDUCE, bytes);
        assert_true(gather == DTR_DOUBLING || gather == DTR_BRUCK);
        assert_true(sum == DTR_DOUBLING || sum == DTR_BRUCK);
    }
}

/* Small messages in the fewest rounds; large ones so that each port has one sender. */
static void what_collides_goes_one_by_one(void **state) {
    (void)state;
    struct situation hundred = among(4, 100e-6, 1e-6, 12.5e6);
    hundred.collides = true;
    const struct situation calm = among(4, 100e-6, 1e-6, 12.5e6);
    struct situation far = among(4, 1e-3, 1e-6, 125e6);
    far.collides = true;
    assert_int_equal(chosen(&hundred, DTR_ALL_GATHER, 1024), DTR_DIRECT);
    assert_int_equal(chosen(&hundred, DTR_ALL_GATHER, 65536), DTR_DOUBLING);
    assert_int_equal(chosen(&calm, DTR_ALL_GATHER, 65536), DTR_DIRECT);
    assert_int_equal(chosen(&hundred, DTR_ALL_GATHER, 262144), DTR_RING);
    assert_int_equal(chosen(&hundred, DTR_ALL_GATHER, 4 << 20), DTR_RING);
    assert_int_equal(chosen(&hundred, DTR_ALL_REDUCE, 262144), DTR_RING);
    assert_int_equal(chosen(&hundred, DTR_REDUCE_SCATTER, 1 << 20), DTR_RING);
    assert_int_equal(chosen(&hundred, DTR_ALL_TO_ALL, 1 << 20), DTR_PAIRWISE);
    assert_int_equal(chosen(&calm, DTR_ALL_GATHER, 4 << 20), DTR_DIRECT);
    /* What a one-shot sends to each is all of it. */
    assert_int_equal(chosen(&far, DTR_ALL_REDUCE, 16384), DTR_ONE_SHOT);
    assert_int_not_equal(chosen(&far, DTR_ALL_REDUCE, 80000), DTR_ONE_SHOT);
}

static void what_is_insisted_on_stays(void **state) {
    (void)state;
    struct dtr_error error = {0};
    struct dtr_ways ways = {0};
    struct dtr_link link[9];
    for (size_t i = 0; i < 9; i++)
        link[i] = (struct dtr_link){1e-6, 125e6};
    const struct dtr_cost cost = {.link = link};
    dtr_ways_insist(&ways, DTR_ALL_GATHER, DTR_RING);
    assert_true(dtr_ways_insist_on(&ways, DTR_ALL_GATHER));
    assert_false(dtr_ways_insist_on(&ways, DTR_ALL_REDUCE));
    assert_int_equal(dtr_collective_choose(&ways, 3, &cost, false, &error), DTR_OK);
    assert_int_equal(dtr_ways_algorithm(&ways, DTR_ALL_GATHER, 3, 1), DTR_RING);
    assert_int_equal(dtr_ways_algorithm(&ways, DTR_ALL_GATHER, 99, UINT64_MAX), DTR_RING);
    assert_int_equal(dtr_ways_algorithm(NULL, DTR_ALL_GATHER, 3, 1), DTR_DIRECT);
    assert_true(dtr_ways_check(&ways));
    ways.way[DTR_SCATTER][2][3] = 0x7f;
    assert_false(dtr_ways_check(&ways));
}

static void a_refusal_says_why(void **state) {
    (void)state;
    const struct dtr_collective_shape shape = {
        .kind = DTR_ALL_GATHER, .devices = 3, .rows = 6, .columns = 4};
    struct dtr_schedule *schedule;
    struct dtr_error error = {0};
    assert_int_equal(dtr_collective_lower(&shape, DTR_DOUBLING, 1, &schedule, &error),
                     DTR_E_CONFIG);
    assert_string_equal(error.text,
                        "the all-gather of layer 0 cannot go by doubling: it is among 3 devices, "
                        "which is no power of two");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_ends_alike),
        cmocka_unit_test(the_simulator_takes_them),
        cmocka_unit_test(each_sends_what_it_must),
        cmocka_unit_test(few_devices_go_straight),
        cmocka_unit_test(small_ones_save_what_is_dear),
        cmocka_unit_test(its_time_adds_up),
        cmocka_unit_test(what_is_passed_on_does_not_wait),
        cmocka_unit_test(who_is_late_passes_on_at_once),
        cmocka_unit_test(many_devices_with_dear_messages_do_not),
        cmocka_unit_test(very_many_take_few_rounds),
        cmocka_unit_test(what_collides_goes_one_by_one),
        cmocka_unit_test(what_is_insisted_on_stays),
        cmocka_unit_test(a_refusal_says_why),
    };
    return cmocka_run_group_tests_name("collective", tests, NULL, NULL);
}

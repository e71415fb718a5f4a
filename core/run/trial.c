/* SPDX-License-Identifier: MIT */
#include "run/trial.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plan/account.h"
#include "plan/wire.h"
#include "run/engine.h"

/* A collective, ready to run again and again. */
struct motion {
    struct dtr_schedule *schedule;
    struct dtr_flights *flights;
    float *arena;
};

bool dtr_trial_sane(const struct dtr_trial *trial, uint32_t devices) {
    return trial->what < DTR_TRIAL_KINDS && trial->kind < DTR_COLLECTIVE_KINDS &&
           trial->algorithm < DTR_ALGORITHMS && trial->wire <= DTR_INT8 && trial->rows &&
           trial->columns &&
           (uint64_t)trial->rows * trial->columns * sizeof(float) <= DTR_TRIAL_BYTES &&
           trial->repeats && trial->repeats <= DTR_TRIAL_REPEATS &&
           trial->warmup <= DTR_TRIAL_REPEATS && devices > 1;
}

static void motion_free(struct motion *motion) {
    dtr_flights_free(motion->flights);
    dtr_schedule_free(motion->schedule);
    free(motion->arena);
}

/* `motion` is zero before, and freed by the caller in any case. */
static int motion_create(struct motion *motion, const struct dtr_collective_shape *shape,
                         enum dtr_algorithm algorithm, uint32_t device, struct dtr_error *error) {
    int status = dtr_collective_lower(shape, algorithm, device, &motion->schedule, error);
    if (status)
        return status;
    const size_t bytes = (size_t)(motion->schedule->arena_floats * sizeof(float) + 63) / 64 * 64;
    motion->arena = aligned_alloc(64, bytes + 64);
    if (!motion->arena)
        return dtr_fail_memory(error);
    /* Sums of zeros stay what they are. */
    memset(motion->arena, 0, bytes + 64);
    return dtr_flights_create(motion->schedule, &motion->flights, error);
}

static int motion_run(const struct motion *motion, struct dtr_engine *engine) {
    if (!motion->schedule || !motion->schedule->collectives_count)
        return DTR_OK;
    dtr_flights_begin(motion->flights, motion->arena);
    const int status = dtr_engine_start(engine, motion->flights, 0, true);
    return status ? status : dtr_engine_wait(engine, motion->flights, 0);
}

/* What one repetition is made of: the collective, or there and back. */
enum { MOTIONS = 2 };

static int prepare(const struct dtr_device *device, const struct dtr_trial *trial,
                   struct motion *motion, struct dtr_error *error) {
    static const double second[] = {0, 1};
    struct dtr_collective_shape shape = {
        .kind = trial->kind,
        .devices = device->numbered,
        .rows = trial->rows,
        .columns = trial->columns,
        .wire = (uint8_t)trial->wire,
    };
    if (trial->what == DTR_TRIAL_COLLECTIVE)
        return motion_create(&motion[0], &shape, trial->algorithm, device->rank, error);
    if (device->rank > 1)
        return DTR_OK;
    shape.devices = 2;
    shape.share = second;
    shape.kind = DTR_SCATTER;
    int status = motion_create(&motion[0], &shape, DTR_DIRECT, device->rank, error);
    shape.kind = DTR_GATHER;
    if (!status && trial->what == DTR_TRIAL_PING)
        status = motion_create(&motion[1], &shape, DTR_DIRECT, device->rank, error);
    return status;
}

static int compare(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int repeat(struct dtr_engine *engine, const struct motion *barrier,
                  const struct motion *motion, const struct dtr_trial *trial, uint64_t *took_ns) {
    int status = DTR_OK;
    for (uint32_t i = 0; i < trial->warmup + trial->repeats && !status; i++) {
        if (i == trial->warmup)
            status = motion_run(barrier, engine);
        const uint64_t begin_ns = dtr_now_ns();
        for (int j = 0; j < MOTIONS && !status; j++)
            status = motion_run(&motion[j], engine);
        if (i >= trial->warmup)
            took_ns[i - trial->warmup] = dtr_now_ns() - begin_ns;
    }
    return status ? status : motion_run(barrier, engine);
}

static void sum_up(const struct dtr_trial *trial, uint64_t *took_ns, const struct motion *motion,
                   struct dtr_trial_times *times) {
    uint64_t total_ns = 0;
    *times = (struct dtr_trial_times){0};
    if (!motion->schedule || !motion->schedule->collectives_count)
        return;
    dtr_account_collective(motion->schedule, motion->schedule->collectives, &times->bytes_sent,
                           &times->bytes_received);
    for (uint32_t i = 0; i < trial->repeats; i++)
        total_ns += took_ns[i];
    qsort(took_ns, trial->repeats, sizeof *took_ns, compare);
    times->mean_s = (double)total_ns * 1e-9 / trial->repeats;
    times->median_s =
        (double)(took_ns[(trial->repeats - 1) / 2] + took_ns[trial->repeats / 2]) * 0.5e-9;
    times->least_s = (double)took_ns[0] * 1e-9;
}

int dtr_trial_run(struct dtr_device *device, const struct dtr_trial *trial,
                  struct dtr_trial_times *times, struct dtr_error *error) {
    const struct dtr_collective_shape meeting = {
        .kind = DTR_ALL_REDUCE, .devices = device->numbered, .rows = 1, .columns = 1};
    struct motion motion[MOTIONS] = {0}, barrier = {0};
    struct dtr_engine *engine = NULL;
    uint64_t *took_ns = calloc(trial->repeats, sizeof *took_ns);
    int status = took_ns ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        status = motion_create(&barrier, &meeting, DTR_DOUBLING, device->rank, error);
    if (!status)
        status = prepare(device, trial, motion, error);
    if (!status)
        status = dtr_engine_create(dtr_chain_top(device->transport), device->log, &engine, error);
    if (!status) {
        status = repeat(engine, &barrier, motion, trial, took_ns);
        if (status)
            dtr_fail(error, status, "a collective failed while it was measured");
    }
    if (!status)
        sum_up(trial, took_ns, motion, times);
    for (int i = 0; i < MOTIONS && status && motion[i].flights && engine; i++)
        dtr_engine_cancel(engine, motion[i].flights);
    if (status && barrier.flights && engine)
        dtr_engine_cancel(engine, barrier.flights);
    dtr_engine_free(engine);
    for (int i = 0; i < MOTIONS; i++)
        motion_free(&motion[i]);
    motion_free(&barrier);
    free(took_ns);
    return status;
}

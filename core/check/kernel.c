/* SPDX-License-Identifier: MIT
 *
 * kernel.c -- the conformance suite of kernel plugins.  Every operation that the plugin supports is
 * compared with double precision, by one thread and by two; weights come and go; two instances work
 * at once.
 */
#include "check/kernel.h"
#include "check/kernel_rig.h"

#include <pthread.h>

#define REPEATS 20u

/* A weight as it would be in a model, small. */
static const struct kernel_linear_case ordinary = {
    .rows_max = 20, .in = 96, .out = 80, .bias = true};

static void check_table(struct kernel_rig *rig, struct dtr_check *check) {
    const struct dtr_kernel_ops *ops = rig->ops;
    const bool any = ops->prepare || ops->unprepare || ops->packed_bytes || ops->linear;
    const bool all = ops->prepare && ops->unprepare && ops->packed_bytes && ops->linear;
    dtr_check_case(check, any && !all ? "a linear layer needs all of its four operations" : NULL,
                   "prepare, unprepare, packed_bytes and linear come together");
    const bool claims = dtr_kernel_linear_is_supported(rig, &ordinary);
    dtr_check_case(check, claims && !all ? "it supports linear layers and has no operation" : NULL,
                   "what is supported has an operation");
    const struct dtr_op_shape unknown = {.size = sizeof unknown, .op = 1000};
    dtr_check_case(check,
                   ops->supports(rig->self, &unknown) ? "it supports an operation that there is not"
                                                      : NULL,
                   "an unknown operation is not supported");
}

/* Memory comes back, and a weight prepared anew works like the first. */
static void check_repeats(struct kernel_rig *rig, struct dtr_check *check) {
    struct kernel_verdict verdict = {.worst = 0.0};
    const char *name = "weights are prepared and unprepared again and again";
    if (!dtr_kernel_linear_is_supported(rig, &ordinary)) {
        dtr_check_skip(check, "not supported", "%s", name);
        return;
    }
    int64_t live = 0;
    for (uint32_t i = 0; i < REPEATS && !*verdict.why; i++) {
        struct kernel_linear linear;
        dtr_kernel_verdict_shape(&verdict, "time %u", i);
        if (dtr_kernel_linear_make(rig, &ordinary, &linear, &verdict))
            dtr_kernel_linear_try(rig, &linear, ordinary.rows_max, 0, &verdict);
        dtr_kernel_linear_free(rig, &linear);
        if (i == 0)
            live = dtr_kernel_rig_live(rig);
    }
    if (dtr_kernel_rig_live(rig) > live)
        dtr_kernel_verdict_fail(&verdict, "memory is lost with each weight");
    dtr_kernel_verdict_report(&verdict, check, name);
}

/* Several weights prepared at once do not disturb each other. */
static void check_many_weights(struct kernel_rig *rig, struct dtr_check *check) {
    enum { WEIGHTS = 5 };
    struct kernel_linear linear[WEIGHTS] = {{.packed = NULL}};
    struct kernel_verdict verdict = {.worst = 0.0};
    const char *name = "several weights are kept at once";
    if (!dtr_kernel_linear_is_supported(rig, &ordinary)) {
        dtr_check_skip(check, "not supported", "%s", name);
        return;
    }
    for (uint32_t i = 0; i < WEIGHTS && !*verdict.why; i++) {
        struct kernel_linear_case shape = ordinary;
        shape.out += 13 * i;
        shape.in -= 7 * i;
        dtr_kernel_linear_make(rig, &shape, &linear[i], &verdict);
    }
    for (uint32_t i = 0; i < 3 * WEIGHTS && !*verdict.why; i++)
        dtr_kernel_linear_try(rig, &linear[i % WEIGHTS], 1 + 5 * (i % 4), 0, &verdict);
    for (uint32_t i = 0; i < WEIGHTS; i++)
        dtr_kernel_linear_free(rig, &linear[i]);
    dtr_kernel_verdict_report(&verdict, check, name);
}

struct neighbour {
    struct kernel_rig *rig;
    struct kernel_verdict verdict;
};

static void *work(void *arg) {
    struct neighbour *neighbour = arg;
    struct kernel_linear linear;
    if (dtr_kernel_linear_make(neighbour->rig, &ordinary, &linear, &neighbour->verdict))
        for (uint32_t i = 0; i < REPEATS && !*neighbour->verdict.why; i++)
            dtr_kernel_linear_try(neighbour->rig, &linear, 1 + i, 0, &neighbour->verdict);
    dtr_kernel_linear_free(neighbour->rig, &linear);
    return NULL;
}

/* Two instances, each in a thread of its own, as devices in one process would be. */
static int check_neighbours(struct kernel_rig *rig, const struct dtr_chain *chain,
                            const struct dtr_log *log, struct dtr_check *check,
                            struct dtr_error *error) {
    const char *name = "two instances work at once";
    struct kernel_rig other;
    const int status = dtr_kernel_rig_open(&other, chain, log, 1, error);
    if (status)
        return status;
    if (dtr_kernel_linear_is_supported(rig, &ordinary)) {
        struct neighbour here = {.rig = rig}, there = {.rig = &other};
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, &there)) {
            dtr_kernel_rig_close(&other);
            return dtr_fail(error, DTR_E_SYSTEM, "cannot start a thread");
        }
        work(&here);
        pthread_join(thread, NULL);
        dtr_kernel_verdict_report(*here.verdict.why ? &here.verdict : &there.verdict, check, name);
    } else {
        dtr_check_skip(check, "not supported", "%s", name);
    }
    dtr_kernel_rig_close(&other);
    return DTR_OK;
}

static int check_with(const struct dtr_chain *chain, const struct dtr_log *log, uint32_t threads,
                      struct dtr_check *check, struct dtr_error *error) {
    struct kernel_rig rig;
    int status = dtr_kernel_rig_open(&rig, chain, log, threads, error);
    if (status)
        return status;
    if (threads == 1)
        check_table(&rig, check);
    dtr_kernel_check_linear(&rig, check);
    dtr_kernel_check_attention(&rig, check);
    dtr_kernel_check_norms(&rig, check);
    check_many_weights(&rig, check);
    check_repeats(&rig, check);
    status = check_neighbours(&rig, chain, log, check, error);
    const int64_t live = dtr_kernel_rig_close(&rig);
    dtr_check_case(check, live ? "there is memory that it has not released" : NULL,
                   "close releases all memory, threads %u", threads);
    return status;
}

int dtr_check_kernel(const struct dtr_chain *chain, const struct dtr_log *log,
                     struct dtr_check *check, struct dtr_error *error) {
    const int status = check_with(chain, log, 1, check, error);
    return status ? status : check_with(chain, log, 2, check, error);
}

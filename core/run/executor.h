/* SPDX-License-Identifier: MIT
 *
 * executor.h -- runs schedules on one device.  Everything a request needs is made beforehand, when
 * its schedule becomes a program; running a program allocates nothing.
 */
#ifndef DTR_RUN_EXECUTOR_H
#define DTR_RUN_EXECUTOR_H

#include "model/model.h"
#include "plan/lower.h"
#include "run/engine.h"
#include "run/kernels.h"

/* A schedule with all that it needs to run on this device. */
struct dtr_program {
    struct dtr_schedule *schedule;
    struct dtr_flights *flights;
    const struct dtr_weight **weights; /* [weights_count] */
    uint64_t *begin_ns, *end_ns;       /* [steps_count] of the last request */
    uint64_t digest;
    uint32_t *strategy; /* [groups] what it was lowered for, and where rows are selected, which */
    uint32_t *select;   /* [schedule->selected], or NULL; in the same memory */
    uint32_t tiles;
    void *companions; /* what its user keeps with it, and how that is freed */
    void (*free_companions)(void *companions);
};

/* The tokens of a request: ids and types in the order of the sequences; NULL where the input is
 * hidden states. */
struct dtr_tokens_input {
    const uint32_t *ids, *types;
};

struct dtr_executor;

/* All arguments stay the caller's and outlive the executor.  `engine` may be NULL on one
 * device. */
int dtr_executor_create(const struct dtr_model *model, struct dtr_kernels *kernels,
                        struct dtr_engine *engine, struct dtr_executor **executor_p,
                        struct dtr_error *error);
void dtr_executor_free(struct dtr_executor *executor);

/* After the group was formed anew; the one before may be gone.  `numbers`: what the group's devices
 * are called, as long as the engine is set; NULL where that is NULL. */
void dtr_executor_set_engine(struct dtr_executor *executor, struct dtr_engine *engine,
                             const uint32_t *numbers);

/* Prepares the weights of a schedule and takes it over.  On failure it stays the caller's. */
int dtr_executor_load(struct dtr_executor *executor, struct dtr_schedule *schedule,
                      uint32_t rows_max, struct dtr_program **program_p, struct dtr_error *error);
void dtr_program_free(struct dtr_program *program);

/* Makes the arena large enough for the program; allocates only then. */
int dtr_executor_reserve(struct dtr_executor *executor, const struct dtr_program *program,
                         struct dtr_error *error);

/* Where a view's data is in the arena; its row stride is the buffer's columns. */
float *dtr_executor_data(const struct dtr_executor *executor, const struct dtr_program *program,
                         const struct dtr_view *view);

/* Runs the program to its end.  `tokens` may be NULL when the schedule embeds none.  Blocks; on
 * DTR_E_PEER and the like everything under way is cancelled. */
int dtr_executor_run(struct dtr_executor *executor, struct dtr_program *program,
                     const struct dtr_tokens_input *tokens, struct dtr_error *error);

/* Since when the step under way has been computing, on the clock of dtr_now_ns(); 0: it waits for
 * others, or nothing runs.  Any thread. */
uint64_t dtr_executor_computing_ns(const struct dtr_executor *executor);

/* Bytes of the arena. */
uint64_t dtr_executor_bytes(const struct dtr_executor *executor);

#endif

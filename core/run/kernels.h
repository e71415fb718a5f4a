/* SPDX-License-Identifier: MIT
 *
 * kernels.h -- a device's kernel set: the chosen plugin laid over the reference, operation by
 * operation; and the device's prepared weights.
 */
#ifndef DTR_RUN_KERNELS_H
#define DTR_RUN_KERNELS_H

#include "config/experiment.h"
#include "model/model.h"
#include "plan/schedule.h"
#include "plugin/registry.h"

struct dtr_kernels;

/* A prepared weight; it says itself who runs it. */
struct dtr_weight {
    struct dtr_weight_key key;
    const struct dtr_instance *instance; /* of linear weights */
    void *packed;
    float *gamma, *beta; /* of norms: [columns] each */
    uint32_t in, out;
    uint32_t dtype; /* of linear weights: enum dtr_dtype */
    uint64_t bytes;
    bool marked; /* stays when the others are swept away */
};

/* Linear weights of one type: how many, how many numbers before they were packed, and the memory
 * that they take. */
struct dtr_weight_sum {
    uint32_t weights;
    uint64_t numbers, bytes;
};

/* Opens the experiment's kernel chain for the device, and the reference below it. */
int dtr_kernels_open(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                     uint32_t device, const struct dtr_log *log, struct dtr_kernels **kernels_p,
                     struct dtr_error *error);
void dtr_kernels_close(struct dtr_kernels *kernels); /* with all weights */

/* The threads that compute besides the caller, see dtr_pool_threads(). */
void dtr_kernels_threads(const struct dtr_kernels *kernels, dtr_thread_visit *visit, void *arg);

/* The outermost plugin's name. */
const char *dtr_kernels_name(const struct dtr_kernels *kernels);

/* Reads and packs a weight unless it is there already.  rows_max: rows of the largest request. */
int dtr_kernels_prepare(struct dtr_kernels *kernels, const struct dtr_model *model,
                        const struct dtr_weight_key *key, uint32_t rows_max,
                        struct dtr_error *error);

/* The memory that such a linear weight takes when it is prepared; 0: the plugin does not know
 * before. */
uint64_t dtr_kernels_foretell(const struct dtr_kernels *kernels, const struct dtr_model *model,
                              const struct dtr_weight_key *key, uint32_t rows_max);

/* Lets prepared weights go: unmark all, mark those that are wanted (where they are there), sweep.
 * Nothing may run meanwhile. */
void dtr_kernels_unmark(struct dtr_kernels *kernels);
void dtr_kernels_mark(struct dtr_kernels *kernels, const struct dtr_weight_key *key);
void dtr_kernels_sweep(struct dtr_kernels *kernels);

/* The prepared weight, or NULL. */
const struct dtr_weight *dtr_kernels_weight(const struct dtr_kernels *kernels,
                                            const struct dtr_weight_key *key);

/* Those that are kept in that type. */
struct dtr_weight_sum dtr_kernels_sum(const struct dtr_kernels *kernels, uint32_t dtype);

/* Memory of all prepared weights. */
uint64_t dtr_kernels_bytes(const struct dtr_kernels *kernels);

/* The operations; shapes as in detransformer/kernel.h. */
int dtr_kernels_linear(struct dtr_kernels *kernels, const struct dtr_weight *weight, uint32_t rows,
                       const float *x, size_t x_stride, float *y, size_t y_stride, uint32_t flags);
/* `attention->dtype` is the device's, whatever it says. */
int dtr_kernels_attention(struct dtr_kernels *kernels, const struct dtr_attention *attention);
int dtr_kernels_add_norm(struct dtr_kernels *kernels, const struct dtr_norm *norm);
int dtr_kernels_moments(struct dtr_kernels *kernels, const struct dtr_norm *norm);
int dtr_kernels_normalise(struct dtr_kernels *kernels, const struct dtr_norm *norm);

/* A linear layer with a made-up weight, to measure: prepared, run, and let go. */
int dtr_kernels_try(struct dtr_kernels *kernels, uint32_t out, uint32_t in, uint32_t rows,
                    void **trial_p, struct dtr_error *error);
int dtr_kernels_try_linear(struct dtr_kernels *kernels, void *trial, uint32_t rows, const float *x,
                           size_t x_stride, float *y, size_t y_stride);
void dtr_kernels_untry(struct dtr_kernels *kernels, void *trial);

/* Where the outermost plugin keeps a clock of its own: how late it was and how long it should
 * have taken since the last call; false where it does not. */
bool dtr_kernels_lateness(struct dtr_kernels *kernels, uint64_t *late_ns_p, uint64_t *due_ns_p);

#endif

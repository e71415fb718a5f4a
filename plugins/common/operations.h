/* SPDX-License-Identifier: MIT
 *
 * operations.h -- the operations of a kernel plugin other than its matrix product, done with
 * vector.h on the device's threads.  A plugin's instance begins with struct dtr_common; the
 * functions then fit into its struct dtr_kernel_ops as they are.
 */
#ifndef DTR_COMMON_OPERATIONS_H
#define DTR_COMMON_OPERATIONS_H

#include "vector.h"

struct dtr_common {
    const struct dtr_host *host;
    const struct dtr_vector *vector;
    uint32_t threads;
    void *scratch;
    size_t scratch_bytes;
};

/* Allocates nothing. */
void dtr_common_open(struct dtr_common *common, const struct dtr_host *host, uint32_t threads);
void dtr_common_close(struct dtr_common *common);

/* Memory aligned to 64 bytes that lives until the next call or close; NULL when there is none. */
void *dtr_common_scratch(struct dtr_common *common, size_t bytes);

/* The part-th of `parts` nearly equal shares of [0, total), in multiples of `grain`. */
void dtr_common_share(uint32_t total, uint32_t grain, uint32_t parts, uint32_t part,
                      uint32_t *first_p, uint32_t *end_p);

/* For weights that are one allocation. */
void dtr_common_unprepare(void *self, void *packed);

int dtr_common_attention(void *self, const struct dtr_attention *attention);
int dtr_common_add_norm(void *self, const struct dtr_norm *norm);
int dtr_common_moments(void *self, const struct dtr_norm *norm);
int dtr_common_normalise(void *self, const struct dtr_norm *norm);

#endif

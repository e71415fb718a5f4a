/* SPDX-License-Identifier: MIT
 *
 * roofline.h -- what the processor can do at most, measured: multiply-adds on registers alone, and
 * reading memory that is in no cache (Williams, Waterman and Patterson 2009).
 */
#ifndef DTR_CLI_ROOFLINE_H
#define DTR_CLI_ROOFLINE_H

#include "base/dtype.h"
#include "plugin/pool.h"

struct dtr_roofline {
    double gflops[DTR_DTYPES]; /* 0: no instruction for it that is known here */
    double gbyte_s;
};

/* Takes about `seconds` for each figure; the best of several rounds counts. */
int dtr_roofline_measure(struct dtr_pool *pool, uint32_t threads, double seconds,
                         struct dtr_roofline *roofline, struct dtr_error *error);

/* The GFLOP/s that it leaves to `flops` operations which move `bytes`; 0: not known. */
double dtr_roofline_limit(const struct dtr_roofline *roofline, uint32_t dtype, double flops,
                          double bytes);

#endif

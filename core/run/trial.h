/* SPDX-License-Identifier: MIT
 *
 * trial.h -- one device's part in a measurement of its group's transport: collectives, one after
 * the other, by the engine that runs them in requests.
 */
#ifndef DTR_RUN_TRIAL_H
#define DTR_RUN_TRIAL_H

#include "plan/collective.h"
#include "run/device.h"

enum dtr_trial_kind {
    DTR_TRIAL_COLLECTIVE,
    DTR_TRIAL_STREAM, /* the whole matrix from device 0 to device 1 */
    DTR_TRIAL_PING,   /* to device 1 and back */
    DTR_TRIAL_KINDS
};

/* The most bytes of a matrix, and the most repetitions. */
#define DTR_TRIAL_BYTES (UINT64_C(1) << 30)
#define DTR_TRIAL_REPEATS 100000u

struct dtr_trial {
    uint32_t what;            /* enum dtr_trial_kind */
    uint32_t kind, algorithm; /* of the collective */
    uint32_t wire;            /* enum dtr_dtype */
    uint32_t rows, columns;   /* f32 values */
    uint32_t warmup, repeats;
};

/* Seconds of one repetition on this device; 0 where it has no part. */
struct dtr_trial_times {
    double mean_s, median_s, least_s;
    uint64_t bytes_sent, bytes_received; /* payload of one repetition */
};

/* False for what no device would do. */
bool dtr_trial_sane(const struct dtr_trial *trial, uint32_t devices);

/* All devices of the group call it with the same trial.  Blocks.  DTR_E_CONFIG where the algorithm
 * does not work for the number of devices. */
int dtr_trial_run(struct dtr_device *device, const struct dtr_trial *trial,
                  struct dtr_trial_times *times, struct dtr_error *error);

#endif

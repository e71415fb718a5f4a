/* SPDX-License-Identifier: MIT
 *
 * profile.h -- what was measured of a group of devices: how long kernels take at a number of
 * shapes, and what each link carries.  From it the cost of any step is worked out.
 */
#ifndef DTR_PLAN_PROFILE_H
#define DTR_PLAN_PROFILE_H

#include <detransformer/planner.h>

#include "base/error.h"
#include "plan/schedule.h"
#include "plan/simulate.h"

enum dtr_probe_kind { DTR_PROBE_LINEAR, DTR_PROBE_ATTENTION, DTR_PROBE_NORM, DTR_PROBE_KINDS };

/* One shape of a kernel.  linear: rows, out, in.  attention: rows queries see as many keys; out is
 * heads * head_size, in the head_size.  norm: rows, out columns. */
struct dtr_probe {
    uint32_t kind; /* enum dtr_probe_kind */
    uint32_t rows, out, in;
};

struct dtr_profile {
    uint32_t devices;
    struct dtr_probe *probes;
    uint32_t probes_count;
    double *seconds;       /* [devices][probes_count] */
    struct dtr_link *link; /* [devices][devices] */
    double message_s;      /* of a message, beside its bytes and the latency, where all send */
    double round_s;        /* how much later than the latency those of a round are noticed */
    char **kernel;         /* [devices] the plugin measured; NULL: described, not measured */
    char model[65];        /* digest of the model, in hexadecimal; empty: of no model */
    char cpu[200];         /* of the leader; empty: of none */
};

/* The shapes that the model's layers have on that many devices, for requests of up to `rows`
 * tokens; nothing is measured yet. */
int dtr_profile_create(const struct dtr_model_shape *model, uint32_t devices, uint32_t rows,
                       struct dtr_profile **profile_p, struct dtr_error *error);
void dtr_profile_free(struct dtr_profile *profile);

/* The profile of some of the devices, in the order of the list. */
int dtr_profile_select(const struct dtr_profile *profile, const uint32_t *devices, uint32_t count,
                       struct dtr_profile **selected_p, struct dtr_error *error);

/* How much longer than its links alone would have it a small all-gather among `devices` takes: in
 * one round, with a message to each of the others, and by dtr_route_sparing(), with one in each
 * round.  Among two they are the same, and all is put down to the message. */
struct dtr_excess {
    double straight_s, sparing_s;
};
void dtr_profile_fit(struct dtr_profile *profile, uint32_t devices, struct dtr_excess excess);

/* As an INI file, and back.  One that is replaced stays as it was until all is written.  A file may
 * also describe devices that nobody has measured, by their arithmetic, memory and port
 * (detransformer.ini(5)).  DTR_E_SYSTEM, DTR_E_CONFIG. */
int dtr_profile_save(const struct dtr_profile *profile, const char *path, struct dtr_error *error);
int dtr_profile_load(const char *path, struct dtr_profile **profile_p, struct dtr_error *error);

/* How long a step of the schedule takes on a device of the profile. */
double dtr_profile_step_s(const struct dtr_profile *profile, uint32_t device,
                          const struct dtr_schedule *schedule, const struct dtr_step *step);

/* What collectives and their messages cost, over `link`; without a profile messages and rounds cost
 * nothing beside what the links say.  What steps cost is left to the caller. */
struct dtr_cost dtr_profile_cost(const struct dtr_profile *profile, const struct dtr_link *link);

/* The device's speed in the linear layers that it spends its time in. */
double dtr_profile_gflops(const struct dtr_profile *profile, uint32_t device);

#endif

/* SPDX-License-Identifier: MIT
 *
 * protocol.h -- the contents of control frames, in one place for both ends.
 */
#ifndef DTR_RUN_PROTOCOL_H
#define DTR_RUN_PROTOCOL_H

#include "model/supply.h"
#include "plan/profile.h"
#include "run/device.h"
#include "run/message.h"
#include "run/trial.h"

/* Raised whenever a frame changes. */
enum { DTR_PROTOCOL_VERSION = 8 };

/* DTR_FRAME_HELLO */
void dtr_write_hello(struct dtr_writer *writer);
int dtr_read_hello(struct dtr_reader *reader, struct dtr_error *error);

/* DTR_FRAME_SETUP */
struct dtr_setup {
    uint32_t device;
    struct dtr_session_options options;
    uint32_t log_level;
    const char *experiment;   /* the effective one, as text */
    const char *config;       /* the model's config.json */
    struct dtr_supply supply; /* the model otherwise; no types: random weights */
};
void dtr_write_setup(struct dtr_writer *writer, const struct dtr_setup *setup);
int dtr_read_setup(struct dtr_reader *reader, struct dtr_setup *setup, struct dtr_error *error);

/* DTR_FRAME_ADDRESS */
struct dtr_address {
    const char *text;
    const char *transport; /* names and versions of its transport plugins, outermost first */
    const uint8_t *digest; /* of the model, 32 bytes */
};
void dtr_write_address(struct dtr_writer *writer, const struct dtr_address *address);
int dtr_read_address(struct dtr_reader *reader, struct dtr_address *address,
                     struct dtr_error *error);

/* DTR_FRAME_GROUP: the group as the receiver joins it, and what its devices are called in the
 * experiment.  The arrays read are the caller's, [most], where `most` devices are the most that
 * there can be; the texts point into the frame. */
void dtr_write_group(struct dtr_writer *writer, const struct dtr_group *group,
                     const uint32_t *numbers);
int dtr_read_group(struct dtr_reader *reader, uint32_t most, struct dtr_group *group,
                   const char **addresses, uint32_t *numbers, struct dtr_error *error);

/* DTR_FRAME_PROBE; the array read is the caller's. */
void dtr_write_probes(struct dtr_writer *writer, const struct dtr_probe *probes, uint32_t count);
int dtr_read_probes(struct dtr_reader *reader, struct dtr_probe **probes_p, uint32_t *count_p,
                    struct dtr_error *error);

/* DTR_FRAME_PROBED */
void dtr_write_probed(struct dtr_writer *writer, const char *kernel, const double *seconds,
                      uint32_t count);
int dtr_read_probed(struct dtr_reader *reader, uint32_t count, const char **kernel_p,
                    double *seconds, struct dtr_error *error);

/* DTR_FRAME_LINK, DTR_FRAME_LINKED */
struct dtr_link_frame {
    uint32_t peer;
    bool echoes;          /* answer the peer instead of measuring */
    struct dtr_link link; /* LINKED: what was measured */
};
void dtr_write_link(struct dtr_writer *writer, const struct dtr_link_frame *frame);
int dtr_read_link(struct dtr_reader *reader, struct dtr_link_frame *frame, struct dtr_error *error);

/* DTR_FRAME_TRIAL; whether it is sane is checked. */
void dtr_write_trial(struct dtr_writer *writer, const struct dtr_trial *trial);
int dtr_read_trial(struct dtr_reader *reader, uint32_t devices, struct dtr_trial *trial,
                   struct dtr_error *error);

/* DTR_FRAME_TRIED */
void dtr_write_tried(struct dtr_writer *writer, const struct dtr_trial_times *times);
int dtr_read_tried(struct dtr_reader *reader, struct dtr_trial_times *times,
                   struct dtr_error *error);

/* DTR_FRAME_READY */
struct dtr_ready {
    uint64_t weight_bytes;
    const char *kernel;
    const char *cores; /* that its compute threads are bound to; "": to none */
};
void dtr_write_ready(struct dtr_writer *writer, const struct dtr_ready *ready);
int dtr_read_ready(struct dtr_reader *reader, struct dtr_ready *ready, struct dtr_error *error);

/* DTR_FRAME_REQUEST.  What is read lives in `memory`, which grows and is used again. */
struct dtr_request_frame {
    uint64_t number;
    uint64_t digest; /* of the receiver's schedule */
    struct dtr_request request;
    const uint32_t *strategy; /* [groups] */
    uint32_t tiles;
};
struct dtr_words {
    uint32_t *words;
    size_t capacity;
};
void dtr_write_request(struct dtr_writer *writer, const struct dtr_request_frame *frame,
                       const struct dtr_model *model, uint32_t groups);
int dtr_read_request(struct dtr_reader *reader, const struct dtr_device *device,
                     struct dtr_words *memory, struct dtr_request_frame *frame,
                     struct dtr_error *error);

/* DTR_FRAME_DONE; times are those of the worker's clock. */
struct dtr_done {
    uint64_t number;
    struct dtr_device_times times;
    uint64_t buffer_bytes, peak_rss_bytes;
    uint64_t late_ns, due_ns;
    uint64_t taken_ns, answered_ns; /* the request was taken, and this was written */
    uint32_t steps, collectives;    /* steps: only with the trace, else 0 */
    const void *step_times;         /* begin of all steps, then end of all, 64 bits each */
    const void *flight_times;       /* begin and end of each collective */
};
void dtr_write_done(struct dtr_writer *writer, const struct dtr_done *done,
                    const struct dtr_program *program, bool trace);
int dtr_read_done(struct dtr_reader *reader, struct dtr_done *done, struct dtr_error *error);

/* DTR_FRAME_FAILED; `suspect`: the device whose loss the worker noticed, or -1. */
void dtr_write_failed(struct dtr_writer *writer, const struct dtr_error *failure, int suspect);
void dtr_read_failed(struct dtr_reader *reader, struct dtr_error *failure, int *suspect_p);

/* The last word of every frame but the first three: the group that it is about.  Reading takes it
 * off; 0 where there is none. */
uint64_t dtr_read_epoch(struct dtr_reader *reader);

/* The process's largest resident set so far. */
uint64_t dtr_peak_rss_bytes(void);

#endif

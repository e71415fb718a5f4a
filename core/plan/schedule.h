/* SPDX-License-Identifier: MIT
 *
 * schedule.h -- what one device does for one request: a flat list of typed steps on named buffers.
 * It is the single source of truth: the executor runs it, the simulator prices it, the accountant
 * sums it, `plan --explain` prints it and the trace draws it.
 *
 * Steps run in the order of the list.  What a step reads and writes is in its views, so that
 * dependencies are explicit; communication is split into a START and a WAIT, between which other
 * steps run.
 */
#ifndef DTR_PLAN_SCHEDULE_H
#define DTR_PLAN_SCHEDULE_H

#include <detransformer/kernel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/split.h"

/* A matrix of floats in the device's arena.  Rows are numbered by what they stand for (tokens of
 * the request), columns from 0; the row stride is the number of columns. */
struct dtr_buffer {
    char name[48];
    uint32_t row, rows, columns; /* rows [row, row + rows) */
    uint32_t hash;               /* of the name: exchanges between many look for many buffers */
    uint64_t offset;             /* in floats, from the start of the arena */
};

/* A rectangle of a buffer. */
struct dtr_view {
    int32_t buffer; /* index; -1: none */
    struct dtr_range rows, columns;
};

#define DTR_NO_VIEW ((struct dtr_view){.buffer = -1})

/* A prepared weight: one part of one matrix of one block (a layer, or a sub-block of it). */
enum dtr_weight_kind {
    DTR_WEIGHT_QUERY_KEY_VALUE, /* part: heads; rows are the heads' q, then k, then v */
    DTR_WEIGHT_QUERY,           /* part: heads                                       */
    DTR_WEIGHT_KEY_VALUE,       /* part: heads; rows are the heads' k, then v         */
    DTR_WEIGHT_PROJECTION,      /* part: heads, that is columns of the matrix         */
    DTR_WEIGHT_FEED_FORWARD_1,  /* part: columns of the feed-forward, rows here       */
    DTR_WEIGHT_FEED_FORWARD_2,  /* part: columns of the feed-forward, columns here    */
    DTR_WEIGHT_ATTENTION_NORM,  /* part: columns of the block                         */
    DTR_WEIGHT_OUTPUT_NORM,
    DTR_WEIGHT_POOLER,
    DTR_WEIGHT_CLASSIFIER,
    DTR_WEIGHT_PREDICTION_DENSE,
    DTR_WEIGHT_PREDICTION_NORM,
    DTR_WEIGHT_PREDICTION_DECODER,
    DTR_WEIGHT_ANSWER,
};

struct dtr_weight_key {
    uint8_t kind; /* enum dtr_weight_kind */
    uint16_t layer;
    int16_t division; /* -1: an original layer */
    struct dtr_range part;
};

enum dtr_step_kind {
    DTR_STEP_EMBED,     /* out: rows of the embedded tokens                                  */
    DTR_STEP_LINEAR,    /* out = in[0] W^T + b, by `weight`                                  */
    DTR_STEP_ATTENTION, /* out = attention(in[0], in[1], in[2])                              */
    DTR_STEP_ADD_NORM,  /* out = LayerNorm(in[0] + in[1]), by `weight`                       */
    DTR_STEP_MOMENTS,   /* out = in[0] + in[1], in[2] receives mean and M2 of its rows       */
    DTR_STEP_MERGE,     /* out = the moments of whole rows from those of their parts, in[0]  */
    DTR_STEP_NORMALISE, /* out = normalised in[0] by the moments in[1], by `weight`          */
    DTR_STEP_COPY,      /* out = in[0]; with DTR_STEP_SELECT the selected rows of it         */
    DTR_STEP_START,     /* `collective` begins                                               */
    DTR_STEP_WAIT,      /* `collective` is complete                                          */
    DTR_STEP_KINDS
};

#define DTR_STEP_ACCUMULATE 1u /* linear: out += ... */
#define DTR_STEP_SELECT 2u     /* copy: the rows of in[0] that are listed in schedule.rows */

struct dtr_step {
    uint8_t kind;     /* enum dtr_step_kind */
    uint8_t flags;    /* DTR_STEP_* */
    uint16_t layer;   /* which layer it belongs to; layers: what comes after the last */
    int16_t division; /* -1: none */
    uint16_t heads;   /* attention */
    int32_t weight;   /* index into weights, or -1 */
    int32_t collective;
    uint32_t list, listed; /* attention: first and number in schedule.spans; copy with
                              DTR_STEP_SELECT: in schedule.rows */
    struct dtr_view in[3], out;
};

/* One message of a collective, as this device sees it. */
enum dtr_message_kind { DTR_MESSAGE_SEND, DTR_MESSAGE_RECEIVE, DTR_MESSAGE_REDUCE };

struct dtr_message {
    uint8_t kind;   /* REDUCE: received, then added in f32, in the order of the list */
    uint16_t round; /* a round begins when the one before is complete on this device */
    uint32_t peer;
    uint32_t view, views; /* into schedule.views: what is sent, or where it goes */
    uint32_t rows;        /* of all views */
    uint64_t values;      /* of all views */
};

enum dtr_collective_kind {
    DTR_ALL_GATHER,
    DTR_ALL_TO_ALL,
    DTR_GATHER,
    DTR_SCATTER,
    DTR_BROADCAST,
    DTR_REDUCE_SCATTER,
    DTR_ALL_REDUCE,
    DTR_TRANSFER, /* one message from one device to another */
    DTR_COLLECTIVE_KINDS
};

struct dtr_collective {
    uint8_t kind;      /* enum dtr_collective_kind */
    uint8_t algorithm; /* enum dtr_algorithm: for people; the messages say it all */
    uint8_t wire;      /* enum dtr_dtype: how values travel */
    uint16_t rounds;
    uint16_t layer;
    uint32_t tag;               /* the same on all devices */
    uint32_t message, messages; /* into schedule.message, round after round; none where this device
                                   has no part */
    uint64_t staging;           /* in floats, from the start of the arena: room for its parcels */
};

/* Where a result is when the schedule is done: on device 0, and -1 elsewhere. */
struct dtr_schedule {
    uint32_t device, devices;
    uint32_t layers;
    uint32_t tokens, sequences;
    uint32_t *lengths; /* [sequences] */
    uint32_t selected; /* rows that the last layer computes, not more than tokens */

    struct dtr_buffer *buffers;
    struct dtr_step *steps;
    struct dtr_weight_key *weights;
    struct dtr_collective *collectives;
    struct dtr_message *messages;
    struct dtr_view *views;
    struct dtr_span *spans;
    uint32_t *rows; /* lists of row numbers */
    uint32_t buffers_count, steps_count, weights_count, collectives_count, messages_count,
        views_count, spans_count, rows_count;
    uint64_t arena_floats;

    struct dtr_view input;          /* device 0: where hidden states given as input go */
    struct dtr_view hidden;         /* last hidden states of the selected rows */
    struct dtr_view pooled, logits; /* where the model and the task have them */
    struct dtr_view *layer_output;  /* [layers] with keep_layers, else NULL */
};

void dtr_schedule_free(struct dtr_schedule *schedule);

/* An array of them too; it may be NULL, and so may each. */
void dtr_schedules_free(struct dtr_schedule **schedules, uint32_t count);

/* Names of kinds, for people. */
const char *dtr_step_kind_name(enum dtr_step_kind kind);
const char *dtr_collective_kind_name(enum dtr_collective_kind kind);
const char *dtr_weight_kind_name(enum dtr_weight_kind kind);

/* A number that two lists of steps share only when they are equal (FNV-1a over all of it but
 * device-local offsets). */
uint64_t dtr_schedule_digest(const struct dtr_schedule *schedule);

/* One line a step. */
void dtr_schedule_print(const struct dtr_schedule *schedule, FILE *out);

/* Checks the promises of a schedule: views lie in their buffers, nothing is read before it was
 * written, nothing that is under way is written or awaited twice, all that starts is awaited.
 * NULL, or a sentence of static lifetime, with the step's index in *step_p. */
const char *dtr_schedule_check(const struct dtr_schedule *schedule, uint32_t *step_p);

#endif

/* SPDX-License-Identifier: MIT
 *
 * flight.h -- a collective under way: what its messages are cut into, and what of it is done;
 * for the engine.
 */
#ifndef DTR_RUN_FLIGHT_H
#define DTR_RUN_FLIGHT_H

#include "plan/parcel.h"
#include "run/engine.h"

struct dtr_transfer;

struct dtr_flight_parcel {
    struct dtr_parcel cut;
    /* What it passes on; NULL: it waits for its round to begin. */
    const struct dtr_flight_parcel *source;
    struct dtr_transfer *request; /* NULL: not posted, or done */
    uint64_t staging;             /* where in the arena it is packed, unless it is direct */
    bool alone;                   /* of a message that is the only one to come in its round */
    bool done;
};

struct dtr_flight {
    struct dtr_flights *flights;
    const struct dtr_collective *collective;
    struct dtr_flight_parcel *parcels; /* [count] */
    uint32_t count;
    uint32_t round, first;            /* the round that is under way, and its first parcel */
    uint32_t unfinished;              /* the first parcel that is not done */
    uint32_t next_receive, next_send; /* what has not been posted */
    bool active;
};

struct dtr_flights {
    const struct dtr_schedule *schedule;
    float *arena;
    struct dtr_flight *flights;        /* [collectives_count] */
    struct dtr_flight_times *times;    /* [collectives_count] */
    struct dtr_flight_parcel *parcels; /* [parcels_count] of all */
    uint32_t parcels_count;
};

/* Where a parcel is sent from, or comes to. */
void *dtr_flight_buffer(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel);

/* Between the arena and that buffer, for parcels that are not direct; sums are added. */
void dtr_flight_pack(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel);
void dtr_flight_unpack(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel);

#endif

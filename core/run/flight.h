/* SPDX-License-Identifier: MIT
 *
 * flight.h -- a collective under way: what its messages are cut into, in which memory they are
 * packed, and what of it is done; for the engine.
 */
#ifndef DTR_RUN_FLIGHT_H
#define DTR_RUN_FLIGHT_H

#include "plan/route.h"
#include "run/engine.h"

struct dtr_transfer;

/* One message of a collective, or some rows of it. */
struct parcel {
    const struct dtr_message *message;
    const struct parcel *source;  /* what it passes on; NULL: it waits for its round to begin */
    struct dtr_transfer *request; /* NULL: not posted, or done */
    struct dtr_range rows;        /* of the message's, counted through its views */
    uint64_t bytes;               /* on the wire */
    uint64_t staging;             /* offset in the flights' memory, where it is packed */
    bool direct;                  /* travels straight from or to the arena */
    bool alone;                   /* of a message that is the only one to come in its round */
    bool done;
};

struct flight {
    struct dtr_flights *flights;
    const struct dtr_collective *collective;
    struct parcel *parcels; /* [count] */
    uint32_t count;
    uint32_t round, first;            /* the round that is under way, and its first parcel */
    uint32_t unfinished;              /* the first parcel that is not done */
    uint32_t next_receive, next_send; /* what has not been posted */
    bool active;
};

struct dtr_flights {
    const struct dtr_schedule *schedule;
    float *arena;
    struct flight *flights;         /* [collectives_count] */
    struct dtr_flight_times *times; /* [collectives_count] */
    struct parcel *parcels;         /* [parcels_count] of all */
    uint32_t parcels_count;
    uint8_t *memory;
    uint64_t bytes;
};

static inline bool dtr_message_comes(const struct dtr_message *message) {
    return message->kind != DTR_MESSAGE_SEND;
}

/* Whether what comes goes on while more of it is coming, instead of round by round. */
static inline bool dtr_collective_passes_on(const struct dtr_collective *collective) {
    return collective->algorithm == DTR_RING && collective->kind != DTR_ALL_TO_ALL;
}

/* Where a parcel is sent from, or comes to. */
void *dtr_parcel_buffer(const struct flight *flight, const struct parcel *parcel);

/* Between the arena and that buffer, for parcels that are not direct; sums are added. */
void dtr_parcel_pack(const struct flight *flight, const struct parcel *parcel);
void dtr_parcel_unpack(const struct flight *flight, const struct parcel *parcel);

#endif

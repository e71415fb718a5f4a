/* SPDX-License-Identifier: MIT
 *
 * parcel.h -- what the messages of a collective are cut into, and the room in the arena for those
 * parcels that are packed before they leave, or unpacked after they came.
 */
#ifndef DTR_PLAN_PARCEL_H
#define DTR_PLAN_PARCEL_H

#include "plan/route.h"
#include "plan/schedule.h"

/* A message of a collective, or some rows of it. */
struct dtr_parcel {
    const struct dtr_message *message;
    struct dtr_range rows; /* of the message's, counted through its views */
    uint64_t bytes;        /* on the wire */
    bool direct;           /* travels straight from or to where its values are */
};

static inline bool dtr_message_comes(const struct dtr_message *message) {
    return message->kind != DTR_MESSAGE_SEND;
}

/* Whether what comes goes on while more of it is coming, instead of round by round. */
static inline bool dtr_passes_on(enum dtr_collective_kind kind, enum dtr_algorithm algorithm) {
    return algorithm == DTR_RING && kind != DTR_ALL_TO_ALL;
}

static inline bool dtr_collective_passes_on(const struct dtr_collective *collective) {
    return dtr_passes_on(collective->kind, collective->algorithm);
}

/* Round a ring a message is cut into parcels: of no fewer bytes, and no more of them. */
enum { DTR_PARCEL_BYTES = 32768, DTR_PARCELS_MOST = 4 };

/* How many parcels a message is cut into; both its ends come to the same. */
uint32_t dtr_parcel_count(const struct dtr_collective *collective,
                          const struct dtr_message *message);

/* Whether what comes is the only message to come in its round; `index`: among the collective's. */
bool dtr_message_is_alone(const struct dtr_schedule *schedule,
                          const struct dtr_collective *collective, uint32_t index);

/* The message that another passes on, parcel by parcel, as it is or as it became by adding: what
 * came alone in the round before.  -1: none.  Both indices are among the collective's. */
int32_t dtr_message_source(const struct dtr_schedule *schedule,
                           const struct dtr_collective *collective, uint32_t index);

/* The index-th of a message's parcels. */
struct dtr_parcel dtr_parcel_at(const struct dtr_schedule *schedule,
                                const struct dtr_collective *collective,
                                const struct dtr_message *message, uint32_t index);

/* The views that a parcel's rows lie in, narrowed to them, one after the other. */
struct dtr_parcel_walk {
    const struct dtr_schedule *schedule;
    const struct dtr_parcel *parcel;
    uint32_t view, row; /* the next view, and its first row among the message's */
};
bool dtr_parcel_next(struct dtr_parcel_walk *walk, struct dtr_view *view);

/* Floats of the arena that it takes besides the buffers, in whole cache lines; 0: it is direct. */
uint64_t dtr_parcel_room(const struct dtr_parcel *parcel);

/* Gives every collective its room behind the buffers, which those that are never under way at the
 * same time share, and makes the arena that much larger.  DTR_E_MEMORY. */
int dtr_parcels_place(struct dtr_schedule *schedule);

#endif

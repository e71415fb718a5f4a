/* SPDX-License-Identifier: MIT
 *
 * assembly.h -- a collective under construction: its messages, view by view; for the files that
 * lower collectives.
 */
#ifndef DTR_PLAN_ASSEMBLY_H
#define DTR_PLAN_ASSEMBLY_H

#include "plan/builder.h"
#include "plan/route.h"

/* A rectangle of a whole matrix. */
struct dtr_rectangle {
    struct dtr_range rows, columns;
};

/* The collective itself is only made with the first message. */
struct dtr_assembly {
    struct dtr_builder *b;
    int32_t index;
    enum dtr_collective_kind kind;
    enum dtr_algorithm algorithm; /* direct until dtr_assembly_algorithm() */
    uint64_t bytes;               /* of the whole matrix on the wire */
    uint32_t tag;
    uint16_t round;
    struct dtr_message *message; /* the one that views are being added to */
};

/* `rows`, `columns`: of the whole matrix that is moved; by them the algorithm is chosen. */
struct dtr_assembly dtr_assembly_begin(struct dtr_builder *b, enum dtr_collective_kind kind,
                                       uint32_t rows, uint32_t columns);

/* Settles the algorithm among so many devices; `possible`: all of them have something to add to.
 * What cannot be falls back on another, unless the experiment insists: then the builder's status
 * says so.  `any_number`: doubling has a way among any number of devices here. */
enum dtr_algorithm dtr_assembly_algorithm(struct dtr_assembly *a, uint32_t count, bool possible,
                                          bool any_number);

/* What is added next is in another message than what was added last. */
void dtr_assembly_next_message(struct dtr_assembly *a);
void dtr_assembly_add(struct dtr_assembly *a, enum dtr_message_kind kind, uint32_t peer,
                      struct dtr_view view);

/* Begins the collective; its index, or -1 where this device has no part. */
int32_t dtr_assembly_end(struct dtr_assembly *a);

/* --- who has what of a matrix (exchange.c) -------------------------------------------------- */

bool dtr_rectangle_empty(struct dtr_rectangle rectangle);
struct dtr_rectangle dtr_rectangle_intersect(struct dtr_rectangle a, struct dtr_rectangle b);

/* The index-th rectangle that the device has under the spread; false after the last. */
bool dtr_rectangle_held(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                        uint32_t *index, struct dtr_rectangle *rectangle);

/* Which devices have anything under the spread, [devices]; NULL: out of memory, as the builder's
 * status says.  The builder's, who forgets them when it is freed. */
const uint8_t *dtr_holders_find(struct dtr_builder *b, const struct dtr_spread *spread);
void dtr_holders_forget(struct dtr_builder *b);

/* Narrows a held rectangle to what this device is the source of: of what several have, each sends
 * an equal share of the rows. */
struct dtr_rectangle dtr_rectangle_of_source(struct dtr_builder *b, const struct dtr_spread *spread,
                                             uint32_t device, struct dtr_rectangle rectangle);

/* Whether the device has all of a rectangle. */
bool dtr_rectangle_is_held(struct dtr_builder *b, const struct dtr_spread *spread, uint32_t device,
                           struct dtr_rectangle wanted);

/* This device's view of a rectangle that lies in one of its own. */
struct dtr_view dtr_rectangle_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                   struct dtr_rectangle rectangle);

/* The rows that travel in one tile from a device. */
struct dtr_range dtr_tile_rows(struct dtr_builder *b, const struct dtr_spread *from,
                               uint32_t device, uint32_t tile, uint32_t tiles);

/* The same between two devices. */
struct dtr_range dtr_pair_rows(struct dtr_builder *b, const struct dtr_spread *from,
                               uint32_t source, uint32_t target, uint32_t tile, uint32_t tiles);

/* --- messages that are passed on (relay.c) -------------------------------------------------- */

/* The messages of an exchange, or of a sum, by the assembly's algorithm; as in dtr_emit_exchange
 * and the like.  False where it takes direct ones. */
bool dtr_relay_exchange(struct dtr_assembly *a, const struct dtr_spread *from,
                        const struct dtr_spread *to, uint32_t tile, uint32_t tiles);
bool dtr_relay_reduce_scatter(struct dtr_assembly *a, const struct dtr_range *part,
                              struct dtr_view partial, const struct dtr_spread *to);
bool dtr_relay_all_reduce(struct dtr_assembly *a, const struct dtr_team *team,
                          const struct dtr_range *part, struct dtr_view view);

/* --- sums (sums.c) ---------------------------------------------------------------------------- */

/* The first round of an all-reduce by direct messages: each member of the team has the sum of its
 * even share of the rows. */
void dtr_sum_to_members(struct dtr_assembly *a, const struct dtr_team *team,
                        const struct dtr_range *part, struct dtr_view view);

#endif

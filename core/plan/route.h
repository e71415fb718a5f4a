/* SPDX-License-Identifier: MIT
 *
 * route.h -- how collectives go: by which devices, and in which round, what starts on one device
 * comes to another.  Whatever the collective, an algorithm is nothing but such a route; sums go
 * the same ways backwards.
 *
 * Devices are places in a row here, [0, count).
 */
#ifndef DTR_PLAN_ROUTE_H
#define DTR_PLAN_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

enum dtr_algorithm {
    DTR_DIRECT,   /* straight to everybody, in one round                                        */
    DTR_PAIRWISE, /* straight, one after the other: to the k-th neighbour in round k            */
    DTR_RING,     /* from neighbour to neighbour                                                */
    DTR_DOUBLING, /* along the edges of a hypercube; a power of two of devices                  */
    DTR_BRUCK,    /* by steps of 1, 2, 4, ... (Bruck et al., IEEE TPDS 8(11), 1997)             */
    DTR_STAR,     /* by way of the first                                                        */
    DTR_ONE_SHOT, /* straight; of a sum, all that everybody adds, so that one round will do     */
    DTR_ALGORITHMS
};

const char *dtr_algorithm_name(enum dtr_algorithm algorithm);

/* Whether there is such a route among so many. */
bool dtr_route_works(enum dtr_algorithm algorithm, uint32_t count);

/* The better of those with the fewest messages: partners keep each other in step, where there are
 * as many as it takes. */
enum dtr_algorithm dtr_route_sparing(uint32_t count);

/* False where nothing is passed on. */
bool dtr_route_relays(enum dtr_algorithm algorithm);

uint32_t dtr_route_rounds(enum dtr_algorithm algorithm, uint32_t count);

/* The last hop of the route from `source` to `target`, two different places.  What is before it is
 * the route to `from`. */
struct dtr_hop {
    uint32_t from, round;
};
struct dtr_hop dtr_route_hop(enum dtr_algorithm algorithm, uint32_t count, uint32_t source,
                             uint32_t target);

/* The index-th place that `from` passes anything on to, rising in distance but for doubling; false
 * after the last.  Few, where routes are made of few hops. */
bool dtr_route_onward(enum dtr_algorithm algorithm, uint32_t count, uint32_t from, uint32_t index,
                      uint32_t *to);

#endif

/* SPDX-License-Identifier: MIT
 *
 * engine.h -- runs the collectives of schedules over any transport: packs, sends, receives,
 * unpacks and adds, round by round.  Collectives make progress while the device computes, in a
 * thread of the engine's; a waiting caller drives them itself.
 */
#ifndef DTR_RUN_ENGINE_H
#define DTR_RUN_ENGINE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "plan/schedule.h"

struct dtr_engine;
struct dtr_instance;

/* The collectives of one schedule. */
struct dtr_flights;

/* When a collective was under way, on the clock of the engine; 0: not in this request. */
struct dtr_flight_times {
    uint64_t begin_ns, end_ns;
};

/* The transport must have joined its group, and stays the engine's until dtr_engine_free(). */
int dtr_engine_create(const struct dtr_instance *transport, const struct dtr_log *log,
                      struct dtr_engine **engine_p, struct dtr_error *error);
void dtr_engine_free(struct dtr_engine *engine);

/* `schedule` and `arena` belong to the caller and outlive the flights; the arena may be another
 * one for each request, see dtr_flights_begin(). */
int dtr_flights_create(const struct dtr_schedule *schedule, struct dtr_flights **flights_p,
                       struct dtr_error *error);
void dtr_flights_free(struct dtr_flights *flights);

/* A request begins; its buffers, and what is under way, are in this arena. */
void dtr_flights_begin(struct dtr_flights *flights, float *arena);

/* Begins a collective (index into schedule.collectives).  Does not block.  `awaited`: the caller
 * waits for it at once, which saves waking the engine's thread. */
int dtr_engine_start(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective,
                     bool awaited);

/* Takes in what has come for collectives that have not begun here: TCP sends the end of a message
 * again that the peer has not acknowledged within milliseconds (RFC 8985), and a reader
 * acknowledges.  Does not block. */
void dtr_engine_look(struct dtr_engine *engine);

/* Blocks until it is complete.  DTR_E_PEER, DTR_E_ABORTED and the like end all that is under way:
 * the flights must be ended. */
int dtr_engine_wait(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective);

/* Cancels what is still under way (after an error). */
void dtr_engine_cancel(struct dtr_engine *engine, struct dtr_flights *flights);

const struct dtr_flight_times *dtr_flights_times(const struct dtr_flights *flights,
                                                 uint32_t collective);

/* The peer that broke a collective, or -1. */
int dtr_engine_lost_peer(const struct dtr_engine *engine);

#endif

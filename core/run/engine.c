/* SPDX-License-Identifier: MIT
 *
 * One lock guards the transport and everything under way.  The engine's thread holds it while it
 * sleeps in the transport; a caller that wants it says so in `callers` and wakes the transport, so
 * the thread lets go and stays away until the last caller has left.
 */
#include "run/flight.h"

#include <detransformer/transport.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"

/* The thread looks up from the transport at least this often. */
static const uint64_t look_up_ns = UINT64_C(200000000);

struct dtr_engine {
    const struct dtr_transport_ops *ops;
    void *transport;
    const struct dtr_log *log;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    atomic_uint callers;
    atomic_bool sleeping;
    bool stop;
    int status; /* what broke, once something did */
    int lost_peer;
    struct dtr_flight **active;
    uint32_t active_count, active_capacity;
};

static struct dtr_flight_times *times_of(const struct dtr_flight *flight) {
    return &flight->flights->times[flight - flight->flights->flights];
}

/* --- progress, with the lock held ------------------------------------------------------------- */

static int broken(struct dtr_engine *engine, int status, int peer) {
    if (!engine->status) {
        engine->status = status;
        if (status == DTR_E_PEER)
            engine->lost_peer = peer;
    }
    return status;
}

static int post(struct dtr_engine *engine, struct dtr_flight *flight,
                struct dtr_flight_parcel *parcel) {
    const struct dtr_message *message = parcel->cut.message;
    const uint32_t tag = flight->collective->tag;
    void *buffer = dtr_flight_buffer(flight, parcel);
    int status;
    if (message->kind == DTR_MESSAGE_SEND) {
        if (!parcel->cut.direct)
            dtr_flight_pack(flight, parcel);
        status = engine->ops->isend(engine->transport, message->peer, tag, buffer,
                                    (size_t)parcel->cut.bytes, &parcel->request);
    } else {
        status = engine->ops->irecv(engine->transport, message->peer, tag, buffer,
                                    (size_t)parcel->cut.bytes, &parcel->request);
    }
    return status ? broken(engine, status, (int)message->peer) : DTR_OK;
}

/* Round a ring everything has a place to come to from the beginning: what comes early cannot meet
 * what this device still sends, which it is made of. */
static bool may_go(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel) {
    if (parcel->source)
        return parcel->source->done;
    return parcel->cut.message->round <= flight->round ||
           (dtr_message_comes(parcel->cut.message) && dtr_collective_passes_on(flight->collective));
}

/* In the order of the list, in which the other end expects them. */
static int post_some(struct dtr_engine *engine, struct dtr_flight *flight, bool receives,
                     uint32_t *next) {
    for (; *next < flight->count; ++*next) {
        struct dtr_flight_parcel *parcel = &flight->parcels[*next];
        if (dtr_message_comes(parcel->cut.message) != receives)
            continue;
        if (!may_go(flight, parcel))
            return DTR_OK;
        const int status = post(engine, flight, parcel);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* Receives first, so that no message finds nobody waiting. */
static int post_all(struct dtr_engine *engine, struct dtr_flight *flight) {
    const int status = post_some(engine, flight, true, &flight->next_receive);
    return status ? status : post_some(engine, flight, false, &flight->next_send);
}

static int test_parcel(struct dtr_engine *engine, struct dtr_flight *flight,
                       struct dtr_flight_parcel *parcel) {
    size_t bytes = 0;
    const int done = engine->ops->test(engine->transport, parcel->request, &bytes);
    if (!done)
        return DTR_OK;
    parcel->request = NULL;
    if (done < 0)
        return broken(engine, done, (int)parcel->cut.message->peer);
    if (dtr_message_comes(parcel->cut.message) && bytes != parcel->cut.bytes)
        return broken(engine, DTR_E_CORRUPT, (int)parcel->cut.message->peer);
    parcel->done = true;
    if (parcel->alone && !parcel->cut.direct)
        dtr_flight_unpack(flight, parcel);
    return DTR_OK;
}

static int test_all(struct dtr_engine *engine, struct dtr_flight *flight) {
    const uint32_t end =
        flight->next_send > flight->next_receive ? flight->next_send : flight->next_receive;
    for (uint32_t i = flight->unfinished; i < end; i++) {
        struct dtr_flight_parcel *parcel = &flight->parcels[i];
        const int status = parcel->request ? test_parcel(engine, flight, parcel) : DTR_OK;
        if (status)
            return status;
    }
    while (flight->unfinished < flight->count && flight->parcels[flight->unfinished].done)
        flight->unfinished++;
    return DTR_OK;
}

/* The round is over: what came is added in the order of the list. */
static void end_round(struct dtr_flight *flight) {
    for (; flight->first < flight->unfinished; flight->first++) {
        const struct dtr_flight_parcel *parcel = &flight->parcels[flight->first];
        if (dtr_message_comes(parcel->cut.message) && !parcel->alone && !parcel->cut.direct)
            dtr_flight_unpack(flight, parcel);
    }
}

/* Takes a flight as far as it goes without waiting. */
static int advance(struct dtr_engine *engine, struct dtr_flight *flight) {
    for (;;) {
        const uint32_t posted = flight->next_send + flight->next_receive;
        int status = test_all(engine, flight);
        if (status)
            return status;
        const bool over = flight->unfinished == flight->count;
        const uint32_t round = over ? flight->collective->rounds
                                    : flight->parcels[flight->unfinished].cut.message->round;
        if (round != flight->round)
            end_round(flight);
        flight->round = round;
        if (over) {
            flight->active = false;
            times_of(flight)->end_ns = dtr_now_ns();
            return DTR_OK;
        }
        status = post_all(engine, flight);
        if (status || flight->next_send + flight->next_receive == posted)
            return status;
    }
}

static void advance_all(struct dtr_engine *engine) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < engine->active_count; i++) {
        struct dtr_flight *flight = engine->active[i];
        if (flight->active && !engine->status)
            advance(engine, flight);
        if (flight->active)
            engine->active[kept++] = flight;
    }
    engine->active_count = kept;
}

static void move(struct dtr_engine *engine, uint64_t deadline_ns) {
    const int status = engine->ops->wait(engine->transport, deadline_ns);
    if (status && status != DTR_E_TIMEOUT)
        broken(engine, status, -1);
    advance_all(engine);
}

/* --- the thread, and the callers -------------------------------------------------------------- */

static void *progress(void *arg) {
    struct dtr_engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stop) {
        if (atomic_load(&engine->callers) || !engine->active_count || engine->status) {
            pthread_cond_wait(&engine->turn, &engine->lock);
            continue;
        }
        atomic_store(&engine->sleeping, true);
        /* A caller that came before the flag was up did not wake us. */
        const bool alone = atomic_load(&engine->callers) == 0;
        move(engine, alone ? dtr_now_ns() + look_up_ns : 0);
        atomic_store(&engine->sleeping, false);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void enter(struct dtr_engine *engine) {
    atomic_fetch_add(&engine->callers, 1);
    if (atomic_load(&engine->sleeping))
        engine->ops->wake(engine->transport);
    pthread_mutex_lock(&engine->lock);
}

/* What is under way is left to the engine's thread, unless the caller comes back at once. */
static void leave(struct dtr_engine *engine, bool for_long) {
    const bool last = atomic_fetch_sub(&engine->callers, 1) == 1;
    if (last && engine->active_count && for_long)
        pthread_cond_signal(&engine->turn);
    pthread_mutex_unlock(&engine->lock);
}

int dtr_engine_create(const struct dtr_instance *transport, const struct dtr_log *log,
                      struct dtr_engine **engine_p, struct dtr_error *error) {
    struct dtr_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return dtr_fail_memory(error);
    engine->ops = transport->plugin->ops;
    engine->transport = transport->self;
    engine->log = log;
    engine->lost_peer = -1;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->turn, NULL);
    const int failed = pthread_create(&engine->thread, NULL, progress, engine);
    if (failed) {
        pthread_cond_destroy(&engine->turn);
        pthread_mutex_destroy(&engine->lock);
        free(engine);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start a thread: %s", strerror(failed));
    }
    *engine_p = engine;
    return DTR_OK;
}

void dtr_engine_free(struct dtr_engine *engine) {
    if (!engine)
        return;
    enter(engine);
    engine->stop = true;
    pthread_cond_signal(&engine->turn);
    leave(engine, true);
    pthread_join(engine->thread, NULL);
    pthread_cond_destroy(&engine->turn);
    pthread_mutex_destroy(&engine->lock);
    free(engine->active);
    free(engine);
}

static int activate(struct dtr_engine *engine, struct dtr_flight *flight) {
    struct dtr_flight **active = dtr_array_room(engine->active, engine->active_count,
                                                &engine->active_capacity, sizeof *active);
    if (!active)
        return DTR_E_MEMORY;
    engine->active = active;
    flight->round = flight->first = flight->unfinished = 0;
    flight->next_receive = flight->next_send = 0;
    for (uint32_t i = 0; i < flight->count; i++)
        flight->parcels[i].done = false;
    flight->active = true;
    times_of(flight)->begin_ns = dtr_now_ns();
    engine->active[engine->active_count++] = flight;
    return DTR_OK;
}

int dtr_engine_start(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective,
                     bool awaited) {
    struct dtr_flight *flight = &flights->flights[collective];
    enter(engine);
    int status = engine->status;
    if (!status)
        status = activate(engine, flight);
    if (!status)
        status = post_all(engine, flight);
    /* What came before it was wanted, and rounds in which there is nothing to do. */
    advance_all(engine);
    if (!status)
        status = engine->status;
    /* The transport moves messages only in wait(). */
    if (!status && !awaited)
        move(engine, 0);
    leave(engine, !awaited);
    return status;
}

/* As long as something is under way, the engine's thread looks. */
void dtr_engine_look(struct dtr_engine *engine) {
    if (atomic_load(&engine->sleeping))
        return;
    enter(engine);
    if (!engine->active_count && !engine->status)
        move(engine, 0);
    leave(engine, true);
}

int dtr_engine_wait(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective) {
    const struct dtr_flight *flight = &flights->flights[collective];
    enter(engine);
    while (flight->active && !engine->status)
        move(engine, dtr_now_ns() + look_up_ns);
    const int status = flight->active ? engine->status : DTR_OK;
    leave(engine, true);
    return status;
}

void dtr_engine_cancel(struct dtr_engine *engine, struct dtr_flights *flights) {
    enter(engine);
    for (uint32_t i = 0; i < flights->parcels_count; i++) {
        struct dtr_flight_parcel *parcel = &flights->parcels[i];
        if (parcel->request)
            engine->ops->cancel(engine->transport, parcel->request);
        parcel->request = NULL;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < engine->active_count; i++)
        if (engine->active[i]->flights != flights)
            engine->active[kept++] = engine->active[i];
        else
            engine->active[i]->active = false;
    engine->active_count = kept;
    leave(engine, true);
}

int dtr_engine_lost_peer(const struct dtr_engine *engine) {
    if (engine->lost_peer < 0 && DTR_HAS(engine->ops, struct dtr_transport_ops, lost_peer))
        return engine->ops->lost_peer(engine->transport);
    return engine->lost_peer;
}

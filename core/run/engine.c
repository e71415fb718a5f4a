/* SPDX-License-Identifier: MIT
 *
 * One lock guards the transport and everything under way.  The engine's thread holds it while it
 * sleeps in the transport; a caller that wants it says so in `callers` and wakes the transport, so
 * the thread lets go and stays away until the last caller has left.
 */
#include "run/engine.h"

#include <detransformer/transport.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "plan/wire.h"

/* The thread looks up from the transport at least this often. */
static const uint64_t look_up_ns = UINT64_C(200000000);

/* One message of a collective. */
struct parcel {
    const struct dtr_message *message;
    struct dtr_transfer *request; /* NULL: not posted, or done */
    uint64_t bytes;               /* on the wire */
    uint64_t staging;             /* offset in the flights' memory, where it is packed */
    bool direct;                  /* travels straight from or to the arena */
};

struct flight {
    struct dtr_flights *flights;
    const struct dtr_collective *collective;
    struct parcel *parcels; /* [collective->messages] */
    uint32_t round, unfinished;
    bool active;
};

struct dtr_flights {
    const struct dtr_schedule *schedule;
    float *arena;
    struct flight *flights;         /* [collectives_count] */
    struct dtr_flight_times *times; /* [collectives_count] */
    struct parcel *parcels;         /* of all */
    uint8_t *memory;
    uint64_t bytes;
};

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
    struct flight **active;
    uint32_t active_count, active_capacity;
};

/* --- the memory of flights -------------------------------------------------------------------- */

static bool contiguous(const struct dtr_schedule *schedule, const struct dtr_message *message) {
    const struct dtr_view *view = &schedule->views[message->view];
    return message->views == 1 &&
           (dtr_range_count(view->columns) == schedule->buffers[view->buffer].columns ||
            dtr_range_count(view->rows) == 1);
}

/* Memory by first fit among the parcels that are under way at the same time, step by step. */
struct span {
    uint64_t begin, end;
    uint32_t collective;
};

struct fitter {
    struct span *live; /* sorted by begin */
    uint32_t count;
    uint64_t most;
};

static uint64_t fit(struct fitter *fitter, uint64_t bytes, uint32_t collective) {
    const uint64_t line = 64, size = (bytes + line - 1) / line * line;
    uint64_t at = 0;
    uint32_t place = 0;
    while (place < fitter->count && fitter->live[place].begin < at + size)
        at = fitter->live[place++].end;
    memmove(fitter->live + place + 1, fitter->live + place,
            (fitter->count - place) * sizeof *fitter->live);
    fitter->live[place] = (struct span){at, at + size, collective};
    fitter->count++;
    if (at + size > fitter->most)
        fitter->most = at + size;
    return at;
}

static void unfit(struct fitter *fitter, uint32_t collective) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fitter->count; i++)
        if (fitter->live[i].collective != collective)
            fitter->live[kept++] = fitter->live[i];
    fitter->count = kept;
}

static int place_parcels(struct dtr_flights *flights) {
    const struct dtr_schedule *schedule = flights->schedule;
    struct fitter fitter = {.live = malloc((schedule->messages_count + 1) * sizeof *fitter.live)};
    if (!fitter.live)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *step = &schedule->steps[i];
        if (step->kind == DTR_STEP_WAIT)
            unfit(&fitter, (uint32_t)step->collective);
        if (step->kind != DTR_STEP_START)
            continue;
        struct flight *flight = &flights->flights[step->collective];
        for (uint32_t j = 0; j < flight->collective->messages; j++) {
            struct parcel *parcel = &flight->parcels[j];
            if (!parcel->direct)
                parcel->staging = fit(&fitter, parcel->bytes, (uint32_t)step->collective);
        }
    }
    free(fitter.live);
    flights->bytes = fitter.most;
    flights->memory = aligned_alloc(64, fitter.most + 64);
    return flights->memory ? DTR_OK : DTR_E_MEMORY;
}

int dtr_flights_create(const struct dtr_schedule *schedule, struct dtr_flights **flights_p,
                       struct dtr_error *error) {
    struct dtr_flights *flights = calloc(1, sizeof *flights);
    if (!flights)
        return dtr_fail_memory(error);
    flights->schedule = schedule;
    flights->flights = calloc((size_t)schedule->collectives_count + 1, sizeof *flights->flights);
    flights->parcels = calloc((size_t)schedule->messages_count + 1, sizeof *flights->parcels);
    flights->times = calloc((size_t)schedule->collectives_count + 1, sizeof *flights->times);
    if (!flights->flights || !flights->parcels || !flights->times)
        goto out_of_memory;
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        struct flight *flight = &flights->flights[i];
        const struct dtr_collective *collective = &schedule->collectives[i];
        flight->flights = flights;
        flight->collective = collective;
        flight->parcels = flights->parcels + collective->message;
        for (uint32_t j = 0; j < collective->messages; j++) {
            struct parcel *parcel = &flight->parcels[j];
            parcel->message = &schedule->messages[collective->message + j];
            parcel->bytes =
                dtr_wire_bytes(collective->wire, parcel->message->rows, parcel->message->values);
            parcel->direct = collective->wire == DTR_F32 &&
                             parcel->message->kind != DTR_MESSAGE_REDUCE &&
                             contiguous(schedule, parcel->message);
        }
    }
    if (place_parcels(flights))
        goto out_of_memory;
    *flights_p = flights;
    return DTR_OK;
out_of_memory:
    dtr_flights_free(flights);
    return dtr_fail_memory(error);
}

void dtr_flights_free(struct dtr_flights *flights) {
    if (!flights)
        return;
    free(flights->flights);
    free(flights->times);
    free(flights->parcels);
    free(flights->memory);
    free(flights);
}

uint64_t dtr_flights_bytes(const struct dtr_flights *flights) {
    return flights->bytes;
}

void dtr_flights_begin(struct dtr_flights *flights, float *arena) {
    flights->arena = arena;
    memset(flights->times, 0, flights->schedule->collectives_count * sizeof *flights->times);
}

const struct dtr_flight_times *dtr_flights_times(const struct dtr_flights *flights,
                                                 uint32_t collective) {
    return &flights->times[collective];
}

static struct dtr_flight_times *times_of(const struct flight *flight) {
    return &flight->flights->times[flight - flight->flights->flights];
}

/* --- packing ---------------------------------------------------------------------------------- */

static float *view_data(const struct dtr_flights *flights, const struct dtr_view *view,
                        size_t *stride_p) {
    const struct dtr_buffer *buffer = &flights->schedule->buffers[view->buffer];
    *stride_p = buffer->columns;
    return flights->arena + buffer->offset +
           (size_t)(view->rows.begin - buffer->row) * buffer->columns + view->columns.begin;
}

static void pack(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    uint8_t *at = flights->memory + parcel->staging;
    for (uint32_t i = 0; i < parcel->message->views; i++) {
        const struct dtr_view *view = &flights->schedule->views[parcel->message->view + i];
        size_t stride;
        const float *data = view_data(flights, view, &stride);
        at = dtr_wire_encode(flight->collective->wire, data, stride, dtr_range_count(view->rows),
                             dtr_range_count(view->columns), at);
    }
}

static void unpack(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    const uint8_t *at = flights->memory + parcel->staging;
    const bool add = parcel->message->kind == DTR_MESSAGE_REDUCE;
    for (uint32_t i = 0; i < parcel->message->views; i++) {
        const struct dtr_view *view = &flights->schedule->views[parcel->message->view + i];
        size_t stride;
        float *data = view_data(flights, view, &stride);
        at = (add ? dtr_wire_add : dtr_wire_decode)(flight->collective->wire, at, data, stride,
                                                    dtr_range_count(view->rows),
                                                    dtr_range_count(view->columns));
    }
}

static void *parcel_buffer(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    size_t stride;
    if (parcel->direct)
        return view_data(flights, &flights->schedule->views[parcel->message->view], &stride);
    return flights->memory + parcel->staging;
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

static int post(struct dtr_engine *engine, struct flight *flight, struct parcel *parcel) {
    const struct dtr_message *message = parcel->message;
    const uint32_t tag = flight->collective->tag;
    void *buffer = parcel_buffer(flight, parcel);
    int status;
    if (message->kind == DTR_MESSAGE_SEND) {
        if (!parcel->direct)
            pack(flight, parcel);
        status = engine->ops->isend(engine->transport, message->peer, tag, buffer,
                                    (size_t)parcel->bytes, &parcel->request);
    } else {
        status = engine->ops->irecv(engine->transport, message->peer, tag, buffer,
                                    (size_t)parcel->bytes, &parcel->request);
    }
    if (status)
        return broken(engine, status, (int)message->peer);
    flight->unfinished++;
    return DTR_OK;
}

/* Receives first, so that no message finds nobody waiting. */
static int post_round(struct dtr_engine *engine, struct flight *flight) {
    for (int sends = 0; sends < 2; sends++)
        for (uint32_t i = 0; i < flight->collective->messages; i++) {
            struct parcel *parcel = &flight->parcels[i];
            if (parcel->message->round != flight->round ||
                (parcel->message->kind == DTR_MESSAGE_SEND) != sends)
                continue;
            const int status = post(engine, flight, parcel);
            if (status)
                return status;
        }
    return DTR_OK;
}

static void unpack_round(const struct flight *flight) {
    for (uint32_t i = 0; i < flight->collective->messages; i++) {
        const struct parcel *parcel = &flight->parcels[i];
        if (parcel->message->round == flight->round && parcel->message->kind != DTR_MESSAGE_SEND &&
            !parcel->direct)
            unpack(flight, parcel);
    }
}

static int test_parcel(struct dtr_engine *engine, struct flight *flight, struct parcel *parcel) {
    size_t bytes = 0;
    const int done = engine->ops->test(engine->transport, parcel->request, &bytes);
    if (!done)
        return DTR_OK;
    parcel->request = NULL;
    flight->unfinished--;
    if (done < 0)
        return broken(engine, done, (int)parcel->message->peer);
    if (parcel->message->kind != DTR_MESSAGE_SEND && bytes != parcel->bytes)
        return broken(engine, DTR_E_CORRUPT, (int)parcel->message->peer);
    return DTR_OK;
}

/* Takes a flight as far as it goes without waiting. */
static int advance(struct dtr_engine *engine, struct flight *flight) {
    for (;;) {
        for (uint32_t i = 0; flight->unfinished && i < flight->collective->messages; i++) {
            struct parcel *parcel = &flight->parcels[i];
            if (!parcel->request)
                continue;
            const int status = test_parcel(engine, flight, parcel);
            if (status)
                return status;
        }
        if (flight->unfinished)
            return DTR_OK;
        unpack_round(flight);
        if (++flight->round == flight->collective->rounds) {
            flight->active = false;
            times_of(flight)->end_ns = dtr_now_ns();
            return DTR_OK;
        }
        const int status = post_round(engine, flight);
        if (status)
            return status;
    }
}

static void advance_all(struct dtr_engine *engine) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < engine->active_count; i++) {
        struct flight *flight = engine->active[i];
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

static int activate(struct dtr_engine *engine, struct flight *flight) {
    if (engine->active_count == engine->active_capacity) {
        const uint32_t capacity = engine->active_capacity ? engine->active_capacity * 2 : 16;
        struct flight **larger = realloc(engine->active, capacity * sizeof *engine->active);
        if (!larger)
            return DTR_E_MEMORY;
        engine->active = larger;
        engine->active_capacity = capacity;
    }
    flight->round = 0;
    flight->active = true;
    times_of(flight)->begin_ns = dtr_now_ns();
    engine->active[engine->active_count++] = flight;
    return DTR_OK;
}

int dtr_engine_start(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective,
                     bool awaited) {
    struct flight *flight = &flights->flights[collective];
    enter(engine);
    int status = engine->status;
    if (!status)
        status = activate(engine, flight);
    if (!status)
        status = post_round(engine, flight);
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

int dtr_engine_wait(struct dtr_engine *engine, struct dtr_flights *flights, uint32_t collective) {
    const struct flight *flight = &flights->flights[collective];
    enter(engine);
    while (flight->active && !engine->status)
        move(engine, dtr_now_ns() + look_up_ns);
    const int status = flight->active ? engine->status : DTR_OK;
    leave(engine, true);
    return status;
}

void dtr_engine_cancel(struct dtr_engine *engine, struct dtr_flights *flights) {
    enter(engine);
    for (uint32_t i = 0; i < flights->schedule->messages_count; i++) {
        struct parcel *parcel = &flights->parcels[i];
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
    for (uint32_t i = 0; i < flights->schedule->collectives_count; i++)
        flights->flights[i].unfinished = 0;
    leave(engine, true);
}

int dtr_engine_lost_peer(const struct dtr_engine *engine) {
    if (engine->lost_peer < 0 && DTR_HAS(engine->ops, struct dtr_transport_ops, lost_peer))
        return engine->ops->lost_peer(engine->transport);
    return engine->lost_peer;
}

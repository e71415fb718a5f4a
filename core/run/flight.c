/* SPDX-License-Identifier: MIT */
#include "run/flight.h"

#include <stdlib.h>
#include <string.h>

#include "plan/wire.h"

/* --- the memory of flights -------------------------------------------------------------------- */

/* The views that a parcel's rows lie in, narrowed to them, one after the other. */
struct cut {
    const struct dtr_schedule *schedule;
    const struct parcel *parcel;
    uint32_t view, row; /* the next view, and its first row among the message's */
};

static bool cut_next(struct cut *cut, struct dtr_view *view) {
    const struct dtr_message *message = cut->parcel->message;
    while (cut->view < message->views) {
        *view = cut->schedule->views[message->view + cut->view++];
        const struct dtr_range here = {cut->row, cut->row + dtr_range_count(view->rows)};
        const struct dtr_range both = dtr_range_intersect(here, cut->parcel->rows);
        cut->row = here.end;
        if (dtr_range_empty(both))
            continue;
        view->rows.end = view->rows.begin + (both.end - here.begin);
        view->rows.begin += both.begin - here.begin;
        return true;
    }
    return false;
}

static bool contiguous(const struct dtr_schedule *schedule, const struct parcel *parcel) {
    struct cut cut = {.schedule = schedule, .parcel = parcel};
    struct dtr_view view, another;
    return cut_next(&cut, &view) && !cut_next(&cut, &another) &&
           (dtr_range_count(view.columns) == schedule->buffers[view.buffer].columns ||
            dtr_range_count(view.rows) == 1);
}

/* --- parcels ---------------------------------------------------------------------------------- */

/* Round a ring a message is passed on while it comes, in parcels of at least so many bytes. */
enum { PARCEL_BYTES = 32768, PARCELS_MOST = 4 };

/* Both ends of a message must come to the same. */
static uint32_t parcels_of(const struct dtr_collective *collective,
                           const struct dtr_message *message) {
    const uint64_t bytes = dtr_wire_bytes(collective->wire, message->rows, message->values);
    uint64_t most = dtr_collective_passes_on(collective) ? bytes / PARCEL_BYTES : 1;
    if (most > PARCELS_MOST)
        most = PARCELS_MOST;
    if (most > message->rows)
        most = message->rows;
    return most > 1 ? (uint32_t)most : 1;
}

static void fill_parcel(const struct dtr_schedule *schedule,
                        const struct dtr_collective *collective, struct parcel *parcel) {
    const bool f32 = collective->wire == DTR_F32;
    struct cut cut = {.schedule = schedule, .parcel = parcel};
    struct dtr_view view;
    uint64_t values = 0;
    while (cut_next(&cut, &view))
        values += (uint64_t)dtr_range_count(view.rows) * dtr_range_count(view.columns);
    parcel->bytes = dtr_wire_bytes(collective->wire, dtr_range_count(parcel->rows), values);
    parcel->direct =
        f32 && parcel->message->kind != DTR_MESSAGE_REDUCE && contiguous(schedule, parcel);
}

/* Whether a message is the only one that comes in its round. */
static bool is_alone(const struct dtr_message *all, uint32_t count, uint32_t index) {
    uint32_t coming = 0, i = index;
    while (i && all[i - 1].round == all[index].round)
        i--;
    for (; i < count && all[i].round == all[index].round; i++)
        coming += dtr_message_comes(&all[i]);
    return coming == 1 && dtr_message_comes(&all[index]);
}

static bool same_views(const struct dtr_schedule *schedule, const struct dtr_message *a,
                       const struct dtr_message *b) {
    return a->views == b->views && !memcmp(&schedule->views[a->view], &schedule->views[b->view],
                                           a->views * sizeof *schedule->views);
}

/* What came alone in the round before, and is sent as it is or as it became by adding. */
static const struct parcel *source_of(const struct dtr_schedule *schedule,
                                      const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_message *sent = parcel->message;
    for (const struct parcel *other = parcel;
         !dtr_message_comes(sent) && other-- != flight->parcels;) {
        if (other->message->round + 1 < sent->round)
            break;
        if (other->alone && other->message->round < sent->round &&
            other->rows.begin == parcel->rows.begin && other->rows.end == parcel->rows.end &&
            same_views(schedule, other->message, sent))
            return other;
    }
    return NULL;
}

static void fill_flight(struct dtr_flights *flights, struct flight *flight,
                        const struct dtr_collective *collective) {
    const struct dtr_schedule *schedule = flights->schedule;
    *flight = (struct flight){.flights = flights,
                              .collective = collective,
                              .parcels = flights->parcels + flights->parcels_count};
    const struct dtr_message *messages = &schedule->messages[collective->message];
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &messages[i];
        const uint32_t parts = parcels_of(collective, message);
        const bool alone =
            dtr_collective_passes_on(collective) && is_alone(messages, collective->messages, i);
        for (uint32_t j = 0; j < parts; j++) {
            struct parcel *parcel = &flight->parcels[flight->count++];
            parcel->message = message;
            parcel->rows = dtr_range_piece((struct dtr_range){0, message->rows}, j, parts);
            parcel->alone = alone;
            fill_parcel(schedule, collective, parcel);
        }
    }
    for (uint32_t i = 0; i < flight->count && dtr_collective_passes_on(collective); i++)
        flight->parcels[i].source = source_of(schedule, flight, &flight->parcels[i]);
    flights->parcels_count += flight->count;
}

static uint32_t count_parcels(const struct dtr_schedule *schedule) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        for (uint32_t j = 0; j < collective->messages; j++)
            count += parcels_of(collective, &schedule->messages[collective->message + j]);
    }
    return count;
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
    struct fitter fitter = {.live = malloc((flights->parcels_count + 1) * sizeof *fitter.live)};
    if (!fitter.live)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *step = &schedule->steps[i];
        if (step->kind == DTR_STEP_WAIT)
            unfit(&fitter, (uint32_t)step->collective);
        if (step->kind != DTR_STEP_START)
            continue;
        struct flight *flight = &flights->flights[step->collective];
        for (uint32_t j = 0; j < flight->count; j++) {
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
    flights->parcels = calloc((size_t)count_parcels(schedule) + 1, sizeof *flights->parcels);
    flights->times = calloc((size_t)schedule->collectives_count + 1, sizeof *flights->times);
    if (!flights->flights || !flights->parcels || !flights->times)
        goto out_of_memory;
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        fill_flight(flights, &flights->flights[i], &schedule->collectives[i]);
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

/* --- packing ---------------------------------------------------------------------------------- */

static float *view_data(const struct dtr_flights *flights, const struct dtr_view *view,
                        size_t *stride_p) {
    const struct dtr_buffer *buffer = &flights->schedule->buffers[view->buffer];
    *stride_p = buffer->columns;
    return flights->arena + buffer->offset +
           (size_t)(view->rows.begin - buffer->row) * buffer->columns + view->columns.begin;
}

void dtr_parcel_pack(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct cut cut = {.schedule = flights->schedule, .parcel = parcel};
    uint8_t *at = flights->memory + parcel->staging;
    struct dtr_view view;
    while (cut_next(&cut, &view)) {
        size_t stride;
        const float *data = view_data(flights, &view, &stride);
        at = dtr_wire_encode(flight->collective->wire, data, stride, dtr_range_count(view.rows),
                             dtr_range_count(view.columns), at);
    }
}

void dtr_parcel_unpack(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct cut cut = {.schedule = flights->schedule, .parcel = parcel};
    const uint8_t *at = flights->memory + parcel->staging;
    const bool add = parcel->message->kind == DTR_MESSAGE_REDUCE;
    struct dtr_view view;
    while (cut_next(&cut, &view)) {
        size_t stride;
        float *data = view_data(flights, &view, &stride);
        at = (add ? dtr_wire_add : dtr_wire_decode)(flight->collective->wire, at, data, stride,
                                                    dtr_range_count(view.rows),
                                                    dtr_range_count(view.columns));
    }
}

void *dtr_parcel_buffer(const struct flight *flight, const struct parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct cut cut = {.schedule = flights->schedule, .parcel = parcel};
    struct dtr_view view;
    size_t stride;
    if (parcel->direct && cut_next(&cut, &view))
        return view_data(flights, &view, &stride);
    return flights->memory + parcel->staging;
}

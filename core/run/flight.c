/* SPDX-License-Identifier: MIT */
#include "run/flight.h"

#include <stdlib.h>
#include <string.h>

#include "plan/wire.h"

/* --- parcels ---------------------------------------------------------------------------------- */

/* The same rows of the message that it passes on. */
static const struct dtr_flight_parcel *source_of(const struct dtr_flight *flight,
                                                 const struct dtr_flight_parcel *parcel,
                                                 const struct dtr_message *source) {
    const struct dtr_flight_parcel *other = parcel;
    while (other != flight->parcels)
        if ((--other)->cut.message == source && other->cut.rows.begin == parcel->cut.rows.begin)
            return other;
    return NULL;
}

static void fill_flight(struct dtr_flights *flights, struct dtr_flight *flight,
                        const struct dtr_collective *collective) {
    const struct dtr_schedule *schedule = flights->schedule;
    *flight = (struct dtr_flight){.flights = flights,
                                  .collective = collective,
                                  .parcels = flights->parcels + flights->parcels_count};
    const struct dtr_message *messages = &schedule->messages[collective->message];
    uint64_t staging = collective->staging;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const uint32_t parcels = dtr_parcel_count(collective, &messages[i]);
        const int32_t source = dtr_message_source(schedule, collective, i);
        const bool alone =
            dtr_collective_passes_on(collective) && dtr_message_is_alone(schedule, collective, i);
        for (uint32_t j = 0; j < parcels; j++) {
            struct dtr_flight_parcel *parcel = &flight->parcels[flight->count++];
            parcel->cut = dtr_parcel_at(schedule, collective, &messages[i], j);
            parcel->alone = alone;
            parcel->source = source < 0 ? NULL : source_of(flight, parcel, &messages[source]);
            parcel->staging = staging;
            staging += dtr_parcel_room(&parcel->cut);
        }
    }
    flights->parcels_count += flight->count;
}

static uint32_t count_parcels(const struct dtr_schedule *schedule) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        for (uint32_t j = 0; j < collective->messages; j++)
            count += dtr_parcel_count(collective, &schedule->messages[collective->message + j]);
    }
    return count;
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
    free(flights);
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

void dtr_flight_pack(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct dtr_parcel_walk walk = {.schedule = flights->schedule, .parcel = &parcel->cut};
    uint8_t *at = (uint8_t *)(flights->arena + parcel->staging);
    struct dtr_view view;
    while (dtr_parcel_next(&walk, &view)) {
        size_t stride;
        const float *data = view_data(flights, &view, &stride);
        at = dtr_wire_encode(flight->collective->wire, data, stride, dtr_range_count(view.rows),
                             dtr_range_count(view.columns), at);
    }
}

void dtr_flight_unpack(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct dtr_parcel_walk walk = {.schedule = flights->schedule, .parcel = &parcel->cut};
    const uint8_t *at = (const uint8_t *)(flights->arena + parcel->staging);
    const bool add = parcel->cut.message->kind == DTR_MESSAGE_REDUCE;
    struct dtr_view view;
    while (dtr_parcel_next(&walk, &view)) {
        size_t stride;
        float *data = view_data(flights, &view, &stride);
        at = (add ? dtr_wire_add : dtr_wire_decode)(flight->collective->wire, at, data, stride,
                                                    dtr_range_count(view.rows),
                                                    dtr_range_count(view.columns));
    }
}

void *dtr_flight_buffer(const struct dtr_flight *flight, const struct dtr_flight_parcel *parcel) {
    const struct dtr_flights *flights = flight->flights;
    struct dtr_parcel_walk walk = {.schedule = flights->schedule, .parcel = &parcel->cut};
    struct dtr_view view;
    size_t stride;
    if (parcel->cut.direct && dtr_parcel_next(&walk, &view))
        return view_data(flights, &view, &stride);
    return flights->arena + parcel->staging;
}

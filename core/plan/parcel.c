/* SPDX-License-Identifier: MIT */
#include "plan/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "plan/wire.h"

/* --- cutting ---------------------------------------------------------------------------------- */

uint32_t dtr_parcel_count(const struct dtr_collective *collective,
                          const struct dtr_message *message) {
    if (!dtr_collective_passes_on(collective))
        return 1;
    uint64_t most =
        dtr_wire_bytes(collective->wire, message->rows, message->values) / DTR_PARCEL_BYTES;
    if (most > DTR_PARCELS_MOST)
        most = DTR_PARCELS_MOST;
    if (most > message->rows)
        most = message->rows;
    return most > 1 ? (uint32_t)most : 1;
}

bool dtr_message_is_alone(const struct dtr_schedule *schedule,
                          const struct dtr_collective *collective, uint32_t index) {
    const struct dtr_message *all = &schedule->messages[collective->message];
    uint32_t coming = 0, i = index;
    while (i && all[i - 1].round == all[index].round)
        i--;
    for (; i < collective->messages && all[i].round == all[index].round; i++)
        coming += dtr_message_comes(&all[i]);
    return coming == 1 && dtr_message_comes(&all[index]);
}

static bool same_views(const struct dtr_schedule *schedule, const struct dtr_message *a,
                       const struct dtr_message *b) {
    return a->views == b->views && !memcmp(&schedule->views[a->view], &schedule->views[b->view],
                                           a->views * sizeof *schedule->views);
}

int32_t dtr_message_source(const struct dtr_schedule *schedule,
                           const struct dtr_collective *collective, uint32_t index) {
    const struct dtr_message *all = &schedule->messages[collective->message];
    if (!dtr_collective_passes_on(collective) || dtr_message_comes(&all[index]))
        return -1;
    for (uint32_t i = index; i-- && all[i].round + 1 >= all[index].round;)
        if (all[i].round < all[index].round && same_views(schedule, &all[i], &all[index]) &&
            dtr_message_is_alone(schedule, collective, i))
            return (int32_t)i;
    return -1;
}

bool dtr_parcel_next(struct dtr_parcel_walk *walk, struct dtr_view *view) {
    const struct dtr_message *message = walk->parcel->message;
    while (walk->view < message->views) {
        *view = walk->schedule->views[message->view + walk->view++];
        const struct dtr_range here = {walk->row, walk->row + dtr_range_count(view->rows)};
        const struct dtr_range both = dtr_range_intersect(here, walk->parcel->rows);
        walk->row = here.end;
        if (dtr_range_empty(both))
            continue;
        view->rows.end = view->rows.begin + (both.end - here.begin);
        view->rows.begin += both.begin - here.begin;
        return true;
    }
    return false;
}

static bool contiguous(const struct dtr_schedule *schedule, const struct dtr_parcel *parcel) {
    struct dtr_parcel_walk walk = {.schedule = schedule, .parcel = parcel};
    struct dtr_view view, another;
    return dtr_parcel_next(&walk, &view) && !dtr_parcel_next(&walk, &another) &&
           (dtr_range_count(view.columns) == schedule->buffers[view.buffer].columns ||
            dtr_range_count(view.rows) == 1);
}

struct dtr_parcel dtr_parcel_at(const struct dtr_schedule *schedule,
                                const struct dtr_collective *collective,
                                const struct dtr_message *message, uint32_t index) {
    const uint32_t count = dtr_parcel_count(collective, message);
    struct dtr_parcel parcel = {
        .message = message,
        .rows = dtr_range_piece((struct dtr_range){0, message->rows}, index, count),
    };
    struct dtr_parcel_walk walk = {.schedule = schedule, .parcel = &parcel};
    struct dtr_view view;
    uint64_t values = 0;
    while (dtr_parcel_next(&walk, &view))
        values += (uint64_t)dtr_range_count(view.rows) * dtr_range_count(view.columns);
    parcel.bytes = dtr_wire_bytes(collective->wire, dtr_range_count(parcel.rows), values);
    parcel.direct = collective->wire == DTR_F32 && message->kind != DTR_MESSAGE_REDUCE &&
                    contiguous(schedule, &parcel);
    return parcel;
}

/* --- room ------------------------------------------------------------------------------------- */

uint64_t dtr_parcel_room(const struct dtr_parcel *parcel) {
    const uint64_t line = 64;
    return parcel->direct ? 0 : (parcel->bytes + line - 1) / line * (line / sizeof(float));
}

static uint64_t room_of(const struct dtr_schedule *schedule,
                        const struct dtr_collective *collective) {
    uint64_t room = 0;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &schedule->messages[collective->message + i];
        const uint32_t parcels = dtr_parcel_count(collective, message);
        for (uint32_t j = 0; j < parcels; j++) {
            const struct dtr_parcel parcel = dtr_parcel_at(schedule, collective, message, j);
            room += dtr_parcel_room(&parcel);
        }
    }
    return room;
}

/* First fit among the collectives that are under way. */
struct span {
    uint64_t begin, end;
    uint32_t collective;
};

struct fitter {
    struct span *live; /* sorted by begin */
    uint32_t count;
};

static struct span fit(struct fitter *fitter, uint64_t begin, uint64_t room, uint32_t collective) {
    uint32_t place = 0;
    while (place < fitter->count && fitter->live[place].begin < begin + room)
        begin = fitter->live[place++].end;
    memmove(fitter->live + place + 1, fitter->live + place,
            (fitter->count++ - place) * sizeof *fitter->live);
    return fitter->live[place] = (struct span){begin, begin + room, collective};
}

static void unfit(struct fitter *fitter, uint32_t collective) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fitter->count; i++)
        if (fitter->live[i].collective != collective)
            fitter->live[kept++] = fitter->live[i];
    fitter->count = kept;
}

int dtr_parcels_place(struct dtr_schedule *schedule) {
    const uint64_t buffers = schedule->arena_floats;
    struct fitter fitter = {
        .live = malloc(((size_t)schedule->collectives_count + 1) * sizeof *fitter.live)};
    if (!fitter.live)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *step = &schedule->steps[i];
        if (step->kind == DTR_STEP_WAIT)
            unfit(&fitter, (uint32_t)step->collective);
        if (step->kind != DTR_STEP_START)
            continue;
        struct dtr_collective *collective = &schedule->collectives[step->collective];
        const struct span span =
            fit(&fitter, buffers, room_of(schedule, collective), (uint32_t)step->collective);
        collective->staging = span.begin;
        if (span.end > schedule->arena_floats)
            schedule->arena_floats = span.end;
    }
    free(fitter.live);
    return DTR_OK;
}

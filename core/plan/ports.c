/* SPDX-License-Identifier: MIT
 *
 * Rates are constant from event to event: bytes come in at the rate of their link, wait where the
 * port has less to give than that, and go through at the port's rate.
 */
#include "plan/ports.h"

#include <math.h>
#include <stdlib.h>

#define SPECK 1e-2 /* bytes; less is rounding */

/* A message that is coming in or waits to get through. */
struct parcel {
    double bytes;
    uint32_t token;
    int32_t next; /* of the same lane, or of the spare ones; -1: none */
};

/* What comes from one device. */
struct lane {
    uint32_t from;
    double rate, until_s; /* at which bytes come in, and until when */
    double serving;       /* the rate at which they get through */
    double waiting,
        through;         /* bytes that came and are not through; of the first parcel, that are */
    int32_t first, last; /* parcels */
};

struct in_port {
    struct lane *lanes; /* those with a parcel */
    uint32_t count, capacity;
    double time_s, rate;
    double bytes; /* of all that has entered */
    bool changed; /* what each lane serves is to be found out anew */
};

struct dtr_ports {
    const struct dtr_link *link;
    uint32_t devices;
    double *out_rate, *out_free_s, *out_bytes; /* [devices] */
    struct in_port *in;                        /* [devices] */
    struct parcel *parcels;
    int32_t spare;
    uint32_t parcels_count, parcels_capacity;
};

/* A port is as fast as the fastest link that it is part of. */
static void rate_ports(struct dtr_ports *ports) {
    const uint32_t n = ports->devices;
    for (uint32_t from = 0; from < n; from++)
        for (uint32_t to = 0; to < n; to++) {
            const double rate = ports->link[(size_t)from * n + to].bytes_per_s;
            if (from == to)
                continue;
            ports->out_rate[from] = fmax(ports->out_rate[from], rate);
            ports->in[to].rate = fmax(ports->in[to].rate, rate);
        }
}

struct dtr_ports *dtr_ports_create(uint32_t devices, const struct dtr_link *link) {
    struct dtr_ports *ports = calloc(1, sizeof *ports);
    if (!ports)
        return NULL;
    ports->link = link;
    ports->devices = devices;
    ports->spare = -1;
    ports->out_rate = calloc(3 * (size_t)devices, sizeof *ports->out_rate);
    ports->in = calloc(devices, sizeof *ports->in);
    if (!ports->out_rate || !ports->in) {
        dtr_ports_free(ports);
        return NULL;
    }
    ports->out_free_s = ports->out_rate + devices;
    ports->out_bytes = ports->out_free_s + devices;
    if (link)
        rate_ports(ports);
    return ports;
}

void dtr_ports_free(struct dtr_ports *ports) {
    if (!ports)
        return;
    for (uint32_t i = 0; ports->in && i < ports->devices; i++)
        free(ports->in[i].lanes);
    free(ports->in);
    free(ports->out_rate);
    free(ports->parcels);
    free(ports);
}

double dtr_ports_send(struct dtr_ports *ports, uint32_t from, double bytes, double now_s) {
    const double leaves_s = fmax(now_s, ports->out_free_s[from]);
    ports->out_free_s[from] = leaves_s + bytes / ports->out_rate[from];
    ports->out_bytes[from] += bytes;
    return leaves_s;
}

double dtr_ports_busy_s(const struct dtr_ports *ports, uint32_t device) {
    const struct in_port *in = &ports->in[device];
    const double out_s =
        ports->out_bytes[device] > 0 ? ports->out_bytes[device] / ports->out_rate[device] : 0;
    return in->bytes > 0 ? fmax(out_s, in->bytes / in->rate) : out_s;
}

double dtr_ports_latency(const struct dtr_ports *ports, uint32_t from, uint32_t to) {
    return ports->link[(size_t)from * ports->devices + to].latency_s;
}

/* --- parcels and lanes ------------------------------------------------------------------------ */

static int32_t new_parcel(struct dtr_ports *ports) {
    if (ports->spare >= 0) {
        const int32_t index = ports->spare;
        ports->spare = ports->parcels[index].next;
        return index;
    }
    if (ports->parcels_count == ports->parcels_capacity) {
        const uint32_t capacity = ports->parcels_capacity ? 2 * ports->parcels_capacity : 256;
        struct parcel *larger = realloc(ports->parcels, capacity * sizeof *larger);
        if (!larger)
            return -1;
        ports->parcels = larger;
        ports->parcels_capacity = capacity;
    }
    return (int32_t)ports->parcels_count++;
}

static struct lane *lane_of(struct in_port *in, uint32_t from) {
    for (uint32_t i = 0; i < in->count; i++)
        if (in->lanes[i].from == from)
            return &in->lanes[i];
    if (in->count == in->capacity) {
        const uint32_t capacity = in->capacity ? 2 * in->capacity : 4;
        struct lane *larger = realloc(in->lanes, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        in->lanes = larger;
        in->capacity = capacity;
    }
    struct lane *lane = &in->lanes[in->count++];
    *lane = (struct lane){.from = from, .first = -1, .last = -1};
    return lane;
}

/* Shares the port: lanes that bring less than an equal part give the rest to the others. */
static void share(struct in_port *in) {
    in->changed = false;
    double rate = in->rate;
    uint32_t open = in->count;
    for (uint32_t i = 0; i < in->count; i++)
        in->lanes[i].serving = -1;
    for (bool again = true; again && open;) {
        const double part = rate / open;
        again = false;
        for (uint32_t i = 0; i < in->count; i++) {
            struct lane *lane = &in->lanes[i];
            if (lane->serving >= 0 || lane->waiting > SPECK || lane->rate > part)
                continue;
            lane->serving = lane->rate;
            rate -= lane->rate;
            open--;
            again = true;
        }
    }
    for (uint32_t i = 0; i < in->count; i++)
        if (in->lanes[i].serving < 0)
            in->lanes[i].serving = rate / open;
}

int dtr_ports_enter(struct dtr_ports *ports, uint32_t from, uint32_t to, double bytes,
                    uint32_t token, double now_s) {
    struct in_port *in = &ports->in[to];
    struct lane *lane = lane_of(in, from);
    const int32_t index = lane ? new_parcel(ports) : -1;
    if (index < 0)
        return DTR_E_MEMORY;
    /* One leaves after the other: what is still coming of the last one is rounding. */
    if (lane->rate > 0)
        lane->waiting += lane->rate * fmax(lane->until_s - now_s, 0);
    ports->parcels[index] = (struct parcel){.bytes = bytes, .token = token, .next = -1};
    if (lane->first < 0)
        lane->first = index;
    else
        ports->parcels[lane->last].next = index;
    lane->last = index;
    lane->rate = ports->link[(size_t)from * ports->devices + to].bytes_per_s;
    lane->until_s = now_s + bytes / lane->rate;
    in->bytes += bytes;
    in->changed = true;
    return DTR_OK;
}

/* --- time ------------------------------------------------------------------------------------- */

void dtr_ports_advance(struct dtr_ports *ports, uint32_t to, double now_s) {
    struct in_port *in = &ports->in[to];
    const double passed_s = now_s - in->time_s;
    if (passed_s <= 0)
        return;
    if (in->changed)
        share(in);
    in->time_s = now_s;
    for (uint32_t i = 0; i < in->count; i++) {
        struct lane *lane = &in->lanes[i];
        lane->waiting = fmax(lane->waiting + (lane->rate - lane->serving) * passed_s, 0);
        lane->through += lane->serving * passed_s;
        if (lane->until_s <= now_s)
            lane->rate = 0;
    }
    in->changed = true;
}

/* Whether all of the lane's first parcel has come in. */
static bool has_arrived(const struct lane *lane) {
    return lane->first != lane->last || lane->rate <= 0;
}

bool dtr_ports_take(struct dtr_ports *ports, uint32_t to, uint32_t *token_p) {
    struct in_port *in = &ports->in[to];
    for (uint32_t i = 0; i < in->count; i++) {
        struct lane *lane = &in->lanes[i];
        struct parcel *parcel = &ports->parcels[lane->first];
        if (!has_arrived(lane) || lane->through < parcel->bytes - 2 * SPECK)
            continue;
        const int32_t taken = lane->first;
        *token_p = parcel->token;
        lane->through -= parcel->bytes;
        lane->first = parcel->next;
        parcel->next = ports->spare;
        ports->spare = taken;
        if (lane->first < 0) {
            *lane = in->lanes[--in->count];
            in->changed = true;
        }
        return true;
    }
    return false;
}

double dtr_ports_next(struct dtr_ports *ports, uint32_t to) {
    struct in_port *in = &ports->in[to];
    double next_s = INFINITY;
    if (in->changed)
        share(in);
    for (uint32_t i = 0; i < in->count; i++) {
        const struct lane *lane = &in->lanes[i];
        if (lane->rate > 0)
            next_s = fmin(next_s, lane->until_s);
        const double left = ports->parcels[lane->first].bytes - lane->through;
        if (lane->serving > 0 && has_arrived(lane))
            next_s = fmin(next_s, in->time_s + left / lane->serving);
        if (lane->waiting > SPECK && lane->serving > lane->rate)
            next_s = fmin(next_s, in->time_s + lane->waiting / (lane->serving - lane->rate));
    }
    /* The clock must go on, however close the next event is. */
    return fmax(next_s, nextafter(in->time_s, INFINITY));
}

/* SPDX-License-Identifier: MIT
 *
 * Rates are constant from event to event: bytes come in at the rate of their link, wait where the
 * port has less to give than that, and go through at the port's rate.
 *
 * Of what has come in and waits, every lane gets through by the same number of bytes at any time:
 * by a clock of such bytes each is due at a fixed time, and a queue in the order of these times is
 * all that is to be kept of them, however many they are.
 */
#include "plan/ports.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"

#define SPECK 1e-2 /* bytes; less is rounding */

/* A message that is coming in or waits to get through. */
struct parcel {
    double bytes;
    uint32_t token;
    int32_t next; /* of the same lane, or of the spare ones; -1: none */
};

/* What comes from one device.  Once all of it has come in, `waiting` and `through` are what they
 * would be with the port's clock at 0. */
struct lane {
    uint32_t from;
    uint32_t place;       /* in the port's list of those that bring something, or in its queue */
    double rate, until_s; /* at which bytes come in, and until when; 0: all came in */
    double serving;       /* the rate at which they get through, while they come in */
    double waiting,
        through;         /* bytes that came and are not through; of the first parcel, that are */
    int32_t first, last; /* parcels; of a spare lane the next one */
};

struct due {
    double clock; /* when the first parcel of the lane is through */
    int32_t lane;
};

struct in_port {
    int32_t *coming;   /* lanes of which something is coming in */
    struct due *queue; /* the others that have a parcel: a heap */
    uint32_t coming_count, queue_count, capacity;
    double time_s, rate;
    double part;  /* the rate at which each lane gets through that has more than that to bring */
    double clock; /* bytes: the integral of `part` */
    double bytes; /* of all that has entered */
    bool changed; /* what each lane serves is to be found out anew */
};

struct dtr_ports {
    const struct dtr_link *link;
    uint32_t devices;
    double *out_rate, *out_free_s, *out_bytes; /* [devices] */
    struct in_port *in;                        /* [devices] */
    int32_t *lane_of;                          /* [to][from] one more than a lane, or 0 */
    struct lane *lanes;
    struct parcel *parcels;
    int32_t spare_lane, spare_parcel;
    uint32_t lanes_count, lanes_capacity, parcels_count, parcels_capacity;
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
    ports->spare_lane = ports->spare_parcel = -1;
    ports->out_rate = calloc(3 * (size_t)devices, sizeof *ports->out_rate);
    ports->in = calloc(devices, sizeof *ports->in);
    ports->lane_of = calloc((size_t)devices * devices, sizeof *ports->lane_of);
    if (!ports->out_rate || !ports->in || !ports->lane_of) {
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
    for (uint32_t i = 0; ports->in && i < ports->devices; i++) {
        free(ports->in[i].coming);
        free(ports->in[i].queue);
    }
    free(ports->in);
    free(ports->out_rate);
    free(ports->lane_of);
    free(ports->lanes);
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

/* --- memory ----------------------------------------------------------------------------------- */

static int32_t new_parcel(struct dtr_ports *ports) {
    if (ports->spare_parcel >= 0) {
        const int32_t index = ports->spare_parcel;
        ports->spare_parcel = ports->parcels[index].next;
        return index;
    }
    struct parcel *parcels = dtr_array_room(ports->parcels, ports->parcels_count,
                                            &ports->parcels_capacity, sizeof *parcels);
    if (!parcels)
        return -1;
    ports->parcels = parcels;
    return (int32_t)ports->parcels_count++;
}

static int32_t new_lane(struct dtr_ports *ports) {
    if (ports->spare_lane >= 0) {
        const int32_t index = ports->spare_lane;
        ports->spare_lane = ports->lanes[index].last;
        return index;
    }
    struct lane *lanes =
        dtr_array_room(ports->lanes, ports->lanes_count, &ports->lanes_capacity, sizeof *lanes);
    if (!lanes)
        return -1;
    ports->lanes = lanes;
    return (int32_t)ports->lanes_count++;
}

/* Room for one more lane at the port. */
static int reserve(struct in_port *in) {
    const uint32_t count = in->coming_count + in->queue_count;
    uint32_t capacity = in->capacity;
    int32_t *coming = dtr_array_room(in->coming, count, &capacity, sizeof *coming);
    if (!coming)
        return DTR_E_MEMORY;
    in->coming = coming;
    struct due *queue = dtr_array_room(in->queue, count, &in->capacity, sizeof *queue);
    if (!queue)
        return DTR_E_MEMORY;
    in->queue = queue;
    return DTR_OK;
}

/* --- lanes that bring something --------------------------------------------------------------- */

static void add_coming(struct dtr_ports *ports, struct in_port *in, int32_t index) {
    ports->lanes[index].place = in->coming_count;
    in->coming[in->coming_count++] = index;
}

static void remove_coming(struct dtr_ports *ports, struct in_port *in, uint32_t place) {
    in->coming[place] = in->coming[--in->coming_count];
    ports->lanes[in->coming[place]].place = place;
}

/* --- the queue of those that wait ------------------------------------------------------------- */

static void set_due(struct dtr_ports *ports, struct in_port *in, uint32_t place, struct due due) {
    in->queue[place] = due;
    ports->lanes[due.lane].place = place;
}

/* Moves what is at a place, or belongs there, to where it does belong. */
static void settle(struct dtr_ports *ports, struct in_port *in, uint32_t place, struct due due) {
    struct due *queue = in->queue;
    for (; place && due.clock < queue[(place - 1) / 2].clock; place = (place - 1) / 2)
        set_due(ports, in, place, queue[(place - 1) / 2]);
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < in->queue_count && queue[child + 1].clock < queue[child].clock)
            child++;
        if (child >= in->queue_count || queue[child].clock >= due.clock)
            break;
        set_due(ports, in, place, queue[child]);
        place = child;
    }
    set_due(ports, in, place, due);
}

static void dequeue(struct dtr_ports *ports, struct in_port *in, uint32_t place) {
    const struct due last = in->queue[--in->queue_count];
    if (place < in->queue_count)
        settle(ports, in, place, last);
}

static struct due due_of(const struct dtr_ports *ports, int32_t index) {
    const struct lane *lane = &ports->lanes[index];
    return (struct due){ports->parcels[lane->first].bytes - lane->through, index};
}

/* The lane brings no more. */
static void enqueue(struct dtr_ports *ports, struct in_port *in, int32_t index) {
    struct lane *lane = &ports->lanes[index];
    if (!in->queue_count)
        in->clock = 0;
    remove_coming(ports, in, lane->place);
    lane->rate = 0;
    lane->waiting += in->clock;
    lane->through -= in->clock;
    settle(ports, in, in->queue_count++, due_of(ports, index));
}

/* And does again. */
static void resume(struct dtr_ports *ports, struct in_port *in, int32_t index) {
    struct lane *lane = &ports->lanes[index];
    dequeue(ports, in, lane->place);
    lane->waiting -= in->clock;
    lane->through += in->clock;
    add_coming(ports, in, index);
}

/* --- sharing ---------------------------------------------------------------------------------- */

/* Shares the port: lanes that bring less than an equal part give the rest to the others. */
static void share(struct dtr_ports *ports, struct in_port *in) {
    in->changed = false;
    double rate = in->rate;
    uint32_t open = in->coming_count + in->queue_count;
    for (uint32_t i = 0; i < in->coming_count; i++)
        ports->lanes[in->coming[i]].serving = -1;
    for (bool again = true; again && open;) {
        in->part = rate / open;
        again = false;
        for (uint32_t i = 0; i < in->coming_count; i++) {
            struct lane *lane = &ports->lanes[in->coming[i]];
            if (lane->serving >= 0 || lane->waiting > SPECK || lane->rate > in->part)
                continue;
            lane->serving = lane->rate;
            rate -= lane->rate;
            open--;
            again = true;
        }
    }
    for (uint32_t i = 0; i < in->coming_count; i++)
        if (ports->lanes[in->coming[i]].serving < 0)
            ports->lanes[in->coming[i]].serving = in->part;
}

/* The lane of a sender, among those that bring something; -1: out of memory. */
static int32_t open_lane(struct dtr_ports *ports, uint32_t from, uint32_t to) {
    struct in_port *in = &ports->in[to];
    int32_t *known = &ports->lane_of[(size_t)to * ports->devices + from];
    if (*known) {
        if (ports->lanes[*known - 1].rate <= 0)
            resume(ports, in, *known - 1);
        return *known - 1;
    }
    const int32_t index = reserve(in) ? -1 : new_lane(ports);
    if (index < 0)
        return -1;
    *known = index + 1;
    ports->lanes[index] = (struct lane){.from = from, .first = -1, .last = -1};
    add_coming(ports, in, index);
    return index;
}

int dtr_ports_enter(struct dtr_ports *ports, uint32_t from, uint32_t to, double bytes,
                    uint32_t token, double now_s) {
    struct in_port *in = &ports->in[to];
    const int32_t index = new_parcel(ports);
    const int32_t opened = index < 0 ? -1 : open_lane(ports, from, to);
    if (opened < 0)
        return DTR_E_MEMORY;
    struct lane *lane = &ports->lanes[opened];
    ports->parcels[index] = (struct parcel){.bytes = bytes, .token = token, .next = -1};
    if (lane->first < 0)
        lane->first = index;
    else
        ports->parcels[lane->last].next = index;
    lane->last = index;
    lane->rate = ports->link[(size_t)from * ports->devices + to].bytes_per_s;
    /* The link may be slower than the sender's port: one comes in after the other. */
    lane->until_s = fmax(now_s, lane->until_s) + bytes / lane->rate;
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
        share(ports, in);
    in->time_s = now_s;
    in->clock += in->part * passed_s;
    for (uint32_t i = in->coming_count; i-- > 0;) {
        struct lane *lane = &ports->lanes[in->coming[i]];
        lane->waiting = fmax(lane->waiting + (lane->rate - lane->serving) * passed_s, 0);
        lane->through += lane->serving * passed_s;
        if (lane->until_s <= now_s)
            enqueue(ports, in, in->coming[i]);
    }
    in->changed = true;
}

/* The lane's first parcel is through. */
static uint32_t take_first(struct dtr_ports *ports, struct lane *lane) {
    const int32_t taken = lane->first;
    struct parcel *parcel = &ports->parcels[taken];
    lane->through -= parcel->bytes;
    lane->first = parcel->next;
    parcel->next = ports->spare_parcel;
    ports->spare_parcel = taken;
    return parcel->token;
}

static void close_lane(struct dtr_ports *ports, uint32_t to, int32_t index) {
    struct lane *lane = &ports->lanes[index];
    ports->lane_of[(size_t)to * ports->devices + lane->from] = 0;
    lane->last = ports->spare_lane;
    ports->spare_lane = index;
    ports->in[to].changed = true;
}

/* Of a lane that brings something the last parcel has not come in, and those before it have when
 * they are through. */
static bool has_first(const struct lane *lane) {
    return lane->first != lane->last;
}

bool dtr_ports_take(struct dtr_ports *ports, uint32_t to, uint32_t *token_p) {
    struct in_port *in = &ports->in[to];
    for (uint32_t i = 0; i < in->coming_count; i++) {
        struct lane *lane = &ports->lanes[in->coming[i]];
        if (!has_first(lane) || lane->through < ports->parcels[lane->first].bytes - 2 * SPECK)
            continue;
        *token_p = take_first(ports, lane);
        return true;
    }
    if (!in->queue_count || in->queue[0].clock - in->clock > 2 * SPECK)
        return false;
    const int32_t index = in->queue[0].lane;
    *token_p = take_first(ports, &ports->lanes[index]);
    if (ports->lanes[index].first >= 0) {
        settle(ports, in, 0, due_of(ports, index));
        return true;
    }
    dequeue(ports, in, 0);
    close_lane(ports, to, index);
    return true;
}

double dtr_ports_next(struct dtr_ports *ports, uint32_t to) {
    struct in_port *in = &ports->in[to];
    double next_s = INFINITY;
    if (in->changed)
        share(ports, in);
    for (uint32_t i = 0; i < in->coming_count; i++) {
        const struct lane *lane = &ports->lanes[in->coming[i]];
        next_s = fmin(next_s, lane->until_s);
        if (lane->serving > 0 && has_first(lane))
            next_s = fmin(next_s, in->time_s + (ports->parcels[lane->first].bytes - lane->through) /
                                                   lane->serving);
        if (lane->waiting > SPECK && lane->serving > lane->rate)
            next_s = fmin(next_s, in->time_s + lane->waiting / (lane->serving - lane->rate));
    }
    if (in->queue_count)
        next_s = fmin(next_s, in->time_s + (in->queue[0].clock - in->clock) / in->part);
    /* The clock must go on, however close the next event is. */
    return fmax(next_s, nextafter(in->time_s, INFINITY));
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "emulated/port.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NEVER UINT64_MAX
#define SPECK 1e-3 /* bytes; less is rounding */
/* A peer may say what it likes; sums with times up to here are times too. */
#define LATEST (UINT64_C(1) << 62)

struct arrival {
    uint64_t begin_ns, end_ns;
    double bytes;
    uint64_t *ready_p;
};

/* A peer's segments: those from `arriving` on have not arrived completely, those from `first` on
 * are not through.  Counters run on; the place of one is its remainder by `room`. */
struct lane {
    struct arrival *arrival;
    uint64_t room; /* a power of two */
    uint64_t end;
};

/* What moves when time moves.  next() plays it forward on a copy. */
struct lane_state {
    uint64_t first, arriving;
    double waiting; /* bytes that arrived and are not through */
    double through; /* bytes of the first segment that are through */
};

struct in_port {
    const struct dtr_host *host;
    const struct trace *trace;
    uint32_t lanes;
    uint64_t time_ns; /* computed so far */
    struct lane *lane;
    struct lane_state *state, *copy;
    double *arriving, *serving; /* bytes a nanosecond, of each lane */
};

/* --- out --- */

struct passage out_port_send(struct out_port *port, uint64_t now_ns, size_t bytes) {
    const uint64_t begin = now_ns > port->free_ns ? now_ns : port->free_ns;
    const uint64_t end = trace_end(port->trace, begin, (double)bytes);
    const uint64_t latency = trace_latency(port->trace, begin);
    port->free_ns = end;
    return (struct passage){.begin_ns = begin + latency, .end_ns = end + latency};
}

/* --- in: one step from event to event --- */

static struct arrival *arrival_at(const struct lane *lane, uint64_t index) {
    return &lane->arrival[index & (lane->room - 1)];
}

/* The rate at which a lane's bytes come in. */
static double arrival_rate(const struct lane *lane, const struct lane_state *state,
                           uint64_t time_ns) {
    if (state->arriving == lane->end)
        return 0;
    const struct arrival *one = arrival_at(lane, state->arriving);
    if (one->begin_ns > time_ns)
        return 0;
    return one->bytes / (double)(one->end_ns - one->begin_ns);
}

/* Shares the port: lanes that wait for less than an equal part give the rest to the others. */
static void share(const struct in_port *port, const struct lane_state *state, double rate) {
    uint32_t open = 0;
    for (uint32_t i = 0; i < port->lanes; i++) {
        port->serving[i] = -1;
        open += port->arriving[i] > 0 || state[i].waiting > SPECK;
    }
    for (bool again = true; again && open;) {
        const double part = rate / open;
        again = false;
        for (uint32_t i = 0; i < port->lanes; i++) {
            const bool busy = state[i].waiting > SPECK;
            if (port->serving[i] >= 0 || busy || port->arriving[i] <= 0 || port->arriving[i] > part)
                continue;
            port->serving[i] = port->arriving[i];
            rate -= port->arriving[i];
            open--;
            again = true;
        }
    }
    for (uint32_t i = 0; i < port->lanes; i++)
        if (port->serving[i] < 0)
            port->serving[i] = port->arriving[i] > 0 || state[i].waiting > SPECK ? rate / open : 0;
}

static uint64_t after(uint64_t time_ns, double amount, double rate) {
    const double ns = ceil(amount / rate);
    return ns < 1e18 ? time_ns + (ns > 1 ? (uint64_t)ns : 1) : NEVER; /* time must go on */
}

static void sooner(uint64_t *event, uint64_t other) {
    if (other < *event)
        *event = other;
}

/* When one of the rates that hold from `time_ns` ends to hold. */
static uint64_t next_event(const struct in_port *port, const struct lane_state *state,
                           uint64_t time_ns) {
    uint64_t event = trace_next(port->trace, time_ns);
    for (uint32_t i = 0; i < port->lanes; i++) {
        const struct lane *lane = &port->lane[i];
        const double in = port->arriving[i], out = port->serving[i];
        if (state[i].arriving < lane->end) {
            const struct arrival *one = arrival_at(lane, state[i].arriving);
            sooner(&event, one->begin_ns > time_ns ? one->begin_ns : one->end_ns);
        }
        if (out > in && state[i].waiting > SPECK)
            sooner(&event, after(time_ns, state[i].waiting, out - in));
        if (out > 0 && state[i].first < lane->end)
            sooner(&event,
                   after(time_ns, arrival_at(lane, state[i].first)->bytes - state[i].through, out));
    }
    return event;
}

/* Whole segments that are through leave their lane; true when there was one. */
static bool settle(const struct in_port *port, struct lane_state *state, uint32_t index,
                   uint64_t time_ns, bool real) {
    const struct lane *lane = &port->lane[index];
    bool any = false;
    /* Nothing waits but rounding, or less than nothing: what is through is what has arrived. */
    if (state->waiting < SPECK) {
        state->through += state->waiting;
        state->waiting = 0;
    }
    while (state->first < state->arriving) {
        const struct arrival *one = arrival_at(lane, state->first);
        if (state->through < one->bytes - SPECK)
            break;
        state->through -= one->bytes;
        state->first++;
        if (real)
            *one->ready_p = time_ns;
        any = true;
    }
    if (state->first == lane->end)
        state->waiting = state->through = 0;
    return any;
}

static bool pass(const struct in_port *port, struct lane_state *state, uint64_t from_ns,
                 uint64_t to_ns, bool real) {
    bool any = false;
    for (uint32_t i = 0; i < port->lanes; i++) {
        const double ns = (double)(to_ns - from_ns);
        state[i].waiting += (port->arriving[i] - port->serving[i]) * ns;
        state[i].through += port->serving[i] * ns;
        while (state[i].arriving < port->lane[i].end &&
               arrival_at(&port->lane[i], state[i].arriving)->end_ns <= to_ns)
            state[i].arriving++;
        any = settle(port, &state[i], i, to_ns, real) || any;
    }
    return any;
}

static bool is_idle(const struct in_port *port, const struct lane_state *state) {
    for (uint32_t i = 0; i < port->lanes; i++)
        if (state[i].first < port->lane[i].end)
            return false;
    return true;
}

/* One step, not beyond `limit_ns`; returns whether a segment got through. */
static bool step(const struct in_port *port, struct lane_state *state, uint64_t *time_ns,
                 uint64_t limit_ns, bool real) {
    for (uint32_t i = 0; i < port->lanes; i++)
        port->arriving[i] = arrival_rate(&port->lane[i], &state[i], *time_ns);
    share(port, state, trace_rate(port->trace, *time_ns));
    uint64_t event = next_event(port, state, *time_ns);
    if (event > limit_ns)
        event = limit_ns;
    const bool any = pass(port, state, *time_ns, event, real);
    *time_ns = event;
    return any;
}

/* --- in: the port --- */

int in_port_create(const struct dtr_host *host, const struct trace *trace, uint32_t devices,
                   struct in_port **port_p) {
    const size_t lanes = devices * sizeof(struct lane);
    const size_t states = devices * sizeof(struct lane_state), rates = devices * sizeof(double);
    struct in_port *port = host->allocate(host, 64, sizeof *port + lanes + 2 * states + 2 * rates);
    if (!port)
        return DTR_E_MEMORY;
    memset(port, 0, sizeof *port + lanes + 2 * states + 2 * rates);
    port->host = host;
    port->trace = trace;
    port->lanes = devices;
    port->lane = (struct lane *)(port + 1);
    port->state = (struct lane_state *)(port->lane + devices);
    port->copy = port->state + devices;
    port->arriving = (double *)(port->copy + devices);
    port->serving = port->arriving + devices;
    *port_p = port;
    return DTR_OK;
}

void in_port_free(struct in_port *port) {
    if (!port)
        return;
    for (uint32_t i = 0; i < port->lanes; i++)
        port->host->release(port->host, port->lane[i].arrival);
    port->host->release(port->host, port);
}

static bool make_room(const struct in_port *port, struct lane *lane, uint64_t first) {
    if (lane->end - first < lane->room)
        return true;
    const uint64_t room = lane->room ? 2 * lane->room : 64;
    struct arrival *more =
        port->host->allocate(port->host, _Alignof(struct arrival), (size_t)room * sizeof *more);
    if (!more)
        return false;
    for (uint64_t i = first; i < lane->end; i++)
        more[i & (room - 1)] = *arrival_at(lane, i);
    port->host->release(port->host, lane->arrival);
    lane->arrival = more;
    lane->room = room;
    return true;
}

int in_port_add(struct in_port *port, uint32_t peer, const struct passage *passage, size_t bytes,
                uint64_t *ready_p) {
    struct lane *lane = &port->lane[peer];
    struct lane_state *state = &port->state[peer];
    if (!make_room(port, lane, state->first))
        return DTR_E_MEMORY;
    /* One after the other; and what should have come already comes now, at once. */
    const uint64_t end = passage->end_ns < LATEST ? passage->end_ns : LATEST;
    uint64_t begin = passage->begin_ns < end ? passage->begin_ns : end;
    if (begin < port->time_ns)
        begin = port->time_ns;
    if (state->arriving < lane->end && arrival_at(lane, lane->end - 1)->end_ns > begin)
        begin = arrival_at(lane, lane->end - 1)->end_ns;
    const struct arrival one = {.begin_ns = begin,
                                .end_ns = end > begin ? end : begin + 1,
                                .bytes = (double)bytes,
                                .ready_p = ready_p};
    *arrival_at(lane, lane->end) = one;
    lane->end++;
    return DTR_OK;
}

uint64_t in_port_next(struct in_port *port) {
    if (is_idle(port, port->state))
        return NEVER;
    uint64_t time = port->time_ns;
    memcpy(port->copy, port->state, port->lanes * sizeof *port->copy);
    while (!step(port, port->copy, &time, NEVER, false))
        if (time == NEVER)
            return NEVER;
    return time;
}

/* Time goes on only to where a segment is through: news of one that began in the meantime may
 * still be on its way. */
void in_port_advance(struct in_port *port, uint64_t now_ns) {
    for (uint64_t next = in_port_next(port); next <= now_ns; next = in_port_next(port))
        while (port->time_ns < next)
            step(port, port->state, &port->time_ns, next, true);
}

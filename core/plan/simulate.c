/* SPDX-License-Identifier: MIT
 *
 * Events in the order of time: a device comes to its next step; a message begins to leave, and to
 * come in; the port of a receiver may have something through.  A message that was posted is out of
 * the sender's hands: transports buffer what their port cannot yet carry.
 */
#include "plan/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/ports.h"
#include "plan/wire.h"

enum event_kind { RESUME, DEPARTS, ENTERS, PORT };

struct event {
    double time_s;
    uint64_t order;  /* of events at the same time, the first first */
    uint32_t device; /* whose step; whose message; whose port */
    uint32_t what;   /* a message of the device's schedule; how often the port has changed */
    uint8_t kind;    /* enum event_kind */
};

struct flight {
    uint32_t round, unfinished;
    uint32_t next;          /* the first message of the rounds to come */
    uint32_t place, places; /* its table within device.receives; a power of two, or 0 */
    bool begun, complete;
};

/* A message in the queue of its sender's port. */
struct posted {
    double leaves_s;
    uint32_t message;
};

struct device {
    const struct dtr_schedule *schedule;
    double now_s;
    double compute_s, communicate_s;
    uint32_t step;
    uint32_t port_changes;
    struct posted *posted; /* a queue: what has not begun to leave */
    uint32_t posted_first, posted_count, posted_capacity;
    int32_t waits_for; /* a collective, or -1 */
    double waits_since_s;
    struct flight *flights;  /* [collectives] */
    uint8_t *arrived;        /* [messages] */
    uint32_t *collective_of; /* [messages] */
    int32_t *by_tag;         /* [tags] collective, or -1 */
    uint32_t *receives;      /* hash tables: one more than a message, or 0 */
};

struct simulator {
    const struct dtr_cost *cost;
    struct dtr_ports *ports;
    struct device *devices;
    uint32_t count, tags;
    struct event *heap;
    size_t heap_count, heap_capacity;
    uint64_t order;
    int status;
};

/* --- the heap of events ----------------------------------------------------------------------- */

static bool before(const struct event *a, const struct event *b) {
    return a->time_s < b->time_s || (a->time_s == b->time_s && a->order < b->order);
}

static void push(struct simulator *s, struct event event) {
    if (s->heap_count == s->heap_capacity) {
        const size_t capacity = s->heap_capacity ? 2 * s->heap_capacity : 1024;
        struct event *larger = realloc(s->heap, capacity * sizeof *larger);
        if (!larger) {
            s->status = DTR_E_MEMORY;
            return;
        }
        s->heap = larger;
        s->heap_capacity = capacity;
    }
    event.order = s->order++;
    size_t at = s->heap_count++;
    for (; at && before(&event, &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = event;
}

static struct event pop(struct simulator *s) {
    const struct event top = s->heap[0], last = s->heap[--s->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* --- messages --------------------------------------------------------------------------------- */

/* Where the search for a receive begins in its flight's table. */
static uint32_t place_of(const struct flight *flight, uint32_t peer, uint32_t round) {
    const uint64_t key = (uint64_t)peer * 31 + round;
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (flight->places - 1);
}

static void list_receive(struct device *device, uint32_t index) {
    const struct dtr_message *message = &device->schedule->messages[index];
    const struct flight *flight = &device->flights[device->collective_of[index]];
    uint32_t *receives = device->receives + flight->place;
    uint32_t at = place_of(flight, message->peer, message->round);
    while (receives[at])
        at = (at + 1) & (flight->places - 1);
    receives[at] = index + 1;
}

/* The receiver's side of a message: the same tag and round, from the sender. */
static int64_t find_receive(const struct simulator *s, uint32_t sender,
                            const struct dtr_message *sent, uint32_t tag) {
    const struct device *receiver = &s->devices[sent->peer];
    if (tag >= s->tags || receiver->by_tag[tag] < 0)
        return -1;
    const struct flight *flight = &receiver->flights[receiver->by_tag[tag]];
    const uint32_t *receives = receiver->receives + flight->place;
    if (!flight->places)
        return -1;
    uint32_t at = place_of(flight, sender, sent->round);
    for (; receives[at]; at = (at + 1) & (flight->places - 1)) {
        const struct dtr_message *message = &receiver->schedule->messages[receives[at] - 1];
        if (message->peer == sender && message->round == sent->round)
            return receives[at] - 1;
    }
    return -1;
}

static const struct dtr_collective *collective_of(const struct device *device, uint32_t message) {
    return &device->schedule->collectives[device->collective_of[message]];
}

/* With what the port could carry in the time that a message takes whatever its length. */
static double bytes_of(const struct simulator *s, const struct device *device, uint32_t index) {
    const struct dtr_message *message = &device->schedule->messages[index];
    const struct dtr_link *link =
        &s->cost->link[(size_t)device->schedule->device * s->count + message->peer];
    const uint8_t wire = collective_of(device, index)->wire;
    return (double)dtr_wire_bytes(wire, message->rows, message->values) +
           s->cost->message_s * link->bytes_per_s;
}

/* A place at the end of the sender's queue. */
static struct posted *queue(struct simulator *s, struct device *from) {
    if (from->posted_count == from->posted_capacity) {
        const uint32_t capacity = from->posted_capacity ? 2 * from->posted_capacity : 16;
        struct posted *larger = malloc(capacity * sizeof *larger);
        if (!larger) {
            s->status = DTR_E_MEMORY;
            return NULL;
        }
        for (uint32_t i = 0; i < from->posted_count; i++)
            larger[i] = from->posted[(from->posted_first + i) % from->posted_capacity];
        free(from->posted);
        from->posted = larger;
        from->posted_capacity = capacity;
        from->posted_first = 0;
    }
    return &from->posted[(from->posted_first + from->posted_count++) % from->posted_capacity];
}

static void push_departure(struct simulator *s, uint32_t sender) {
    const struct device *from = &s->devices[sender];
    push(s, (struct event){.time_s = from->posted[from->posted_first].leaves_s,
                           .device = sender,
                           .kind = DEPARTS});
}

static void post(struct simulator *s, uint32_t sender, uint32_t index, double now_s) {
    struct device *from = &s->devices[sender];
    struct posted *posted = queue(s, from);
    if (!posted)
        return;
    *posted =
        (struct posted){dtr_ports_send(s->ports, sender, bytes_of(s, from, index), now_s), index};
    if (from->posted_count == 1)
        push_departure(s, sender);
}

/* Only the first of each queue is among the events: they stay few, however many messages are. */
static void depart(struct simulator *s, uint32_t sender) {
    struct device *from = &s->devices[sender];
    const struct posted posted = from->posted[from->posted_first];
    const uint32_t peer = from->schedule->messages[posted.message].peer;
    push(s, (struct event){.time_s = posted.leaves_s + dtr_ports_latency(s->ports, sender, peer),
                           .device = sender,
                           .what = posted.message,
                           .kind = ENTERS});
    from->posted_first = (from->posted_first + 1) % from->posted_capacity;
    if (--from->posted_count)
        push_departure(s, sender);
}

/* --- collectives ------------------------------------------------------------------------------ */

static void complete(struct simulator *s, uint32_t index, uint32_t collective, double now_s) {
    struct device *device = &s->devices[index];
    device->flights[collective].complete = true;
    if (device->waits_for != (int32_t)collective)
        return;
    device->waits_for = -1;
    device->communicate_s += now_s - device->waits_since_s;
    device->now_s = now_s;
    push(s, (struct event){.time_s = now_s, .device = index, .kind = RESUME});
}

/* Begins rounds until one has something to wait for. */
static void begin_round(struct simulator *s, uint32_t index, uint32_t collective, double now_s) {
    struct device *device = &s->devices[index];
    const struct dtr_schedule *schedule = device->schedule;
    const struct dtr_collective *c = &schedule->collectives[collective];
    struct flight *flight = &device->flights[collective];
    for (; flight->round < c->rounds && !s->status; flight->round++) {
        for (; flight->next < c->messages; flight->next++) {
            const uint32_t i = c->message + flight->next;
            const struct dtr_message *message = &schedule->messages[i];
            if (message->round != flight->round)
                break;
            if (message->kind == DTR_MESSAGE_SEND)
                post(s, index, i, now_s);
            else if (!device->arrived[i])
                flight->unfinished++;
        }
        if (flight->unfinished)
            return;
    }
    complete(s, index, collective, now_s);
}

static void finish_message(struct simulator *s, uint32_t index, uint32_t at, double now_s) {
    struct device *device = &s->devices[index];
    const uint32_t collective = device->collective_of[at];
    const struct dtr_message *message = &device->schedule->messages[at];
    struct flight *flight = &device->flights[collective];
    device->arrived[at] = 1;
    /* It may come before the device has begun to wait for it. */
    if (!flight->begun || flight->round != message->round || --flight->unfinished)
        return;
    flight->round++;
    begin_round(s, index, collective, now_s);
}

/* --- ports ------------------------------------------------------------------------------------ */

static void finish_messages(struct simulator *s, uint32_t to, double now_s) {
    uint32_t message;
    dtr_ports_advance(s->ports, to, now_s);
    while (dtr_ports_take(s->ports, to, &message))
        finish_message(s, to, message, now_s);
}

/* The port's next event; those that were foreseen before do not count any more. */
static void foresee(struct simulator *s, uint32_t to) {
    const double next_s = dtr_ports_next(s->ports, to);
    const uint32_t changes = ++s->devices[to].port_changes;
    if (!isinf(next_s))
        push(s, (struct event){.time_s = next_s, .device = to, .what = changes, .kind = PORT});
}

static void enter(struct simulator *s, const struct event *event) {
    const struct device *from = &s->devices[event->device];
    const struct dtr_message *message = &from->schedule->messages[event->what];
    const int64_t receive =
        find_receive(s, event->device, message, collective_of(from, event->what)->tag);
    if (receive < 0) {
        s->status = DTR_E_PLUGIN;
        return;
    }
    finish_messages(s, message->peer, event->time_s);
    if (dtr_ports_enter(s->ports, event->device, message->peer, bytes_of(s, from, event->what),
                        (uint32_t)receive, event->time_s))
        s->status = DTR_E_MEMORY;
    foresee(s, message->peer);
}

static void pass_port(struct simulator *s, const struct event *event) {
    if (event->what != s->devices[event->device].port_changes)
        return;
    finish_messages(s, event->device, event->time_s);
    foresee(s, event->device);
}

/* --- devices ---------------------------------------------------------------------------------- */

static void begin_collective(struct simulator *s, uint32_t index, uint32_t collective) {
    struct device *device = &s->devices[index];
    device->flights[collective].begun = true;
    begin_round(s, index, collective, device->now_s);
}

/* Runs a device from the time of its event until it has to let others come first. */
static void resume(struct simulator *s, uint32_t index) {
    struct device *device = &s->devices[index];
    const struct dtr_schedule *schedule = device->schedule;
    while (device->step < schedule->steps_count && !s->status) {
        const struct dtr_step *step = &schedule->steps[device->step++];
        if (step->kind == DTR_STEP_START) {
            device->now_s += s->cost->start_s;
            device->communicate_s += s->cost->start_s;
            begin_collective(s, index, (uint32_t)step->collective);
        } else if (step->kind == DTR_STEP_WAIT) {
            if (device->flights[step->collective].complete)
                continue;
            device->waits_for = step->collective;
            device->waits_since_s = device->now_s;
            return;
        } else {
            const double takes_s = s->cost->step_s(s->cost->arg, schedule, step);
            device->compute_s += takes_s;
            device->now_s += takes_s;
            /* What others do meanwhile must be known before the next message is posted. */
            push(s, (struct event){.time_s = device->now_s, .device = index, .kind = RESUME});
            return;
        }
    }
}

/* --- set-up ----------------------------------------------------------------------------------- */

/* A table for the receives of each collective, so that what is looked up together lies together;
 * returns the places of all. */
static uint32_t lay_out_receives(struct device *device) {
    const struct dtr_schedule *schedule = device->schedule;
    uint32_t places = 0;
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        struct flight *flight = &device->flights[i];
        uint32_t receives = 0;
        for (uint32_t j = 0; j < collective->messages; j++)
            receives += schedule->messages[collective->message + j].kind != DTR_MESSAGE_SEND;
        flight->place = places;
        for (flight->places = receives ? 2 : 0; flight->places < 2 * receives;)
            flight->places *= 2;
        places += flight->places;
    }
    return places;
}

static void list_collective(struct device *device, uint32_t index) {
    const struct dtr_collective *collective = &device->schedule->collectives[index];
    device->by_tag[collective->tag] = (int32_t)index;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const uint32_t message = collective->message + i;
        device->collective_of[message] = index;
        if (device->schedule->messages[message].kind != DTR_MESSAGE_SEND)
            list_receive(device, message);
    }
}

static int prepare_device(struct simulator *s, struct device *device,
                          const struct dtr_schedule *schedule) {
    *device = (struct device){.schedule = schedule, .waits_for = -1};
    device->flights = calloc((size_t)schedule->collectives_count + 1, sizeof *device->flights);
    device->arrived = calloc((size_t)schedule->messages_count + 1, 1);
    device->collective_of =
        calloc((size_t)schedule->messages_count + 1, sizeof *device->collective_of);
    device->by_tag = malloc(((size_t)s->tags + 1) * sizeof *device->by_tag);
    if (!device->flights || !device->arrived || !device->collective_of || !device->by_tag)
        return DTR_E_MEMORY;
    device->receives = calloc((size_t)lay_out_receives(device) + 1, sizeof *device->receives);
    if (!device->receives)
        return DTR_E_MEMORY;
    memset(device->by_tag, 0xff, s->tags * sizeof *device->by_tag);
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        list_collective(device, i);
    return DTR_OK;
}

static void count_tags(struct simulator *s, const struct dtr_schedule *schedule) {
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        if (schedule->collectives[i].tag >= s->tags)
            s->tags = schedule->collectives[i].tag + 1;
}

static void report(const struct simulator *s, struct dtr_simulation *simulation) {
    simulation->latency_s = s->devices[0].now_s;
    for (uint32_t i = 0; i < s->count; i++) {
        if (simulation->compute_s)
            simulation->compute_s[i] = s->devices[i].compute_s;
        if (simulation->communicate_s)
            simulation->communicate_s[i] = s->devices[i].communicate_s;
        if (simulation->port_s)
            simulation->port_s[i] = dtr_ports_busy_s(s->ports, i);
    }
}

static bool all_done(const struct simulator *s) {
    for (uint32_t i = 0; i < s->count; i++)
        if (s->devices[i].step < s->devices[i].schedule->steps_count ||
            s->devices[i].waits_for >= 0)
            return false;
    return true;
}

static void run(struct simulator *s) {
    while (s->heap_count && !s->status) {
        const struct event event = pop(s);
        if (event.kind == RESUME)
            resume(s, event.device);
        else if (event.kind == DEPARTS)
            depart(s, event.device);
        else if (event.kind == ENTERS)
            enter(s, &event);
        else
            pass_port(s, &event);
    }
    if (!s->status && !all_done(s))
        s->status = DTR_E_PLUGIN;
}

static void clean_up(struct simulator *s) {
    for (uint32_t i = 0; s->devices && i < s->count; i++) {
        free(s->devices[i].flights);
        free(s->devices[i].arrived);
        free(s->devices[i].collective_of);
        free(s->devices[i].by_tag);
        free(s->devices[i].receives);
        free(s->devices[i].posted);
    }
    dtr_ports_free(s->ports);
    free(s->devices);
    free(s->heap);
}

int dtr_simulate(const struct dtr_schedule *const *schedules, uint32_t devices,
                 const struct dtr_cost *cost, struct dtr_simulation *simulation,
                 struct dtr_error *error) {
    struct simulator s = {.cost = cost, .count = devices};
    s.devices = calloc(devices, sizeof *s.devices);
    s.ports = dtr_ports_create(devices, cost->link);
    s.status = s.devices && s.ports ? DTR_OK : DTR_E_MEMORY;
    for (uint32_t i = 0; i < devices && !s.status; i++)
        count_tags(&s, schedules[i]);
    for (uint32_t i = 0; i < devices && !s.status; i++) {
        s.status = prepare_device(&s, &s.devices[i], schedules[i]);
        push(&s, (struct event){.device = i, .kind = RESUME});
    }
    run(&s);
    if (!s.status)
        report(&s, simulation);
    clean_up(&s);
    if (s.status == DTR_E_PLUGIN)
        return dtr_fail(error, s.status, "the devices' schedules do not fit together");
    return s.status ? dtr_fail_memory(error) : DTR_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * Events in the order of time: a device comes to its next step; a parcel begins to leave, and to
 * come in; the port of a receiver may have something through.  A parcel that was posted is out of
 * the sender's hands: transports buffer what their port cannot yet carry.
 */
#include "plan/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "plan/parcel.h"
#include "plan/ports.h"
#include "plan/wire.h"

enum event_kind { RESUME, DEPARTS, ENTERS, PORT };

struct event {
    double time_s;
    uint64_t order;  /* of events at the same time, the first first */
    uint32_t device; /* whose step; whose message; whose port */
    uint32_t what;   /* a letter; how often the port has changed */
    uint8_t kind;    /* enum event_kind */
};

/* A collective on one device. */
struct flight {
    const struct dtr_collective *collective; /* NULL: the device has no part in it */
    uint32_t round, unfinished;
    uint32_t next;          /* the first message of the rounds to come */
    uint32_t place, places; /* its table within device.receives; a power of two, or 0 */
    bool begun, complete;
};

/* How far a message is, on the device that sends or receives it. */
struct course {
    uint8_t onward;  /* how many further that message is that passes on what comes; 0: none */
    bool passes;     /* it is one that does: it does not wait for its round */
    uint8_t parcels; /* that it is cut into */
    uint8_t done;    /* of them that came, or were posted */
};

/* A parcel in the queue of its sender's port. */
struct posted {
    double leaves_s, bytes;
    uint32_t message, tag;
};

/* One that has begun to leave; when it enters, what receives it is known, too. */
struct letter {
    double bytes;
    uint32_t to, round, tag;
    uint32_t message; /* the receiver's */
    int32_t next;     /* of the spare ones; -1: none */
};

/* A place in a hash table of receives. */
struct receive {
    uint32_t peer, round;
    uint32_t message; /* one more than that, or 0: the place is free */
};

struct device {
    const struct dtr_schedule *schedule;
    double now_s;
    double compute_s, communicate_s;
    uint32_t step;
    uint32_t port_changes;
    struct posted *posted; /* a queue: what has not begun to leave */
    uint32_t posted_first, posted_count, posted_capacity;
    const struct flight *waits_for; /* NULL: it does not wait */
    double waits_since_s;
    struct flight *flights;   /* [tags] */
    struct course *courses;   /* [messages] */
    struct receive *receives; /* a hash table for each collective */
};

struct simulator {
    const struct dtr_cost *cost;
    struct dtr_ports *ports;
    struct device *devices;
    uint32_t count, tags;
    struct event *heap;
    uint32_t heap_count, heap_capacity;
    uint64_t order;
    struct letter *letters;
    int32_t spare_letter;
    uint32_t letters_count, letters_capacity;
    int status;
};

/* --- the heap of events ----------------------------------------------------------------------- */

enum { BRANCHES = 4 };

static bool before(const struct event *a, const struct event *b) {
    return a->time_s < b->time_s || (a->time_s == b->time_s && a->order < b->order);
}

static void push(struct simulator *s, struct event event) {
    struct event *heap = dtr_array_room(s->heap, s->heap_count, &s->heap_capacity, sizeof *heap);
    if (!heap) {
        s->status = DTR_E_MEMORY;
        return;
    }
    s->heap = heap;
    event.order = s->order++;
    size_t at = s->heap_count++;
    for (; at && before(&event, &s->heap[(at - 1) / BRANCHES]); at = (at - 1) / BRANCHES)
        s->heap[at] = s->heap[(at - 1) / BRANCHES];
    s->heap[at] = event;
}

/* The first of the events below a place; the place itself where there are none. */
static size_t first_below(const struct simulator *s, size_t at) {
    size_t first = BRANCHES * at + 1;
    if (first >= s->heap_count)
        return at;
    const size_t end = first + BRANCHES < s->heap_count ? first + BRANCHES : s->heap_count;
    for (size_t i = first + 1; i < end; i++)
        if (before(&s->heap[i], &s->heap[first]))
            first = i;
    return first;
}

static struct event pop(struct simulator *s) {
    const struct event top = s->heap[0], last = s->heap[--s->heap_count];
    size_t at = 0;
    for (;;) {
        const size_t below = first_below(s, at);
        if (below == at || !before(&s->heap[below], &last))
            break;
        s->heap[at] = s->heap[below];
        at = below;
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

static void list_receive(struct device *device, const struct flight *flight, uint32_t index) {
    const struct dtr_message *message = &device->schedule->messages[index];
    struct receive *receives = device->receives + flight->place;
    uint32_t at = place_of(flight, message->peer, message->round);
    while (receives[at].message)
        at = (at + 1) & (flight->places - 1);
    receives[at] = (struct receive){message->peer, message->round, index + 1};
}

/* The receiver's side of a letter: the same tag and round, from the sender.  False: there is none.
 */
static bool find_receive(const struct simulator *s, uint32_t sender, struct letter *letter) {
    const struct device *receiver = &s->devices[letter->to];
    const struct flight *flight = &receiver->flights[letter->tag];
    const struct receive *receives = receiver->receives + flight->place;
    if (!flight->places)
        return false;
    uint32_t at = place_of(flight, sender, letter->round);
    while (receives[at].message &&
           (receives[at].peer != sender || receives[at].round != letter->round))
        at = (at + 1) & (flight->places - 1);
    letter->message = receives[at].message - 1;
    return receives[at].message != 0;
}

/* Of the next parcel, and what its port could carry in the rest of the time that it takes.  What a
 * message takes of its sender is measured where ports are idle, and comes on top; when further
 * parcels are at hand the port is still busy with those before, unless the sender is slower. */
static double bytes_of(const struct simulator *s, uint32_t sender,
                       const struct dtr_message *message, uint8_t wire,
                       const struct course *course) {
    const struct dtr_cost *cost = s->cost;
    const double rate = cost->link[(size_t)sender * s->count + message->peer].bytes_per_s;
    const double bytes =
        (double)dtr_wire_bytes(wire, message->rows, message->values) / course->parcels;
    if (!course->done)
        return bytes + cost->message_s * rate;
    const double sender_s = cost->message_s + fmin(bytes / rate, bytes * cost->byte_s);
    return fmax(bytes, sender_s * rate);
}

static int32_t new_letter(struct simulator *s) {
    if (s->spare_letter >= 0) {
        const int32_t index = s->spare_letter;
        s->spare_letter = s->letters[index].next;
        return index;
    }
    struct letter *letters =
        dtr_array_room(s->letters, s->letters_count, &s->letters_capacity, sizeof *letters);
    if (!letters) {
        s->status = DTR_E_MEMORY;
        return -1;
    }
    s->letters = letters;
    return (int32_t)s->letters_count++;
}

static void free_letter(struct simulator *s, int32_t index) {
    s->letters[index].next = s->spare_letter;
    s->spare_letter = index;
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

/* The next parcel of a message. */
static void post(struct simulator *s, uint32_t sender, uint32_t index,
                 const struct dtr_collective *collective, double now_s) {
    struct device *from = &s->devices[sender];
    struct course *course = &from->courses[index];
    const double bytes =
        bytes_of(s, sender, &from->schedule->messages[index], collective->wire, course);
    struct posted *posted = queue(s, from);
    if (!posted)
        return;
    course->done++;
    *posted = (struct posted){
        .leaves_s = dtr_ports_send(s->ports, sender, bytes, now_s),
        .bytes = bytes,
        .message = index,
        .tag = collective->tag,
    };
    if (from->posted_count == 1)
        push_departure(s, sender);
}

/* Only the first of each queue is among the events: they stay few, however many messages are. */
static void depart(struct simulator *s, uint32_t sender) {
    struct device *from = &s->devices[sender];
    const struct posted posted = from->posted[from->posted_first];
    const struct dtr_message *message = &from->schedule->messages[posted.message];
    const int32_t letter = new_letter(s);
    if (letter < 0)
        return;
    s->letters[letter] = (struct letter){
        .bytes = posted.bytes,
        .to = message->peer,
        .round = message->round,
        .tag = posted.tag,
    };
    push(s, (struct event){.time_s = posted.leaves_s +
                                     dtr_ports_latency(s->ports, sender, message->peer) +
                                     s->cost->round_s,
                           .device = sender,
                           .what = (uint32_t)letter,
                           .kind = ENTERS});
    from->posted_first = (from->posted_first + 1) % from->posted_capacity;
    if (--from->posted_count)
        push_departure(s, sender);
}

/* --- collectives ------------------------------------------------------------------------------ */

static struct flight *flight_of(struct device *device, const struct dtr_step *step) {
    return &device->flights[device->schedule->collectives[step->collective].tag];
}

static void complete(struct simulator *s, uint32_t index, struct flight *flight, double now_s) {
    struct device *device = &s->devices[index];
    flight->complete = true;
    if (device->waits_for != flight)
        return;
    device->waits_for = NULL;
    device->communicate_s += now_s - device->waits_since_s;
    device->now_s = now_s;
    push(s, (struct event){.time_s = now_s, .device = index, .kind = RESUME});
}

/* Begins rounds until one has something to wait for. */
static void begin_round(struct simulator *s, uint32_t index, struct flight *flight, double now_s) {
    const struct device *device = &s->devices[index];
    const struct dtr_collective *c = flight->collective;
    for (; flight->round < c->rounds && !s->status; flight->round++) {
        for (; flight->next < c->messages; flight->next++) {
            const uint32_t i = c->message + flight->next;
            const struct dtr_message *message = &device->schedule->messages[i];
            const struct course *course = &device->courses[i];
            if (message->round != flight->round)
                break;
            if (dtr_message_comes(message))
                flight->unfinished += course->done < course->parcels;
            while (!dtr_message_comes(message) && !course->passes &&
                   course->done < course->parcels && !s->status)
                post(s, index, i, c, now_s);
        }
        if (flight->unfinished)
            return;
    }
    complete(s, index, flight, now_s);
}

/* What has come of a message goes on, where another passes it on. */
static void pass_on(struct simulator *s, uint32_t index, const struct flight *flight,
                    const struct course *came, double now_s) {
    const uint32_t message = (uint32_t)(came - s->devices[index].courses) + came->onward;
    while (came->onward && came[came->onward].done < came->done && !s->status)
        post(s, index, message, flight->collective, now_s);
}

/* With what came before the device had part in it. */
static void begin(struct simulator *s, uint32_t index, struct flight *flight, double now_s) {
    const struct dtr_collective *collective = flight->collective;
    const struct course *courses = s->devices[index].courses + collective->message;
    flight->begun = true;
    begin_round(s, index, flight, now_s);
    if (!dtr_collective_passes_on(collective))
        return;
    for (uint32_t i = 0; i < collective->messages; i++)
        pass_on(s, index, flight, &courses[i], now_s);
}

static void finish_parcel(struct simulator *s, int32_t index, double now_s) {
    const struct letter letter = s->letters[index];
    struct device *device = &s->devices[letter.to];
    struct flight *flight = &device->flights[letter.tag];
    struct course *course = &device->courses[letter.message];
    free_letter(s, index);
    course->done++;
    /* It may come before the device has begun to wait for it. */
    if (!flight->begun)
        return;
    pass_on(s, letter.to, flight, course, now_s);
    if (course->done < course->parcels || flight->round != letter.round || --flight->unfinished)
        return;
    flight->round++;
    begin_round(s, letter.to, flight, now_s);
}

/* --- ports ------------------------------------------------------------------------------------ */

static void finish_parcels(struct simulator *s, uint32_t to, double now_s) {
    uint32_t letter;
    dtr_ports_advance(s->ports, to, now_s);
    while (dtr_ports_take(s->ports, to, &letter))
        finish_parcel(s, (int32_t)letter, now_s);
}

/* The port's next event; those that were foreseen before do not count any more. */
static void foresee(struct simulator *s, uint32_t to) {
    const double next_s = dtr_ports_next(s->ports, to);
    const uint32_t changes = ++s->devices[to].port_changes;
    if (!isinf(next_s))
        push(s, (struct event){.time_s = next_s, .device = to, .what = changes, .kind = PORT});
}

static void enter(struct simulator *s, const struct event *event) {
    struct letter *letter = &s->letters[event->what];
    if (!find_receive(s, event->device, letter)) {
        s->status = DTR_E_PLUGIN;
        return;
    }
    const uint32_t to = letter->to;
    finish_parcels(s, to, event->time_s);
    if (dtr_ports_enter(s->ports, event->device, to, s->letters[event->what].bytes, event->what,
                        event->time_s))
        s->status = DTR_E_MEMORY;
    foresee(s, to);
}

static void pass_port(struct simulator *s, const struct event *event) {
    if (event->what != s->devices[event->device].port_changes)
        return;
    finish_parcels(s, event->device, event->time_s);
    foresee(s, event->device);
}

/* --- devices ---------------------------------------------------------------------------------- */

/* Runs a device from the time of its event until it has to let others come first. */
static void resume(struct simulator *s, uint32_t index) {
    struct device *device = &s->devices[index];
    const struct dtr_schedule *schedule = device->schedule;
    while (device->step < schedule->steps_count && !s->status) {
        const struct dtr_step *step = &schedule->steps[device->step++];
        if (step->kind == DTR_STEP_START) {
            struct flight *flight = flight_of(device, step);
            device->now_s += s->cost->start_s;
            device->communicate_s += s->cost->start_s;
            begin(s, index, flight, device->now_s);
        } else if (step->kind == DTR_STEP_WAIT) {
            const struct flight *flight = flight_of(device, step);
            if (flight->complete)
                continue;
            device->waits_for = flight;
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
static uint32_t lay_out_flights(struct device *device) {
    const struct dtr_schedule *schedule = device->schedule;
    uint32_t places = 0;
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        struct flight *flight = &device->flights[collective->tag];
        uint32_t receives = 0;
        for (uint32_t j = 0; j < collective->messages; j++)
            receives += schedule->messages[collective->message + j].kind != DTR_MESSAGE_SEND;
        flight->collective = collective;
        flight->place = places;
        for (flight->places = receives ? 2 : 0; flight->places < 2 * receives;)
            flight->places *= 2;
        places += flight->places;
    }
    return places;
}

static void list_receives(struct device *device, const struct flight *flight) {
    const struct dtr_collective *collective = flight->collective;
    for (uint32_t i = 0; collective && i < collective->messages; i++)
        if (device->schedule->messages[collective->message + i].kind != DTR_MESSAGE_SEND)
            list_receive(device, flight, collective->message + i);
}

/* What a message does not pass on alone, or from too far back, waits for its round. */
static void chart_courses(struct device *device, const struct dtr_collective *collective) {
    const struct dtr_schedule *schedule = device->schedule;
    struct course *courses = device->courses + collective->message;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &schedule->messages[collective->message + i];
        const int32_t source = dtr_message_source(schedule, collective, i);
        courses[i] = (struct course){.parcels = (uint8_t)dtr_parcel_count(collective, message)};
        if (source < 0 || i - (uint32_t)source > UINT8_MAX || courses[source].onward)
            continue;
        courses[source].onward = (uint8_t)(i - (uint32_t)source);
        courses[i].passes = true;
    }
}

static int prepare_device(struct simulator *s, struct device *device,
                          const struct dtr_schedule *schedule) {
    *device = (struct device){.schedule = schedule};
    device->flights = calloc((size_t)s->tags + 1, sizeof *device->flights);
    device->courses = calloc((size_t)schedule->messages_count + 1, sizeof *device->courses);
    if (!device->flights || !device->courses)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        chart_courses(device, &schedule->collectives[i]);
    device->receives = calloc((size_t)lay_out_flights(device) + 1, sizeof *device->receives);
    if (!device->receives)
        return DTR_E_MEMORY;
    for (uint32_t i = 0; i < s->tags; i++)
        list_receives(device, &device->flights[i]);
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
        if (s->devices[i].step < s->devices[i].schedule->steps_count || s->devices[i].waits_for)
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
        free(s->devices[i].courses);
        free(s->devices[i].receives);
        free(s->devices[i].posted);
    }
    dtr_ports_free(s->ports);
    free(s->devices);
    free(s->heap);
    free(s->letters);
}

int dtr_simulate(const struct dtr_schedule *const *schedules, uint32_t devices,
                 const struct dtr_cost *cost, struct dtr_simulation *simulation,
                 struct dtr_error *error) {
    struct simulator s = {.cost = cost, .count = devices, .spare_letter = -1};
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

/* SPDX-License-Identifier: MIT
 *
 * transport_rig.h -- what the conformance suite of transports works with: a crew of processes, one
 * for each device, that end with their parent, cannot hang longer than a limit, and say in shared
 * memory what went wrong.
 */
#ifndef DTR_CHECK_TRANSPORT_RIG_H
#define DTR_CHECK_TRANSPORT_RIG_H

#include <detransformer/transport.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "check/check.h"
#include "config/experiment.h"
#include "plugin/host.h"

#define CREW_MAX 16u
#define CREW_NS UINT64_C(1000000000) /* a second */

/* What the processes of a case share. */
struct crew {
    struct dtr_log log;
    uint32_t devices, case_index;
    bool faults;              /* what is expected may fail, but cleanly */
    _Atomic uint32_t arrived; /* at meetings, all together */
    _Atomic int victim;       /* the device that is meant to die, or -1 */
    _Atomic uint32_t broken;  /* a device has said why */
    _Atomic uint32_t gave_up; /* a device met a fault and has ended */
    char why[300];
    char address[CREW_MAX][DTR_ADDRESS_MAX];
};

struct member_host {
    struct dtr_services services; /* first: plugins hand it back */
    atomic_uint_fast64_t allocations;
    atomic_int_fast64_t live;
};

/* One device, in its own process. */
struct member {
    struct crew *crew;
    uint32_t device, devices, meetings;
    uint32_t descriptors; /* before open() */
    const struct dtr_transport_ops *ops;
    void *self;
    const struct dtr_chain *chain;
    bool launched, joined;
    const uint8_t *key; /* NULL: the crew's */
    struct dtr_group group;
    struct member_memory *memory;
    const char *addresses[CREW_MAX];
    uint32_t count;
    struct dtr_instance instance[DTR_CHAIN_MAX];
    struct member_host host[DTR_CHAIN_MAX];
};

typedef void (*member_fn)(struct member *member);

struct crew_order {
    const struct dtr_chain *chain;
    const struct dtr_log *log; /* may be NULL */
    struct dtr_check *check;
    bool faults;
    const char *only;   /* cases whose name has this in it; NULL: all */
    const char *launch; /* "mpirun -n"; NULL: the processes are children */
    char *const *argv;  /* with `launch`: this program's own, ends at NULL */
};

/* Runs a case in `devices` processes, each with an open transport that has an address; what the
 * transport leaves behind is looked for afterwards.  One line of the report. */
void dtr_crew_run(const struct crew_order *order, uint32_t devices, uint32_t index);

/* In a process that a launcher has started: its part of the case in the file at `path`. Returns
 * only when there is something wrong. */
int dtr_crew_member(const struct dtr_chain *chain, const char *path, struct dtr_error *error);

/* One device's part, to the end of the process. */
void dtr_member_main(struct crew *crew, const struct dtr_chain *chain, uint32_t device,
                     bool launched, member_fn body);
#define CREW_BROKEN 3 /* the exit status of who has said why */

void dtr_pause_ns(long ns);

/* --- in a member; whatever goes wrong ends its process, and the case --- */

/* What a sound transport does.  Over one with faults, the device leaves, and that must go well. */
void dtr_member_expect(struct member *member, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What every transport does. */
void dtr_member_must(struct member *member, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Waits for all that are alive, moving messages when `joined`. */
void dtr_member_meet(struct member *member, bool joined);

/* This device is killed, here and now, as planned. */
void dtr_member_die(struct member *member) __attribute__((noreturn));

uint64_t dtr_member_now(const struct member *member);
uint64_t dtr_member_allocations(const struct member *member);

/* Joins all devices, or some, in `epoch`; `seconds` for the deadline. */
int dtr_member_join(struct member *member, uint64_t epoch, double seconds, struct dtr_error *error);
void dtr_member_join_all(struct member *member, uint64_t epoch);
void dtr_member_leave(struct member *member);

struct dtr_transfer *dtr_member_send(struct member *member, uint32_t peer, uint32_t tag,
                                    const void *buffer, size_t bytes);
struct dtr_transfer *dtr_member_receive(struct member *member, uint32_t peer, uint32_t tag,
                                       void *buffer, size_t bytes);

/* test() with wait() between, until the request is done: 1 or its error. */
int dtr_member_finish(struct member *member, struct dtr_transfer *request, size_t *bytes_p);

/* The same, and both must succeed. */
void dtr_member_sent(struct member *member, struct dtr_transfer *request);
void dtr_member_received(struct member *member, struct dtr_transfer *request, size_t bytes);

/* Freed at the end of the case. */
void *dtr_member_memory(struct member *member, size_t bytes);

/* Contents that depend on their seed in every byte. */
void dtr_member_fill(void *buffer, size_t bytes, uint64_t seed);
void dtr_member_verify(struct member *member, const void *buffer, size_t bytes, uint64_t seed);

/* --- the cases --- */

struct transport_case {
    const char *name;
    member_fn body;
    uint32_t least, most; /* devices */
    uint64_t caps;        /* that the plugin must promise     */
    uint64_t without;     /* that the plugin must not promise */
    const char *reason;   /* for `without` */
};
extern const struct transport_case dtr_transport_message_cases[], dtr_transport_failure_cases[];

/* All of them by number; NULL from the end on. */
const struct transport_case *dtr_transport_case(uint32_t index);

#endif

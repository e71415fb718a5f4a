/* SPDX-License-Identifier: MIT
 *
 * meet.h -- how a group forms over TCP: each device listens at an address of its own, calls those
 * below it and answers those above it, and has in the end one authenticated connection to each. Who
 * calls without being of the group is dropped and nobody else is the worse for it.
 */
#ifndef DTR_TRANSPORTS_MEET_H
#define DTR_TRANSPORTS_MEET_H

#include "common/socket.h"

#include <detransformer/transport.h>
#include <poll.h>
#include <stdatomic.h>

/* Where a device listens, for its whole life. */
struct meet_place {
    int listener; /* -1: nowhere yet */
    struct endpoint here;
    const char *congestion; /* as for socket_congestion(), of all connections */
};

struct meet_peer {
    struct endpoint endpoint;
    char text[64];
    int fd; /* -1: not connected */
};

struct meeting {
    const struct dtr_host *host;
    const char *transport; /* whose section says what can be set */
    const struct meet_place *place;
    const struct dtr_group *group;
    int bell; /* an eventfd that is rung when `aborted` was set */
    const atomic_bool *aborted;
    uint32_t peer_timeout_ms;
    uint64_t deadline_ns;
};

/* Listens at the chosen address unless it does already, and writes the address. */
int meet_listen(const struct dtr_host *host, const struct endpoint_choice *choice,
                struct meet_place *place, char *text, size_t bytes, struct dtr_error *error);
void meet_close(struct meet_place *place);

/* Connects every peer; peer[] is [devices] and of no contents before.  On failure some may be
 * connected; meet_part() ends all. */
int meet(const struct meeting *meeting, struct meet_peer *peer, struct dtr_error *error);
void meet_part(struct meet_peer *peer, uint32_t devices);

/* ppoll() until the deadline; sleeps at most a second at a time, so that a clock that does not run
 * with the machine's does no harm. */
int meet_poll(const struct dtr_host *host, struct pollfd *set, nfds_t count, uint64_t deadline_ns);

/* The eventfd that ends a sleep. */
void meet_ring(int bell);
void meet_bell_clear(int bell);

#endif

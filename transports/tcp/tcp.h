/* SPDX-License-Identifier: MIT
 *
 * tcp.h -- an endpoint of the TCP transport: a listening socket for its whole life, and one
 * connection to each peer from join() to leave().
 */
#ifndef DTR_TCP_TCP_H
#define DTR_TCP_TCP_H

#include "common/exchange.h"
#include "common/socket.h"

#include <poll.h>

struct tcp_params {
    const char *interface, *address;
    int64_t port;
    int64_t peer_timeout_ms;
    int64_t spin_us;
    uint64_t unexpected; /* bytes */
};

struct tcp_peer {
    struct endpoint endpoint;
    char text[64];
    int fd; /* -1: not connected */
};

struct tcp {
    struct exchange exchange; /* first: its operations are ours */
    const struct dtr_host *host;
    const struct tcp_params *params;
    uint32_t threads;

    int bell; /* an eventfd; rung by wake() and abort() */
    int listener;
    struct endpoint here;

    struct tcp_peer *peer; /* [exchange.devices]; NULL: not joined */
    struct pollfd *poll;   /* [exchange.devices + 1], the bell last */
    uint64_t spin_ns;
};

int tcp_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error);
void tcp_leave(void *self);

/* ppoll() until the deadline; sleeps at most a second at a time, so that a clock that does not run
 * with the machine's does no harm. */
int tcp_poll(const struct tcp *tcp, struct pollfd *set, nfds_t count, uint64_t deadline_ns);
void tcp_bell_clear(const struct tcp *tcp);

#endif

/* SPDX-License-Identifier: MIT
 *
 * tcp.h -- an endpoint of the TCP transport: a listening socket for its whole life, and one
 * connection to each peer from join() to leave().
 */
#ifndef DTR_TCP_TCP_H
#define DTR_TCP_TCP_H

#include "common/exchange.h"
#include "common/meet.h"
#include "tcp/arrival.h"

struct tcp_params {
    const char *interface, *address, *congestion;
    int64_t port;
    int64_t peer_timeout_ms;
    int64_t spin_us;
    uint64_t unexpected; /* bytes */
};

struct tcp {
    struct exchange exchange; /* first: its operations are ours */
    const struct dtr_host *host;
    const struct tcp_params *params;

    int bell; /* an eventfd; rung by wake() and abort() */
    struct meet_place place;

    struct meet_peer *peer;  /* [exchange.devices]; NULL: not joined */
    struct arrival *arrival; /* likewise */
    struct pollfd *poll;     /* [exchange.devices + 1], the bell last */
};

#endif

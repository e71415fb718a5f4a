/* SPDX-License-Identifier: MIT
 *
 * port.h -- where the network is slow: each device has one port out and one in.  Both are fluids,
 * computed from the times that segments carry; nothing here knows of sockets, threads or a clock.
 *
 * Out of a port segments go one after the other.  Into a port all peers share the rate fairly:
 * who has nothing waiting takes what arrives, who has takes an equal part of the rest (general
 * processor sharing).  A segment passes while it arrives (cut-through): alone between two ports of
 * one rate it takes its latency and its length over the rate, once.
 */
#ifndef DTR_EMULATED_PORT_H
#define DTR_EMULATED_PORT_H

#include "emulated/trace.h"

/* --- out --- */

struct out_port {
    const struct trace *trace;
    uint64_t free_ns; /* when the last segment has left */
};

struct passage {
    uint64_t begin_ns, end_ns; /* of the arrival at the other port: first byte, last byte */
};

struct passage out_port_send(struct out_port *port, uint64_t now_ns, size_t bytes);

/* --- in --- */

struct in_port;

/* `devices`: peers are numbered below it. */
int in_port_create(const struct dtr_host *host, const struct trace *trace, uint32_t devices,
                   struct in_port **port_p);
void in_port_free(struct in_port *port);

/* A segment is on its way; its peer's earlier ones have been announced.  `ready_p` is set by the
 * advance() that finds it through.  It must stay where it is until then. */
int in_port_add(struct in_port *port, uint32_t peer, const struct passage *passage, size_t bytes,
                uint64_t *ready_p);

/* Computes up to `now_ns`. */
void in_port_advance(struct in_port *port, uint64_t now_ns);

/* When the next segment will be through if nothing else comes; UINT64_MAX: there is none. */
uint64_t in_port_next(struct in_port *port);

#endif

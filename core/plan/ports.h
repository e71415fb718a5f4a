/* SPDX-License-Identifier: MIT
 *
 * ports.h -- the devices' ports on the simulator's clock.  A sender's port lets one message out
 * after the other; a receiver's port is shared fairly between the devices whose messages are coming
 * in, as those of a switch are and as the transport `emulated` shares them.
 */
#ifndef DTR_PLAN_PORTS_H
#define DTR_PLAN_PORTS_H

#include <detransformer/planner.h>
#include <stdbool.h>

struct dtr_ports;

/* `link` [from][to] is borrowed.  NULL: out of memory. */
struct dtr_ports *dtr_ports_create(uint32_t devices, const struct dtr_link *link);
void dtr_ports_free(struct dtr_ports *ports);

/* A message is posted now: it leaves when those before it have left.  Returns when it begins to. */
double dtr_ports_send(struct dtr_ports *ports, uint32_t from, double bytes, double now_s);

/* How long after that it begins to come in. */
double dtr_ports_latency(const struct dtr_ports *ports, uint32_t from, uint32_t to);

/* It begins to come in; `token` is the caller's name for it.  Call advance() first.  DTR_E_MEMORY.
 */
int dtr_ports_enter(struct dtr_ports *ports, uint32_t from, uint32_t to, double bytes,
                    uint32_t token, double now_s);

/* The receiver's port until now; then take() gives the messages that are through, one after the
 * other, and false when there are no more. */
void dtr_ports_advance(struct dtr_ports *ports, uint32_t to, double now_s);
bool dtr_ports_take(struct dtr_ports *ports, uint32_t to, uint32_t *token_p);

/* For how long all that was sent, or all that came in if that is longer, takes at the port's rate.
 */
double dtr_ports_busy_s(const struct dtr_ports *ports, uint32_t device);

/* When something about the receiver's port changes next, if nothing enters before; INFINITY: it is
 * idle. */
double dtr_ports_next(struct dtr_ports *ports, uint32_t to);

#endif

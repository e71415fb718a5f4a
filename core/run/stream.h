/* SPDX-License-Identifier: MIT
 *
 * stream.h -- TCP streams for control channels between machines: addresses as users write them,
 * listening and connecting.
 */
#ifndef DTR_RUN_STREAM_H
#define DTR_RUN_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* "[" an IPv6 address "%" an interface "]:" and a port. */
#define DTR_STREAM_ADDRESS_MAX 96

/* Listens at HOST:PORT ([ADDR]:PORT for IPv6; port 0: any that is free), non-blocking.
 * `only_loopback`: an address that others can reach is refused.  DTR_E_CONFIG, DTR_E_SYSTEM. */
int dtr_stream_listen(const char *address, bool only_loopback, int *fd_p, struct dtr_error *error);

/* Connects to HOST:PORT; blocks up to the deadline.  The error does not repeat the address.
 * DTR_E_CONFIG: it means nothing; DTR_E_PEER: nobody there. */
int dtr_stream_connect(const char *address, uint64_t deadline_ns, int *fd_p,
                       struct dtr_error *error);

/* Sends or receives all the bytes by the deadline.  DTR_E_PEER, DTR_E_TIMEOUT. */
int dtr_stream_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns);
int dtr_stream_receive(int fd, void *out, size_t length, uint64_t deadline_ns);

/* No delays, and an end to a silent peer in seconds. */
void dtr_stream_tune(int fd);

/* Both ends as ADDR:PORT; "" where it is no Internet socket. */
void dtr_stream_here(int fd, char text[DTR_STREAM_ADDRESS_MAX]);
void dtr_stream_there(int fd, char text[DTR_STREAM_ADDRESS_MAX]);

/* The local address alone, as transports take it for a hint. */
void dtr_stream_here_host(int fd, char text[DTR_STREAM_ADDRESS_MAX]);

#endif

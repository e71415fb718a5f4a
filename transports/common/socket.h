/* SPDX-License-Identifier: MIT
 *
 * socket.h -- addresses and sockets: which local address to listen on, how it is written, and how
 * a connection is made ready for messages.
 */
#ifndef DTR_TRANSPORTS_SOCKET_H
#define DTR_TRANSPORTS_SOCKET_H

#include <detransformer/plugin.h>

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
    struct sockaddr_storage address;
    socklen_t length;
};

/* "192.168.0.7:4711" or "[2001:db8::7]:4711"; numbers only, no names are looked up. */
bool endpoint_parse(const char *text, struct endpoint *endpoint_p);
int endpoint_print(const struct endpoint *endpoint, char *text, size_t bytes);
bool endpoint_is_loopback(const struct endpoint *endpoint);
/* An address of an interface, with a port; false for families that are not the Internet's, and for
 * addresses that only mean something on one link. */
bool endpoint_from(const struct sockaddr *address, uint16_t port, struct endpoint *endpoint_p);

/* The interface of this machine whose network the address is of, the narrowest; false: none is. */
bool endpoint_interface(const struct endpoint *endpoint, char name[IF_NAMESIZE]);

/* Where to listen, of what the user and the core know; each may be empty.  An interface comes
 * first, then an address, then the hint, then 127.0.0.1. */
struct endpoint_choice {
    const char *interface, *address, *hint;
    uint16_t port;
};
int endpoint_choose(const struct dtr_host *host, const struct endpoint_choice *choice,
                    struct endpoint *endpoint_p, struct dtr_error *error);

/* The kernel's congestion control of a socket that is not connected yet, or of the connections that
 * a listener accepts.  "" or NULL: the system's, but for BBR, which paces by what was delivered of
 * late: a device that waited for others is taken for a slow line.  An errno. */
int socket_congestion(int fd, const char *name);

/* Non-blocking.  Listens and fills in the port that was chosen; returns an errno. */
int socket_listen(struct endpoint *endpoint, int *fd_p);

/* The same on every address of this machine, at a free port. */
int socket_listen_everywhere(int *fd_p);
uint16_t socket_port(int fd);

/* Starts to connect, from `from` unless it is NULL, with that congestion control; the result comes
 * when the socket is writable.  An errno. */
int socket_connect(const struct endpoint *from, const struct endpoint *to, const char *congestion,
                   int *fd_p);

/* No delays, and an end to a silent peer after `timeout_ms` (0: never). */
void socket_tune(int fd, uint32_t timeout_ms);

/* The error that a connection met, or 0. */
int socket_error(int fd);

/* Closes so that what was sent arrives: what came and was not read must not reset the stream. */
void socket_close(int fd);

#endif

/* SPDX-License-Identifier: MIT */
#include "run/stream.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* --- addresses -------------------------------------------------------------------------------- */

/* HOST:PORT or [ADDR]:PORT. */
static bool split(const char *text, char *host, size_t room, const char **port_p) {
    const char *colon = strrchr(text, ':');
    const bool bracketed = text[0] == '[';
    if (!colon || colon == text || (bracketed && colon[-1] != ']'))
        return false;
    const char *from = bracketed ? text + 1 : text;
    const size_t length = (size_t)(colon - from) - bracketed;
    const size_t digits = strspn(colon + 1, "0123456789");
    if (!length || length >= room || !digits || digits > 5 || colon[1 + digits] ||
        (!bracketed && memchr(from, ':', length)))
        return false;
    memcpy(host, from, length);
    host[length] = '\0';
    *port_p = colon + 1;
    return true;
}

static int resolve(const char *address, int flags, struct addrinfo **list_p,
                   struct dtr_error *error) {
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char host[256];
    const char *port;
    if (!split(address, host, sizeof host, &port) || strtol(port, NULL, 10) > 65535)
        return dtr_fail(error, DTR_E_CONFIG, "'%.100s' is not written ADDR:PORT or [ADDR]:PORT",
                        address);
    const int failed = getaddrinfo(host, port, &wanted, list_p);
    if (failed)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", host, gai_strerror(failed));
    return DTR_OK;
}

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static void print(const struct sockaddr_storage *address, socklen_t length, bool with_port,
                  char text[DTR_STREAM_ADDRESS_MAX]) {
    char host[72], port[8];
    text[0] = '\0';
    if ((address->ss_family != AF_INET && address->ss_family != AF_INET6) ||
        getnameinfo((const struct sockaddr *)address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    /* An IPv4 peer of a socket for both. */
    const char *plain = strncmp(host, "::ffff:", 7) || !strchr(host, '.') ? host : host + 7;
    const bool six = strchr(plain, ':') != NULL;
    if (with_port)
        snprintf(text, DTR_STREAM_ADDRESS_MAX, six ? "[%s]:%s" : "%s:%s", plain, port);
    else
        snprintf(text, DTR_STREAM_ADDRESS_MAX, "%s", plain);
}

static void here(int fd, bool with_port, char text[DTR_STREAM_ADDRESS_MAX]) {
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &length);
    print(&address, length, with_port, text);
}

void dtr_stream_here(int fd, char text[DTR_STREAM_ADDRESS_MAX]) {
    here(fd, true, text);
}

void dtr_stream_here_host(int fd, char text[DTR_STREAM_ADDRESS_MAX]) {
    here(fd, false, text);
}

void dtr_stream_there(int fd, char text[DTR_STREAM_ADDRESS_MAX]) {
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    getpeername(fd, (struct sockaddr *)&address, &length);
    print(&address, length, true, text);
}

/* --- listening and connecting ----------------------------------------------------------------- */

static int listen_at(const struct addrinfo *info, int *fd_p) {
    const int one = 1;
    const int fd =
        socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0) {
        const int cause = errno;
        close(fd);
        return cause;
    }
    *fd_p = fd;
    return 0;
}

int dtr_stream_listen(const char *address, bool only_loopback, int *fd_p, struct dtr_error *error) {
    struct addrinfo *list;
    int status = resolve(address, AI_PASSIVE, &list, error);
    if (status)
        return status;
    if (only_loopback && !is_loopback(list->ai_addr)) {
        status = dtr_fail(error, DTR_E_CONFIG,
                          "others can reach %s, so that listening there needs a key file", address);
    } else {
        const int cause = listen_at(list, fd_p);
        if (cause)
            status =
                dtr_fail(error, DTR_E_SYSTEM, "cannot listen at %s: %s", address, strerror(cause));
    }
    freeaddrinfo(list);
    return status;
}

/* Waits for an event; the deadline is on CLOCK_MONOTONIC.  False: it passed. */
static bool await(int fd, short events, uint64_t deadline_ns) {
    struct pollfd set = {.fd = fd, .events = events};
    for (;;) {
        const uint64_t now = dtr_now_ns();
        if (now >= deadline_ns)
            return false;
        const uint64_t left_ms = (deadline_ns - now) / 1000000 + 1;
        const int got = poll(&set, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
        if (got > 0 || (got < 0 && errno != EINTR))
            return true;
    }
}

static int connect_to(const struct addrinfo *info, uint64_t deadline_ns, int *fd_p) {
    int cause = 0;
    socklen_t length = sizeof cause;
    const int fd =
        socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol);
    if (fd < 0)
        return errno;
    if (connect(fd, info->ai_addr, info->ai_addrlen) < 0)
        cause = errno;
    if (cause == EINPROGRESS && !await(fd, POLLOUT, deadline_ns))
        cause = ETIMEDOUT;
    else if (cause == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) < 0)
        cause = errno;
    if (cause) {
        close(fd);
        return cause;
    }
    *fd_p = fd;
    return 0;
}

int dtr_stream_connect(const char *address, uint64_t deadline_ns, int *fd_p,
                       struct dtr_error *error) {
    struct addrinfo *list;
    const int status = resolve(address, 0, &list, error);
    if (status) {
        dtr_error_prefix(error, "cannot be reached");
        return status;
    }
    int cause = 0;
    for (const struct addrinfo *info = list; info; info = info->ai_next) {
        cause = connect_to(info, deadline_ns, fd_p);
        if (!cause)
            break;
    }
    freeaddrinfo(list);
    return cause ? dtr_fail(error, DTR_E_PEER, "cannot be reached: %s", strerror(cause)) : DTR_OK;
}

/* --- bytes ------------------------------------------------------------------------------------ */

int dtr_stream_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns) {
    const uint8_t *at = bytes;
    while (length) {
        const ssize_t sent = send(fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN && !await(fd, POLLOUT, deadline_ns))
            return DTR_E_TIMEOUT;
        if (sent < 0 && errno != EINTR && errno != EAGAIN)
            return DTR_E_PEER;
        at += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return DTR_OK;
}

int dtr_stream_receive(int fd, void *out, size_t length, uint64_t deadline_ns) {
    uint8_t *at = out;
    while (length) {
        const ssize_t got = recv(fd, at, length, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN && !await(fd, POLLIN, deadline_ns))
            return DTR_E_TIMEOUT;
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return DTR_E_PEER;
        at += got > 0 ? got : 0;
        length -= got > 0 ? (size_t)got : 0;
    }
    return DTR_OK;
}

/* Ten seconds of silence, then five questions. */
void dtr_stream_tune(int fd) {
    const int one = 1, idle_s = 10, questions = 5, timeout_ms = 15000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &questions, sizeof questions);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

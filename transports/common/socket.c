/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- text --- */

static bool host_parse(const char *text, uint16_t port, struct endpoint *endpoint_p) {
    struct endpoint endpoint = {.length = 0};
    struct sockaddr_in *four = (struct sockaddr_in *)&endpoint.address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&endpoint.address;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        endpoint.length = sizeof *four;
    } else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        endpoint.length = sizeof *six;
    } else {
        return false;
    }
    *endpoint_p = endpoint;
    return true;
}

bool endpoint_parse(const char *text, struct endpoint *endpoint_p) {
    char name[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    size_t length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (colon[-1] != ']')
            return false;
        text++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return false;
    }
    char *end;
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (length >= sizeof name || colon[1] < '0' || colon[1] > '9' || *end || !port || port > 65535)
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    return host_parse(name, (uint16_t)port, endpoint_p);
}

static uint16_t port_of(const struct endpoint *endpoint) {
    return ntohs(endpoint->address.ss_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)&endpoint->address)->sin6_port
                     : ((const struct sockaddr_in *)&endpoint->address)->sin_port);
}

static void set_port(struct endpoint *endpoint, uint16_t port) {
    if (endpoint->address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&endpoint->address)->sin_port = htons(port);
}

/* The bare address bytes of either family. */
static const void *bytes_of(const struct endpoint *endpoint, size_t *count_p) {
    if (endpoint->address.ss_family == AF_INET6) {
        *count_p = 16;
        return &((const struct sockaddr_in6 *)&endpoint->address)->sin6_addr;
    }
    *count_p = 4;
    return &((const struct sockaddr_in *)&endpoint->address)->sin_addr;
}

int endpoint_print(const struct endpoint *endpoint, char *text, size_t bytes) {
    char name[INET6_ADDRSTRLEN];
    size_t count;
    const int family = endpoint->address.ss_family;
    inet_ntop(family, bytes_of(endpoint, &count), name, sizeof name);
    const int length =
        snprintf(text, bytes, family == AF_INET6 ? "[%s]:%u" : "%s:%u", name, port_of(endpoint));
    return length < 0 || (size_t)length >= bytes ? ENAMETOOLONG : 0;
}

static bool is_everything(const struct endpoint *endpoint) {
    static const uint8_t none[16];
    size_t count;
    const void *bytes = bytes_of(endpoint, &count);
    return !memcmp(bytes, none, count);
}

static bool is_link_local(const struct endpoint *endpoint) {
    return endpoint->address.ss_family == AF_INET6 &&
           IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)&endpoint->address)->sin6_addr);
}

bool endpoint_is_loopback(const struct endpoint *endpoint) {
    size_t count;
    const uint8_t *bytes = bytes_of(endpoint, &count);
    return count == 4 ? bytes[0] == 127 : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)bytes);
}

/* --- where to listen --- */

bool endpoint_from(const struct sockaddr *address, uint16_t port, struct endpoint *endpoint_p) {
    if (!address || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return false;
    struct endpoint endpoint = {.length = address->sa_family == AF_INET
                                              ? sizeof(struct sockaddr_in)
                                              : sizeof(struct sockaddr_in6)};
    memcpy(&endpoint.address, address, endpoint.length);
    if (is_link_local(&endpoint))
        return false;
    set_port(&endpoint, port);
    *endpoint_p = endpoint;
    return true;
}

/* How many bits of the address are those of the interface's network; -1: it is of another. */
static int bits_shared(const struct ifaddrs *one, const struct endpoint *endpoint) {
    struct endpoint own, mask;
    size_t count, other;
    if (!endpoint_from(one->ifa_addr, 0, &own) || !one->ifa_netmask ||
        own.address.ss_family != endpoint->address.ss_family)
        return -1;
    mask = own;
    memcpy(&mask.address, one->ifa_netmask, own.length);
    mask.address.ss_family = own.address.ss_family;
    const uint8_t *a = bytes_of(&own, &count), *b = bytes_of(endpoint, &other);
    const uint8_t *m = bytes_of(&mask, &count);
    int bits = 0;
    for (size_t i = 0; i < count; i++) {
        if ((a[i] ^ b[i]) & m[i])
            return -1;
        bits += __builtin_popcount(m[i]);
    }
    return bits;
}

bool endpoint_interface(const struct endpoint *endpoint, char name[IF_NAMESIZE]) {
    struct ifaddrs *all;
    int best = -1;
    if (getifaddrs(&all))
        return false;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        const int bits = bits_shared(one, endpoint);
        if (bits <= best)
            continue;
        best = bits;
        snprintf(name, IF_NAMESIZE, "%s", one->ifa_name);
    }
    freeifaddrs(all);
    return best >= 0;
}

/* Every interface once, for the message that says what there is. */
static void list_names(const struct ifaddrs *all, char *names, size_t bytes) {
    size_t used = 0;
    names[0] = '\0';
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        bool seen = false;
        for (const struct ifaddrs *past = all; past != one; past = past->ifa_next)
            seen = seen || !strcmp(past->ifa_name, one->ifa_name);
        const size_t length = strlen(one->ifa_name);
        if (seen || used + length + 2 > bytes)
            continue;
        if (used)
            names[used++] = ' ';
        memcpy(names + used, one->ifa_name, length + 1);
        used += length;
    }
}

/* The interface's address: of the hint's family where it has one, else IPv4 before IPv6. */
static bool interface_address(const struct ifaddrs *all, const char *name, int family,
                              bool *known_p, struct endpoint *best) {
    bool found = false;
    *known_p = false;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        struct endpoint here;
        if (strcmp(one->ifa_name, name))
            continue;
        *known_p = true;
        if (!endpoint_from(one->ifa_addr, 0, &here))
            continue;
        if (!found || (here.address.ss_family == family && best->address.ss_family != family))
            *best = here;
        found = true;
    }
    return found;
}

static int choose_interface(const struct dtr_host *host, const struct endpoint_choice *choice,
                            struct endpoint *endpoint, struct dtr_error *error) {
    struct endpoint hint;
    const int family =
        choice->hint && host_parse(choice->hint, 0, &hint) ? hint.address.ss_family : AF_INET;
    struct ifaddrs *all;
    if (getifaddrs(&all))
        return host->fail(error, DTR_E_SYSTEM, "the network interfaces: %s", strerror(errno));
    char names[300];
    bool known;
    list_names(all, names, sizeof names);
    const bool found = interface_address(all, choice->interface, family, &known, endpoint);
    freeifaddrs(all);
    if (!known)
        return host->fail(error, DTR_E_CONFIG, "there is no interface '%s'; there are: %s",
                          choice->interface, names);
    if (!found)
        return host->fail(error, DTR_E_CONFIG,
                          "the interface '%s' has no address that other devices can use",
                          choice->interface);
    return DTR_OK;
}

int endpoint_choose(const struct dtr_host *host, const struct endpoint_choice *choice,
                    struct endpoint *endpoint_p, struct dtr_error *error) {
    struct endpoint endpoint;
    if (choice->interface[0]) {
        const int status = choose_interface(host, choice, &endpoint, error);
        if (status)
            return status;
    } else {
        const char *text = choice->address[0] ? choice->address
                           : choice->hint     ? choice->hint
                                              : "127.0.0.1";
        if (!host_parse(text, 0, &endpoint))
            return host->fail(error, DTR_E_CONFIG, "'%.80s' is no numeric IP address", text);
        if (is_everything(&endpoint) || is_link_local(&endpoint))
            return host->fail(error, DTR_E_CONFIG,
                              "other devices cannot connect to '%s'; give an address of this "
                              "machine, or an interface",
                              text);
    }
    set_port(&endpoint, choice->port);
    *endpoint_p = endpoint;
    return DTR_OK;
}

/* --- sockets --- */

static int stream_socket(int family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int set_congestion(int fd, const char *name) {
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) ? errno : 0;
}

int socket_congestion(int fd, const char *name) {
    char own[16] = "";
    socklen_t length = sizeof own - 1;
    if (name && name[0])
        return set_congestion(fd, name);
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, own, &length) || strncmp(own, "bbr", 3) != 0)
        return 0;
    /* What an unprivileged process may choose is the administrator's to say, but for reno. */
    if (set_congestion(fd, "cubic"))
        set_congestion(fd, "reno");
    return 0;
}

int socket_listen(struct endpoint *endpoint, int *fd_p) {
    const int one = 1;
    const int fd = stream_socket(endpoint->address.ss_family);
    if (fd < 0)
        return errno;
    struct endpoint bound = *endpoint;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&bound.address, bound.length) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&bound.address, &bound.length)) {
        const int cause = errno;
        close(fd);
        return cause;
    }
    *endpoint = bound;
    *fd_p = fd;
    return 0;
}

int socket_listen_everywhere(int *fd_p) {
    struct endpoint any = {.length = sizeof(struct sockaddr_in6)};
    any.address.ss_family = AF_INET6; /* and IPv4 with it */
    if (!socket_listen(&any, fd_p))
        return 0;
    any = (struct endpoint){.length = sizeof(struct sockaddr_in)};
    any.address.ss_family = AF_INET;
    return socket_listen(&any, fd_p);
}

uint16_t socket_port(int fd) {
    struct endpoint bound = {.length = sizeof bound.address};
    return getsockname(fd, (struct sockaddr *)&bound.address, &bound.length) ? 0 : port_of(&bound);
}

/* Leaves by the address that the device listens on, hence by the chosen interface. */
static int bind_host(int fd, const struct endpoint *from) {
    struct endpoint any = *from;
    set_port(&any, 0);
    return bind(fd, (struct sockaddr *)&any.address, any.length);
}

int socket_connect(const struct endpoint *from, const struct endpoint *to, const char *congestion,
                   int *fd_p) {
    const int fd = stream_socket(to->address.ss_family);
    if (fd < 0)
        return errno;
    socket_congestion(fd, congestion);
    if ((from && from->address.ss_family == to->address.ss_family && bind_host(fd, from)) ||
        (connect(fd, (const struct sockaddr *)&to->address, to->length) && errno != EINPROGRESS)) {
        const int cause = errno;
        close(fd);
        return cause;
    }
    *fd_p = fd;
    return 0;
}

void socket_tune(int fd, uint32_t timeout_ms) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!timeout_ms)
        return;
    /* A quarter of the time of silence, then three questions. */
    const int seconds = timeout_ms < 4000 ? 1 : (int)(timeout_ms / 4000), questions = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &questions, sizeof questions);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

int socket_error(int fd) {
    int cause = 0;
    socklen_t length = sizeof cause;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) ? errno : cause;
}

void socket_close(int fd) {
    char nowhere[4096];
    shutdown(fd, SHUT_WR);
    while (recv(fd, nowhere, sizeof nowhere, MSG_DONTWAIT) > 0)
        ;
    close(fd);
}

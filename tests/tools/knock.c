/* SPDX-License-Identifier: MIT
 *
 * knock.c -- knock HOST PORT COUNT [PER_SECOND]: strangers at a worker's port.  Connects COUNT
 * times, says something random, something that looks like HTTP, or nothing, hangs up or waits to be
 * hung up on, and prints how many bytes it was ever told.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 4096 };

static uint64_t state = 1;

static uint32_t any(uint32_t below) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

static int reach(const char *host, const char *port) {
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    if (getaddrinfo(host, port, &wanted, &list))
        return -1;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) < 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

static void say_something(int fd) {
    static const char get[] = "GET / HTTP/1.1\r\nHost: worker\r\nUser-Agent: knock\r\n\r\n";
    uint8_t noise[ROOM];
    const uint32_t length = any(4) ? any(200) : any(ROOM);
    for (uint32_t i = 0; i < length; i++)
        noise[i] = (uint8_t)any(256);
    if (any(4) == 0)
        send(fd, get, sizeof get - 1, MSG_NOSIGNAL);
    else if (length)
        send(fd, noise, length, MSG_NOSIGNAL);
}

/* Bytes that came before it hung up, or within a moment. */
static unsigned long listen_to(int fd) {
    char heard[ROOM];
    struct pollfd set = {.fd = fd, .events = POLLIN};
    unsigned long bytes = 0;
    while (poll(&set, 1, any(50) ? 2 : 20) > 0) {
        const ssize_t got = recv(fd, heard, sizeof heard, 0);
        if (got <= 0)
            break;
        bytes += (unsigned long)got;
    }
    return bytes;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fputs("usage: knock HOST PORT COUNT [PER_SECOND]\n", stderr);
        return 2;
    }
    const unsigned long count = strtoul(argv[3], NULL, 10);
    const double per_second = argc > 4 ? strtod(argv[4], NULL) : 0;
    unsigned long reached = 0, told = 0;
    for (unsigned long i = 0; i < count; i++) {
        const int fd = reach(argv[1], argv[2]);
        if (fd >= 0) {
            const struct linger reset = {.l_onoff = any(8) == 0};
            reached++;
            if (any(8))
                say_something(fd);
            if (any(4))
                told += listen_to(fd);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(fd);
        }
        if (per_second > 0) {
            const struct timespec moment = {.tv_nsec = (long)(1e9 / per_second) % 1000000000};
            nanosleep(&moment, NULL);
        }
    }
    printf("%lu connections, %lu bytes heard\n", reached, told);
    return reached == count && !told ? 0 : 1;
}

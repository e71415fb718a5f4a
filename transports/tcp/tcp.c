/* SPDX-License-Identifier: MIT
 *
 * tcp -- messages over TCP connections, one to each peer.
 */
#include "config.h"

#include "tcp/tcp.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Messages of up to so much come with their header in one system call; one that is read in parts
 * is acknowledged twice, since the kernel tells at each read how much it has room for. */
#define STAGE 32768u
#define LOOKS 16u /* every so many looks are at all sockets, whatever is awaited */

static const struct dtr_param params[] = {
    {.key = "interface",
     .fallback = "",
     .help = "The network interface to use, such as eth0.",
     .type = DTR_TEXT,
     .offset = offsetof(struct tcp_params, interface)},
    {.key = "address",
     .fallback = "",
     .help = "This device's own address, where no interface is named; by default the one that the "
             "leader is reached by.",
     .type = DTR_TEXT,
     .offset = offsetof(struct tcp_params, address)},
    {.key = "port",
     .fallback = "0",
     .range = "0..65535",
     .help = "The port to listen on; 0: any that is free.",
     .type = DTR_INT,
     .offset = offsetof(struct tcp_params, port)},
    {.key = "peer_timeout_ms",
     .fallback = "10000",
     .unit = "ms",
     .range = "0..3600000",
     .help = "A peer whose machine or network is silent for so long is lost; 0: never.",
     .type = DTR_INT,
     .offset = offsetof(struct tcp_params, peer_timeout_ms)},
    {.key = "congestion",
     .fallback = "",
     .help =
         "The kernel's congestion control, such as cubic; by default the system's, but cubic or "
         "reno for bbr.",
     .type = DTR_TEXT,
     .offset = offsetof(struct tcp_params, congestion)},
    {.key = "spin_us",
     .fallback = "100",
     .unit = "us",
     .range = "0..1000000",
     .help = "How long to look for messages, giving way to others in between, before "
             "sleeping.",
     .type = DTR_INT,
     .offset = offsetof(struct tcp_params, spin_us)},
    {.key = "unexpected",
     .fallback = "64 MiB",
     .range = "4 KiB..",
     .help = "Most memory for messages of one device that came before their receive was posted.",
     .type = DTR_SIZE,
     .offset = offsetof(struct tcp_params, unexpected)},
    {.key = NULL},
};

/* --- streams --- */

static bool again(int cause) {
    return cause == EAGAIN || cause == EWOULDBLOCK || cause == EINTR;
}

static ssize_t broken(const struct tcp *tcp, uint32_t peer, int cause) {
    const struct meet_peer *lost = &tcp->peer[peer];
    if (cause)
        tcp->host->log(tcp->host, DTR_LOG_INFO, "rank %u at %s: %s", peer, lost->text,
                       strerror(cause));
    else
        tcp->host->log(tcp->host, DTR_LOG_DEBUG, "rank %u at %s has closed", peer, lost->text);
    return -1;
}

static ssize_t stream_write(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct tcp *tcp = owner;
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)part,
                                   .msg_iovlen = (size_t)parts};
    const ssize_t sent = sendmsg(tcp->peer[peer].fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return sent;
    if (again(errno))
        return 0;
    arrival_end(&tcp->arrival[peer]); /* what the peer sent before it went is read */
    return broken(tcp, peer, errno);
}

static bool is_left(const struct tcp *tcp, uint32_t peer, uint64_t now_ns) {
    return now_ns < tcp->arrival[peer].look_again_ns;
}

/* What has come of a message is left unread while the rest is on its way. */
static bool leave_unread(struct tcp *tcp, uint32_t peer) {
    const size_t missing = exchange_missing(&tcp->exchange, peer);
    int there = 0;
    if (!missing)
        return false;
    const uint64_t now = tcp->host->now_ns(tcp->host);
    return is_left(tcp, peer, now) ||
           (!ioctl(tcp->peer[peer].fd, FIONREAD, &there) &&
            arrival_goes_on(&tcp->arrival[peer], (size_t)there, missing, now));
}

static ssize_t stream_read(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct tcp *tcp = owner;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)part,
                             .msg_iovlen = (size_t)parts};
    if (leave_unread(tcp, peer))
        return 0;
    const ssize_t got = recvmsg(tcp->peer[peer].fd, &message, MSG_DONTWAIT);
    if (got > 0) {
        arrival_read(&tcp->arrival[peer], tcp->host->now_ns(tcp->host));
        return got;
    }
    if (!got)
        return broken(tcp, peer, 0);
    return again(errno) ? 0 : broken(tcp, peer, errno);
}

static void stream_lost(void *owner, uint32_t peer) {
    struct tcp *tcp = owner;
    socket_close(tcp->peer[peer].fd);
    tcp->peer[peer].fd = -1;
}

static const struct exchange_streams streams = {
    .stage = STAGE, .write = stream_write, .read = stream_read, .lost = stream_lost};

/* --- operations --- */

static void tcp_leave(void *self) {
    struct tcp *tcp = self;
    meet_part(tcp->peer, tcp->exchange.devices);
    tcp->host->release(tcp->host, tcp->peer);
    tcp->host->release(tcp->host, tcp->arrival);
    tcp->host->release(tcp->host, tcp->poll);
    tcp->peer = NULL;
    tcp->arrival = NULL;
    tcp->poll = NULL;
    exchange_end(&tcp->exchange);
}

static int tcp_address(void *self, const char *hint, char *text, size_t bytes,
                       struct dtr_error *error) {
    struct tcp *tcp = self;
    const struct endpoint_choice choice = {.interface = tcp->params->interface,
                                           .address = tcp->params->address,
                                           .hint = hint,
                                           .port = (uint16_t)tcp->params->port};
    return meet_listen(tcp->host, &choice, &tcp->place, text, bytes, error);
}

static int tcp_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                    struct dtr_error *error) {
    struct tcp *tcp = self;
    const struct dtr_host *host = tcp->host;
    const uint32_t devices = group->devices;
    if (tcp->peer || tcp->place.listener < 0)
        return host->fail(error, DTR_E_CONFIG, "join() without address(), or without leave()");
    int status = exchange_begin(&tcp->exchange, devices, group->device);
    if (status)
        return host->fail(error, status, "out of memory");
    tcp->peer = host->allocate(host, 64, devices * sizeof *tcp->peer);
    tcp->arrival = host->allocate(host, 64, devices * sizeof *tcp->arrival);
    tcp->poll = host->allocate(host, 64, (devices + 1) * sizeof *tcp->poll);
    const struct meeting meeting = {.host = host,
                                    .transport = "tcp",
                                    .place = &tcp->place,
                                    .group = group,
                                    .bell = tcp->bell,
                                    .aborted = &tcp->exchange.aborted,
                                    .peer_timeout_ms = (uint32_t)tcp->params->peer_timeout_ms,
                                    .deadline_ns = deadline_ns};
    status = tcp->peer && tcp->arrival && tcp->poll
                 ? meet(&meeting, tcp->peer, error)
                 : host->fail(error, DTR_E_MEMORY, "out of memory");
    if (status) {
        tcp_leave(tcp);
        return status;
    }
    memset(tcp->arrival, 0, devices * sizeof *tcp->arrival);
    tcp->exchange.checked = !endpoint_is_loopback(&tcp->place.here);
    return DTR_OK;
}

/* Sockets are looked at in wait() alone: a look is a system call. */
static int tcp_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    struct tcp *tcp = self;
    return exchange_test(&tcp->exchange, request, bytes_p);
}

/* Waits for what can be moved, but not longer than a peer's bytes are to be left unread.  A peer
 * that is not read from, since it is waited for or has no room for its messages, can still be found
 * lost. */
static int watch(const struct tcp *tcp, uint64_t now_ns, uint64_t deadline_ns) {
    const uint32_t devices = tcp->exchange.devices;
    for (uint32_t i = 0; i < devices; i++) {
        struct pollfd *one = &tcp->poll[i];
        *one = (struct pollfd){.fd = -1};
        if (tcp->peer[i].fd < 0)
            continue;
        one->fd = tcp->peer[i].fd;
        const bool left = is_left(tcp, i, now_ns);
        if (left && tcp->arrival[i].look_again_ns < deadline_ns)
            deadline_ns = tcp->arrival[i].look_again_ns;
        one->events = !left && exchange_has_room(&tcp->exchange, i) ? POLLIN : POLLRDHUP;
        if (exchange_has_writes(&tcp->exchange, i))
            one->events |= POLLOUT;
    }
    tcp->poll[devices] = (struct pollfd){.fd = tcp->bell, .events = POLLIN};
    return meet_poll(tcp->host, tcp->poll, devices + 1, deadline_ns);
}

static void serve(struct tcp *tcp) {
    const uint32_t devices = tcp->exchange.devices;
    if (tcp->poll[devices].revents)
        meet_bell_clear(tcp->bell);
    for (uint32_t i = 0; i < devices; i++) {
        const short events = tcp->poll[i].revents;
        if (events & POLLOUT)
            exchange_write(&tcp->exchange, i);
        if (!(events & ~POLLOUT))
            continue;
        if (events & ~(POLLOUT | POLLIN))
            arrival_end(&tcp->arrival[i]);
        if (exchange_has_room(&tcp->exchange, i))
            exchange_read(&tcp->exchange, i);
        else
            exchange_lose(&tcp->exchange, i);
    }
}

/* The peer that alone has anything to do, by a message that is awaited from it; else `devices`. */
static uint32_t only_source(const struct tcp *tcp) {
    const uint32_t devices = tcp->exchange.devices;
    uint32_t source = devices;
    for (uint32_t i = 0; i < devices; i++) {
        const bool receives = exchange_has_receives(&tcp->exchange, i);
        if (exchange_has_writes(&tcp->exchange, i) || (receives && source < devices))
            return devices;
        if (receives)
            source = i;
    }
    return source;
}

/* Looks without waiting: by one system call where one message is awaited, as in most rounds of most
 * collectives, but for every so many looks, since others may send what nobody awaits. */
static void look(struct tcp *tcp, uint32_t looks, uint64_t now_ns) {
    const uint32_t source = only_source(tcp);
    if (source < tcp->exchange.devices && looks % LOOKS)
        exchange_read(&tcp->exchange, source);
    else if (watch(tcp, now_ns, 0) > 0)
        serve(tcp);
}

static int tcp_wait(void *self, uint64_t deadline_ns) {
    struct tcp *tcp = self;
    const struct dtr_host *host = tcp->host;
    int verdict = exchange_verdict(&tcp->exchange);
    const uint64_t started = host->now_ns(host);
    uint32_t looks = 0;
    for (uint64_t now = started; !verdict; now = host->now_ns(host)) {
        const bool spin = now - started < (uint64_t)tcp->params->spin_us * 1000;
        if (spin)
            look(tcp, ++looks, now);
        else if (watch(tcp, now, deadline_ns) > 0)
            serve(tcp);
        verdict = exchange_verdict(&tcp->exchange);
        if (!verdict && now >= deadline_ns)
            return DTR_E_TIMEOUT;
        /* What is left unread but should soon be whole is looked at again at once. */
        if (!verdict)
            sched_yield();
    }
    return verdict < 0 ? verdict : DTR_OK;
}

static void tcp_wake(void *self) {
    struct tcp *tcp = self;
    exchange_wake(&tcp->exchange);
    meet_ring(tcp->bell);
}

static void tcp_abort(void *self) {
    struct tcp *tcp = self;
    exchange_abort(&tcp->exchange);
    meet_ring(tcp->bell);
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = tcp_address,
    .join = tcp_join,
    .leave = tcp_leave,
    .isend = exchange_isend,
    .irecv = exchange_irecv,
    .test = tcp_test,
    .wait = tcp_wait,
    .cancel = exchange_cancel,
    .wake = tcp_wake,
    .abort = tcp_abort,
    .lost_peer = exchange_lost_peer,
    .counters = exchange_counters,
};

/* --- the plugin --- */

static int tcp_probe(const struct dtr_host *host, struct dtr_error *error) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        host->fail(error, DTR_E_UNSUPPORTED, "no TCP sockets: %s", strerror(errno));
        return 0;
    }
    close(fd);
    return 10;
}

static int tcp_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                    struct dtr_error *error) {
    const struct tcp_params *given = how->params;
    if (given->interface[0] && given->address[0])
        return host->fail(error, DTR_E_CONFIG,
                          "an interface and an address were given; one says it");
    struct tcp *tcp = host->allocate(host, _Alignof(struct tcp), sizeof *tcp);
    if (!tcp)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *tcp = (struct tcp){
        .host = host, .params = given, .place = {.listener = -1, .congestion = given->congestion}};
    tcp->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (tcp->bell < 0) {
        const int status = host->fail(error, DTR_E_SYSTEM, "an event: %s", strerror(errno));
        host->release(host, tcp);
        return status;
    }
    exchange_init(&tcp->exchange, host, &streams, tcp, given->unexpected);
    *self_p = tcp;
    return DTR_OK;
}

static void tcp_close(void *self) {
    struct tcp *tcp = self;
    tcp_leave(tcp);
    exchange_free(&tcp->exchange);
    meet_close(&tcp->place);
    close(tcp->bell);
    tcp->host->release(tcp->host, tcp);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "tcp",
    .version = "1.0",
    .summary = "TCP connections between devices anywhere, authenticated by the group's key",
    .caps = DTR_CAP_SURVIVES_PEER_LOSS | DTR_CAP_REMOTE | DTR_CAP_COLLIDES,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct tcp_params),
    .probe = tcp_probe,
    .open = tcp_open,
    .close = tcp_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

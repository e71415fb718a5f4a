/* SPDX-License-Identifier: MIT
 *
 * join.c -- connects the group: each device calls those below it and answers those above it.  Who
 * calls without being of the group is dropped and nobody else is the worse for it.
 */
#include "config.h"

#include "common/handshake.h"
#include "common/spin.h"
#include "tcp/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STRANGERS 16u                    /* handshakes beyond those that are due        */
#define PATIENCE_NS UINT64_C(3000000000) /* for one handshake                           */
#define RETRY_NS UINT64_C(20000000)      /* before a call is tried again                */

/* What a join needs besides the endpoint. */
struct joining {
    struct tcp *tcp;
    const struct dtr_group *group;
    struct handshake_group common;
    uint64_t deadline_ns;
    struct handshake *call;   /* [devices], those below this device */
    struct handshake *answer; /* [answers] */
    uint32_t answers;
    uint64_t *retry_ns; /* [devices], when to call again */
    int *why;           /* [devices], errno of the last try */
    struct pollfd *set; /* [devices + answers + 2] */
    uint32_t connected;
};

static uint64_t now_of(const struct joining *joining) {
    return joining->tcp->host->now_ns(joining->tcp->host);
}

/* --- connections that come to an end, good or bad --- */

static void hang_up(struct handshake *shake) {
    if (shake->phase != HANDSHAKE_UNUSED && shake->phase != HANDSHAKE_DONE)
        close(shake->fd);
    shake->phase = HANDSHAKE_UNUSED;
}

/* A device that calls again has given up its earlier connection. */
static void connected(struct joining *joining, struct handshake *shake) {
    struct tcp_peer *peer = &joining->tcp->peer[shake->peer];
    if (peer->fd >= 0)
        close(peer->fd);
    else
        joining->connected++;
    peer->fd = shake->fd;
    socket_tune(shake->fd, (uint32_t)joining->tcp->params->peer_timeout_ms);
    shake->phase = HANDSHAKE_UNUSED;
}

static int step_call(struct joining *joining, uint32_t index, struct dtr_error *error) {
    struct handshake *shake = &joining->call[index];
    switch (handshake_step(shake, &joining->common)) {
    case HANDSHAKE_GOES_ON:
        return DTR_OK;
    case HANDSHAKE_READY:
        connected(joining, shake);
        return DTR_OK;
    case HANDSHAKE_STRANGER:
        hang_up(shake);
        return joining->tcp->host->fail(error, DTR_E_PEER,
                                        "device %u at %s does not hold the group's key", index,
                                        joining->tcp->peer[index].text);
    default:
        joining->why[index] = errno ? errno : ECONNRESET;
        joining->retry_ns[index] = now_of(joining) + RETRY_NS;
        hang_up(shake);
        return DTR_OK;
    }
}

static void step_answer(struct joining *joining, struct handshake *shake) {
    const struct dtr_host *host = joining->tcp->host;
    switch (handshake_step(shake, &joining->common)) {
    case HANDSHAKE_GOES_ON:
        break;
    case HANDSHAKE_READY:
        connected(joining, shake);
        break;
    case HANDSHAKE_STRANGER:
        host->log(host, DTR_LOG_WARN, "refused a connection as device %u without the group's key",
                  shake->peer);
        hang_up(shake);
        break;
    default:
        host->log(host, DTR_LOG_DEBUG, "dropped a connection that is not the group's");
        hang_up(shake);
    }
}

/* --- new connections --- */

static void call(struct joining *joining, uint32_t index) {
    const struct tcp *tcp = joining->tcp;
    const uint64_t now = now_of(joining);
    int fd;
    joining->why[index] = socket_connect(&tcp->here, &tcp->peer[index].endpoint, &fd);
    if (joining->why[index]) {
        joining->retry_ns[index] = now + RETRY_NS;
        return;
    }
    if (!handshake_call(&joining->call[index], &joining->common, fd, index, now))
        hang_up(&joining->call[index]);
}

/* A place for a new answer; when strangers have taken all, the oldest gives way. */
static struct handshake *answer_slot(struct joining *joining) {
    struct handshake *oldest = &joining->answer[0];
    for (uint32_t i = 0; i < joining->answers; i++) {
        struct handshake *shake = &joining->answer[i];
        if (shake->phase == HANDSHAKE_UNUSED)
            return shake;
        if (shake->started_ns < oldest->started_ns)
            oldest = shake;
    }
    hang_up(oldest);
    return oldest;
}

static void accept_some(struct joining *joining) {
    for (uint32_t i = 0; i < joining->answers; i++) {
        const int fd = accept4(joining->tcp->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct handshake *shake = answer_slot(joining);
        if (handshake_answer(shake, fd, now_of(joining)))
            step_answer(joining, shake);
        else
            hang_up(shake);
    }
}

static void drop_silent(struct handshake *shake, uint64_t now_ns) {
    if (shake->phase != HANDSHAKE_UNUSED && now_ns - shake->started_ns > PATIENCE_NS)
        hang_up(shake);
}

static void renew(struct joining *joining) {
    const uint64_t now = now_of(joining);
    for (uint32_t i = 0; i < joining->answers; i++)
        drop_silent(&joining->answer[i], now);
    for (uint32_t i = 0; i < joining->group->device; i++) {
        drop_silent(&joining->call[i], now);
        if (joining->tcp->peer[i].fd < 0 && joining->call[i].phase == HANDSHAKE_UNUSED &&
            now >= joining->retry_ns[i])
            call(joining, i);
    }
}

/* --- the loop --- */

static nfds_t watch(const struct joining *joining) {
    struct pollfd *set = joining->set;
    nfds_t count = 0;
    set[count++] = (struct pollfd){.fd = joining->tcp->bell, .events = POLLIN};
    set[count++] = (struct pollfd){.fd = joining->tcp->listener, .events = POLLIN};
    for (uint32_t i = 0; i < joining->group->devices + joining->answers; i++) {
        const struct handshake *shake = i < joining->group->devices
                                            ? &joining->call[i]
                                            : &joining->answer[i - joining->group->devices];
        const bool used = shake->phase != HANDSHAKE_UNUSED;
        set[count++] = (struct pollfd){.fd = used ? shake->fd : -1,
                                       .events = used ? handshake_events(shake) : (short)0};
    }
    return count;
}

static int serve(struct joining *joining, struct dtr_error *error) {
    const struct pollfd *set = joining->set;
    const uint32_t devices = joining->group->devices;
    if (set[0].revents)
        tcp_bell_clear(joining->tcp);
    for (uint32_t i = 0; i < devices; i++) {
        const int status = set[2 + i].revents ? step_call(joining, i, error) : DTR_OK;
        if (status)
            return status;
    }
    for (uint32_t i = 0; i < joining->answers; i++)
        if (set[2 + devices + i].revents)
            step_answer(joining, &joining->answer[i]);
    if (set[1].revents)
        accept_some(joining);
    return DTR_OK;
}

static int late(const struct joining *joining, struct dtr_error *error) {
    const struct tcp *tcp = joining->tcp;
    for (uint32_t i = 0; i < joining->group->devices; i++)
        if (i != joining->group->device && tcp->peer[i].fd < 0)
            return tcp->host->fail(
                error, DTR_E_TIMEOUT, "device %u at %s %s%s%s", i, tcp->peer[i].text,
                i < joining->group->device ? "was not reached in time" : "did not connect in time",
                joining->why[i] ? ": " : "", joining->why[i] ? strerror(joining->why[i]) : "");
    return DTR_E_TIMEOUT;
}

static int connect_all(struct joining *joining, struct dtr_error *error) {
    const struct tcp *tcp = joining->tcp;
    while (joining->connected + 1 < joining->group->devices) {
        if (exchange_verdict(&joining->tcp->exchange) < 0)
            return tcp->host->fail(error, DTR_E_ABORTED, "joining the group was aborted");
        const uint64_t now = now_of(joining);
        if (now >= joining->deadline_ns)
            return late(joining, error);
        renew(joining);
        const uint64_t soon = now + RETRY_NS;
        const nfds_t count = watch(joining);
        tcp_poll(tcp, joining->set, count,
                 soon < joining->deadline_ns ? soon : joining->deadline_ns);
        const int status = serve(joining, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* --- before and after --- */

/* A group is wholly on this machine's loopback or not at all; without a key it must be. */
static int check_reach(const struct tcp *tcp, const struct dtr_group *group, uint32_t index,
                       struct dtr_error *error) {
    const struct tcp_peer *peer = &tcp->peer[index];
    const bool near = endpoint_is_loopback(&tcp->here);
    if (endpoint_is_loopback(&peer->endpoint) != near)
        return tcp->host->fail(
            error, DTR_E_CONFIG,
            "device %u listens at %s, but this device %s the loopback interface; name the "
            "interface or address to use in [transport.tcp]",
            index, peer->text, near ? "is on" : "is not on");
    if (!near && !group->key)
        return tcp->host->fail(error, DTR_E_CONFIG,
                               "device %u at %s is on another machine; that needs a key ([cluster] "
                               "key_file)",
                               index, peer->text);
    return DTR_OK;
}

static int read_addresses(struct tcp *tcp, const struct dtr_group *group, struct dtr_error *error) {
    uint32_t here = 0;
    for (uint32_t i = 0; i < group->devices; i++) {
        struct tcp_peer *peer = &tcp->peer[i];
        peer->fd = -1;
        if (i == group->device) {
            here++;
            continue;
        }
        if (!endpoint_parse(group->addresses[i], &peer->endpoint))
            return tcp->host->fail(error, DTR_E_CONFIG,
                                   "'%.80s' is no address of the transport 'tcp'",
                                   group->addresses[i]);
        endpoint_print(&peer->endpoint, peer->text, sizeof peer->text);
        here += endpoint_same_host(&peer->endpoint, &tcp->here);
        const int status = check_reach(tcp, group, i, error);
        if (status)
            return status;
    }
    tcp->spin_ns = spin_ns(tcp->params->spin_us, tcp->threads, here);
    return DTR_OK;
}

static int joining_run(struct tcp *tcp, const struct dtr_group *group, uint64_t deadline_ns,
                       struct dtr_error *error) {
    const struct dtr_host *host = tcp->host;
    const uint32_t devices = group->devices, answers = devices + STRANGERS;
    struct joining joining = {.tcp = tcp,
                              .group = group,
                              .common = {.epoch = group->epoch,
                                         .devices = devices,
                                         .device = group->device,
                                         .key = group->key},
                              .deadline_ns = deadline_ns,
                              .answers = answers};
    const size_t shakes = (devices + answers) * sizeof(struct handshake);
    const size_t times = devices * sizeof(uint64_t), whys = devices * sizeof(int);
    const size_t sets = (devices + answers + 2) * sizeof(struct pollfd);
    unsigned char *block = host->allocate(host, 64, shakes + times + whys + sets);
    if (!block)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    memset(block, 0, shakes + times + whys + sets);
    joining.call = (struct handshake *)block;
    joining.answer = joining.call + devices;
    joining.retry_ns = (uint64_t *)(block + shakes);
    joining.why = (int *)(block + shakes + times);
    joining.set = (struct pollfd *)(block + shakes + times + whys);
    const int status = connect_all(&joining, error);
    for (uint32_t i = 0; i < devices + answers; i++)
        hang_up(&joining.call[i]);
    host->release(host, block);
    return status;
}

int tcp_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error) {
    struct tcp *tcp = self;
    const struct dtr_host *host = tcp->host;
    const uint32_t devices = group->devices;
    if (tcp->peer || tcp->listener < 0)
        return host->fail(error, DTR_E_CONFIG, "join() without address(), or without leave()");
    int status = exchange_begin(&tcp->exchange, devices, group->device);
    if (status)
        return host->fail(error, status, "out of memory");
    tcp->peer = host->allocate(host, 64, devices * sizeof *tcp->peer);
    tcp->poll = host->allocate(host, 64, (devices + 1) * sizeof *tcp->poll);
    if (!tcp->peer || !tcp->poll) {
        status = host->fail(error, DTR_E_MEMORY, "out of memory");
        goto fail;
    }
    memset(tcp->peer, 0, devices * sizeof *tcp->peer);
    for (uint32_t i = 0; i < devices; i++)
        tcp->peer[i].fd = -1;
    status = read_addresses(tcp, group, error);
    if (!status)
        status = joining_run(tcp, group, deadline_ns, error);
    if (!status)
        return DTR_OK;
fail:
    tcp_leave(tcp);
    return status;
}

void tcp_leave(void *self) {
    struct tcp *tcp = self;
    for (uint32_t i = 0; tcp->peer && i < tcp->exchange.devices; i++)
        if (tcp->peer[i].fd >= 0)
            socket_close(tcp->peer[i].fd);
    tcp->host->release(tcp->host, tcp->peer);
    tcp->host->release(tcp->host, tcp->poll);
    tcp->peer = NULL;
    tcp->poll = NULL;
    exchange_end(&tcp->exchange);
}

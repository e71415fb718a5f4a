/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/meet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/handshake.h"

#define STRANGERS 16u                    /* handshakes beyond those that are due        */
#define PATIENCE_NS UINT64_C(3000000000) /* for one handshake                           */
#define RETRY_NS UINT64_C(20000000)      /* before a call is tried again                */

/* What a meeting needs besides. */
struct joining {
    const struct meeting *meeting;
    const struct dtr_host *host;
    const struct dtr_group *group;
    struct meet_peer *peer; /* [devices] */
    struct handshake_group common;
    struct handshake *call;   /* [devices], those below this device */
    struct handshake *answer; /* [answers] */
    uint32_t answers;
    uint64_t *retry_ns; /* [devices], when to call again */
    int *why;           /* [devices], errno of the last try */
    struct pollfd *set; /* [devices + answers + 2] */
    uint32_t connected;
};

static uint64_t now_of(const struct joining *joining) {
    return joining->host->now_ns(joining->host);
}

/* --- connections that come to an end, good or bad --- */

static void hang_up(struct handshake *shake) {
    if (shake->phase != HANDSHAKE_UNUSED && shake->phase != HANDSHAKE_DONE)
        close(shake->fd);
    shake->phase = HANDSHAKE_UNUSED;
}

/* A device that calls again has given up its earlier connection. */
static void connected(struct joining *joining, struct handshake *shake) {
    struct meet_peer *peer = &joining->peer[shake->peer];
    if (peer->fd >= 0)
        close(peer->fd);
    else
        joining->connected++;
    peer->fd = shake->fd;
    socket_tune(shake->fd, joining->meeting->peer_timeout_ms);
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
        return joining->host->fail(error, DTR_E_PEER, "rank %u at %s does not hold the group's key",
                                   index, joining->peer[index].text);
    default:
        joining->why[index] = errno ? errno : ECONNRESET;
        joining->retry_ns[index] = now_of(joining) + RETRY_NS;
        hang_up(shake);
        return DTR_OK;
    }
}

static void step_answer(struct joining *joining, struct handshake *shake) {
    const struct dtr_host *host = joining->host;
    switch (handshake_step(shake, &joining->common)) {
    case HANDSHAKE_GOES_ON:
        break;
    case HANDSHAKE_READY:
        connected(joining, shake);
        break;
    case HANDSHAKE_STRANGER:
        host->log(host, DTR_LOG_WARN, "refused a connection as rank %u without the group's key",
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
    const uint64_t now = now_of(joining);
    int fd;
    joining->why[index] =
        socket_connect(&joining->meeting->place->here, &joining->peer[index].endpoint,
                       joining->meeting->place->congestion, &fd);
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
        const int fd =
            accept4(joining->meeting->place->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
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
        if (joining->peer[i].fd < 0 && joining->call[i].phase == HANDSHAKE_UNUSED &&
            now >= joining->retry_ns[i])
            call(joining, i);
    }
}

/* --- the loop --- */

static nfds_t watch(const struct joining *joining) {
    struct pollfd *set = joining->set;
    nfds_t count = 0;
    set[count++] = (struct pollfd){.fd = joining->meeting->bell, .events = POLLIN};
    set[count++] = (struct pollfd){.fd = joining->meeting->place->listener, .events = POLLIN};
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
        meet_bell_clear(joining->meeting->bell);
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

/* The usual mistake: the two have chosen different networks of those they share. */
static void find_mistake(const struct joining *joining, uint32_t index, char *text, size_t bytes) {
    char own[IF_NAMESIZE], other[IF_NAMESIZE];
    text[0] = '\0';
    if (endpoint_interface(&joining->meeting->place->here, own) &&
        endpoint_interface(&joining->peer[index].endpoint, other) && strcmp(own, other))
        snprintf(text, bytes,
                 "; that is on the network of '%s', this device uses '%s': name the interface in "
                 "[transport.%s]",
                 other, own, joining->meeting->transport);
}

static int late(const struct joining *joining, struct dtr_error *error) {
    char mistake[200];
    uint32_t i = 0;
    while (i == joining->group->device || joining->peer[i].fd >= 0)
        i++;
    find_mistake(joining, i, mistake, sizeof mistake);
    return joining->host->fail(
        error, DTR_E_TIMEOUT, "rank %u at %s %s%s%s%s", i, joining->peer[i].text,
        i < joining->group->device ? "was not reached in time" : "did not connect in time",
        joining->why[i] ? ": " : "", joining->why[i] ? strerror(joining->why[i]) : "", mistake);
}

static int connect_all(struct joining *joining, struct dtr_error *error) {
    const struct meeting *meeting = joining->meeting;
    while (joining->connected + 1 < joining->group->devices) {
        if (atomic_load(meeting->aborted))
            return joining->host->fail(error, DTR_E_ABORTED, "joining the group was aborted");
        const uint64_t now = now_of(joining);
        if (now >= meeting->deadline_ns)
            return late(joining, error);
        renew(joining);
        const uint64_t soon = now + RETRY_NS;
        const nfds_t count = watch(joining);
        meet_poll(joining->host, joining->set, count,
                  soon < meeting->deadline_ns ? soon : meeting->deadline_ns);
        const int status = serve(joining, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static int run(const struct meeting *meeting, struct meet_peer *peer, struct dtr_error *error) {
    const struct dtr_host *host = meeting->host;
    const struct dtr_group *group = meeting->group;
    const uint32_t devices = group->devices, answers = devices + STRANGERS;
    struct joining joining = {.meeting = meeting,
                              .host = host,
                              .group = group,
                              .peer = peer,
                              .common = {.epoch = group->epoch,
                                         .devices = devices,
                                         .device = group->device,
                                         .key = group->key},
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

/* --- before and after --- */

/* A group is wholly on this machine's loopback or not at all; without a key it must be. */
static int check_reach(const struct meeting *meeting, const struct meet_peer *peer, uint32_t index,
                       struct dtr_error *error) {
    const struct dtr_host *host = meeting->host;
    const bool near = endpoint_is_loopback(&meeting->place->here);
    if (endpoint_is_loopback(&peer->endpoint) != near)
        return host->fail(
            error, DTR_E_CONFIG,
            "rank %u listens at %s, but this device %s the loopback interface; name the "
            "interface or address to use in [transport.%s]",
            index, peer->text, near ? "is on" : "is not on", meeting->transport);
    if (!near && !meeting->group->key)
        return host->fail(error, DTR_E_CONFIG,
                          "rank %u at %s is on another machine; that needs a key ([cluster] "
                          "key_file)",
                          index, peer->text);
    return DTR_OK;
}

static int read_addresses(const struct meeting *meeting, struct meet_peer *peer,
                          struct dtr_error *error) {
    const struct dtr_group *group = meeting->group;
    for (uint32_t i = 0; i < group->devices; i++) {
        if (i == group->device)
            continue;
        if (!endpoint_parse(group->addresses[i], &peer[i].endpoint))
            return meeting->host->fail(error, DTR_E_CONFIG,
                                       "'%.80s' is no address of the transport '%s'",
                                       group->addresses[i], meeting->transport);
        endpoint_print(&peer[i].endpoint, peer[i].text, sizeof peer[i].text);
        const int status = check_reach(meeting, &peer[i], i, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

int meet(const struct meeting *meeting, struct meet_peer *peer, struct dtr_error *error) {
    for (uint32_t i = 0; i < meeting->group->devices; i++)
        peer[i] = (struct meet_peer){.fd = -1};
    const int status = read_addresses(meeting, peer, error);
    return status ? status : run(meeting, peer, error);
}

void meet_part(struct meet_peer *peer, uint32_t devices) {
    for (uint32_t i = 0; peer && i < devices; i++) {
        if (peer[i].fd >= 0)
            socket_close(peer[i].fd);
        peer[i].fd = -1;
    }
}

int meet_listen(const struct dtr_host *host, const struct endpoint_choice *choice,
                struct meet_place *place, char *text, size_t bytes, struct dtr_error *error) {
    if (place->listener < 0) {
        struct endpoint here;
        const int status = endpoint_choose(host, choice, &here, error);
        if (status)
            return status;
        const int cause = socket_listen(&here, &place->listener);
        if (cause) {
            char name[64];
            endpoint_print(&here, name, sizeof name);
            return host->fail(error, DTR_E_SYSTEM, "cannot listen at %s: %s", name,
                              strerror(cause));
        }
        place->here = here;
        const int refused = socket_congestion(place->listener, place->congestion);
        if (refused) {
            meet_close(place);
            return host->fail(error, DTR_E_CONFIG,
                              "the kernel does not let us have the congestion control '%.40s': %s",
                              place->congestion, strerror(refused));
        }
    }
    if (endpoint_print(&place->here, text, bytes))
        return host->fail(error, DTR_E_CONFIG, "no room for an address in %zu bytes", bytes);
    return DTR_OK;
}

void meet_close(struct meet_place *place) {
    if (place->listener >= 0)
        close(place->listener);
    place->listener = -1;
}

/* --- sleeping --- */

int meet_poll(const struct dtr_host *host, struct pollfd *set, nfds_t count, uint64_t deadline_ns) {
    const uint64_t now = host->now_ns(host), most = 1000000000;
    uint64_t left = now < deadline_ns ? deadline_ns - now : 0;
    if (left > most)
        left = most;
    const struct timespec time = {.tv_sec = (time_t)(left / 1000000000),
                                  .tv_nsec = (long)(left % 1000000000)};
    return ppoll(set, count, &time, NULL);
}

void meet_ring(int bell) {
    const uint64_t one = 1;
    const ssize_t sent = write(bell, &one, sizeof one);
    (void)sent;
}

void meet_bell_clear(int bell) {
    uint64_t rung;
    const ssize_t got = read(bell, &rung, sizeof rung);
    (void)got;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/relay.h"

#include <string.h>

#define FLUSH_NS UINT64_C(1000000000) /* for what is under way at leave() */

void relay_init(struct relay *relay, const struct dtr_host *host, const struct dtr_instance *below,
                const struct relay_hooks *hooks, void *owner, size_t unexpected) {
    *relay = (struct relay){.host = host,
                            .below = below->plugin->ops,
                            .below_self = below->self,
                            .hooks = hooks,
                            .owner = owner,
                            .usual = 16,
                            .waiting_ns = SEGMENT_NOT_YET};
    exchange_init(&relay->exchange, host, &relay_streams, relay, unexpected);
}

void relay_free(struct relay *relay) {
    relay_leave(relay);
    exchange_free(&relay->exchange);
    relay_release(relay);
}

int relay_address(void *self, const char *hint, char *text, size_t bytes, struct dtr_error *error) {
    const struct relay *relay = self;
    return relay->below->address(relay->below_self, hint, text, bytes, error);
}

int relay_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
               struct dtr_error *error) {
    struct relay *relay = self;
    const struct dtr_host *host = relay->host;
    int status = relay->below->join(relay->below_self, group, deadline_ns, error);
    if (status) {
        exchange_end(&relay->exchange);
        return status;
    }
    status = exchange_begin(&relay->exchange, group->devices, group->device);
    if (!status)
        status = relay_begin(relay, group->devices);
    if (!status)
        return DTR_OK;
    relay_end(relay);
    exchange_end(&relay->exchange);
    relay->below->leave(relay->below_self);
    return host->fail(error, status, "no memory for what is under way between %u devices",
                      group->devices);
}

/* Every stream moves; what has come may be read from `relay->now_ns` on. */
static void move(struct relay *relay) {
    struct exchange *exchange = &relay->exchange;
    if (atomic_load(&exchange->aborted))
        return;
    relay_collect(relay);
    relay->now_ns = relay->host->now_ns(relay->host);
    if (relay->hooks->advance)
        relay->hooks->advance(relay->owner, relay->now_ns);
    for (uint32_t i = 0; i < exchange->devices; i++) {
        if (i == exchange->device)
            continue;
        exchange_write(exchange, i);
        exchange_read(exchange, i);
        const struct relay_peer *peer = &relay->peer[i];
        const bool all = !peer->in.first && !peer->posted.first;
        if (peer->ended && (all || !exchange_has_room(exchange, i)))
            exchange_lose(exchange, i);
    }
}

void relay_leave(void *self) {
    struct relay *relay = self;
    if (!relay->peer)
        return;
    const struct dtr_host *host = relay->host;
    const uint64_t end = host->now_ns(host) + FLUSH_NS;
    while (!atomic_load(&relay->exchange.aborted) && relay_has_out(relay) &&
           host->now_ns(host) < end) {
        const int status = relay->below->wait(relay->below_self, end);
        relay_collect(relay);
        if (status && status != DTR_E_TIMEOUT)
            break;
    }
    relay_end(relay);
    relay->below->leave(relay->below_self);
    exchange_end(&relay->exchange);
}

int relay_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    struct relay *relay = self;
    if (!request->done)
        move(relay);
    return exchange_test(&relay->exchange, request, bytes_p);
}

static int wait_until(struct relay *relay, uint64_t deadline_ns) {
    for (;;) {
        move(relay);
        const int verdict = exchange_verdict(&relay->exchange);
        if (verdict)
            return verdict < 0 ? verdict : DTR_OK;
        if (relay->now_ns >= deadline_ns)
            return DTR_E_TIMEOUT;
        const uint64_t next = relay->hooks->next(relay->owner);
        const int status =
            relay->below->wait(relay->below_self, next < deadline_ns ? next : deadline_ns);
        if (status && status != DTR_E_TIMEOUT)
            return status;
    }
}

int relay_wait(void *self, uint64_t deadline_ns) {
    struct relay *relay = self;
    relay->waiting_ns = relay->host->now_ns(relay->host);
    const int status = wait_until(relay, deadline_ns);
    relay->waiting_ns = SEGMENT_NOT_YET;
    return status;
}

void relay_wake(void *self) {
    struct relay *relay = self;
    exchange_wake(&relay->exchange);
    relay->below->wake(relay->below_self);
}

void relay_abort(void *self) {
    struct relay *relay = self;
    exchange_abort(&relay->exchange);
    relay->below->abort(relay->below_self);
}

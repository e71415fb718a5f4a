/* SPDX-License-Identifier: MIT
 *
 * rdma -- messages through libfabric: InfiniBand and RoCE, and its providers for everything else.
 */
#include "config.h"

#include "rdma/memory.h"

#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DOZE_LEAST_NS UINT64_C(5000)
#define DOZE_MOST_NS UINT64_C(200000)
#define SLEEP_MOST_NS UINT64_C(5000000) /* some providers move only when they are asked */
#define LOOK_NS UINT64_C(20000000)      /* between two looks at the peers' connections */

static const struct dtr_param params[] = {
    {.key = "provider",
     .fallback = "",
     .help = "The provider of libfabric's to use, such as verbs;ofi_rxm; empty: that, else "
             "tcp;ofi_rxm.",
     .type = DTR_TEXT,
     .offset = offsetof(struct rdma_params, provider)},
    {.key = "interface",
     .fallback = "",
     .help = "The network interface to use, such as ib0.",
     .type = DTR_TEXT,
     .offset = offsetof(struct rdma_params, interface)},
    {.key = "address",
     .fallback = "",
     .help = "This device's own address, where no interface is named; by default the one that the "
             "leader is reached by.",
     .type = DTR_TEXT,
     .offset = offsetof(struct rdma_params, address)},
    {.key = "port",
     .fallback = "0",
     .range = "0..65535",
     .help = "The TCP port at which the group forms; 0: any that is free.",
     .type = DTR_INT,
     .offset = offsetof(struct rdma_params, port)},
    {.key = "peer_timeout_ms",
     .fallback = "10000",
     .unit = "ms",
     .range = "0..3600000",
     .help = "A peer whose machine or network is silent for so long is lost; 0: never.",
     .type = DTR_INT,
     .offset = offsetof(struct rdma_params, peer_timeout_ms)},
    {.key = "spin_us",
     .fallback = "100",
     .unit = "us",
     .range = "0..1000000",
     .help = "How long to look for messages, giving way to others in between, before "
             "sleeping.",
     .type = DTR_INT,
     .offset = offsetof(struct rdma_params, spin_us)},
    {.key = "unexpected",
     .fallback = "64 MiB",
     .range = "64 KiB..",
     .help = "Most memory for small messages of one device that came before their receive was "
             "posted.",
     .type = DTR_SIZE,
     .offset = offsetof(struct rdma_params, unexpected)},
    {.key = NULL},
};

/* --- operations --- */

static int choose_provider(struct rdma *rdma, struct dtr_error *error) {
    char source[64];
    if (rdma->fabric.info)
        return DTR_OK;
    const int code =
        getnameinfo((const struct sockaddr *)&rdma->place.here.address, rdma->place.here.length,
                    source, sizeof source, NULL, 0, NI_NUMERICHOST);
    if (code)
        return rdma->host->fail(error, DTR_E_SYSTEM, "%s", gai_strerror(code));
    return fabric_choose(&rdma->fabric, rdma->host, rdma->params->provider, source, error);
}

static int rdma_address(void *self, const char *hint, char *text, size_t bytes,
                        struct dtr_error *error) {
    struct rdma *rdma = self;
    const struct endpoint_choice choice = {.interface = rdma->params->interface,
                                           .address = rdma->params->address,
                                           .hint = hint,
                                           .port = (uint16_t)rdma->params->port};
    const int status = meet_listen(rdma->host, &choice, &rdma->place, text, bytes, error);
    return status ? status : choose_provider(rdma, error);
}

/* After abort() buffers are their owners': nobody may be at them any more. */
static bool is_aborted(struct rdma *rdma) {
    if (!atomic_load_explicit(&rdma->aborted, memory_order_relaxed))
        return false;
    fabric_hang_up(&rdma->fabric);
    return true;
}

static int check(struct rdma *rdma, uint32_t peer) {
    if (is_aborted(rdma))
        return DTR_E_ABORTED;
    return peer >= rdma->devices || peer == rdma->device ? DTR_E_CONFIG : DTR_OK;
}

static int rdma_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                      struct dtr_transfer **transfer_p) {
    const int status = check(self, peer);
    return status ? status : rdma_send(self, peer, tag, buffer, bytes, transfer_p);
}

static int rdma_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                      struct dtr_transfer **transfer_p) {
    const int status = check(self, peer);
    return status ? status : rdma_receive(self, peer, tag, buffer, bytes, transfer_p);
}

static void cancel(void *self, struct dtr_transfer *transfer) {
    rdma_cancel(self, transfer);
}

static int rdma_test(void *self, struct dtr_transfer *transfer, size_t *bytes_p) {
    struct rdma *rdma = self;
    const bool aborted = !transfer->done && is_aborted(rdma);
    if (!transfer->done && !aborted)
        rdma_progress(rdma);
    if (!transfer->done) {
        if (!aborted)
            return 0;
        rdma_cancel(rdma, transfer);
        return DTR_E_ABORTED;
    }
    const int status = transfer->status;
    if (!status && bytes_p)
        *bytes_p = transfer->length;
    rdma_transfer_free(rdma, transfer);
    return status ? status : 1;
}

static int verdict(struct rdma *rdma) {
    if (is_aborted(rdma))
        return DTR_E_ABORTED;
    const bool some = atomic_exchange(&rdma->woken, false) || rdma->changed;
    rdma->changed = false;
    return some;
}

/* A connection that can be read has ended, with a word or without: nothing else is ever sent. */
static void look_at_lines(struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (rdma->poll[i].fd >= 0 && rdma->poll[i].revents && !rdma->peer[i].lost) {
            rdma->host->log(rdma->host, DTR_LOG_DEBUG, "rank %u at %s has ended", i,
                            rdma->line[i].text);
            char word;
            const bool said = recv(rdma->line[i].fd, &word, 1, MSG_DONTWAIT) == 1;
            rdma_lose(rdma, i, said);
        }
}

static void watch(struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        rdma->poll[i] = (struct pollfd){.fd = rdma->line[i].fd, .events = POLLIN | POLLRDHUP};
    rdma->poll[rdma->devices] = (struct pollfd){.fd = rdma->bell, .events = POLLIN};
    rdma->poll[rdma->devices + 1] = (struct pollfd){.fd = rdma->fabric.fd, .events = POLLIN};
}

/* Sleeps until there may be news, or `ns` are over. */
static void doze(struct rdma *rdma, uint64_t ns) {
    struct fid *queue = rdma->fabric.cq ? &rdma->fabric.cq->fid : NULL;
    watch(rdma);
    if (ns && rdma->fabric.fd >= 0 && fi_trywait(rdma->fabric.fabric, &queue, 1))
        ns = 0;
    const uint64_t now = rdma->host->now_ns(rdma->host);
    if (meet_poll(rdma->host, rdma->poll, rdma->devices + 2, now + ns) > 0) {
        if (rdma->poll[rdma->devices].revents)
            meet_bell_clear(rdma->bell);
        look_at_lines(rdma);
    }
    rdma->looked_ns = now;
}

/* Where the provider can wake a sleeper it may sleep long. */
static uint64_t most_of(const struct rdma *rdma) {
    return rdma->fabric.fd >= 0 && !rdma_has_queued(rdma) ? SLEEP_MOST_NS : DOZE_MOST_NS;
}

static int rdma_wait(void *self, uint64_t deadline_ns) {
    struct rdma *rdma = self;
    const struct dtr_host *host = rdma->host;
    const uint64_t started = host->now_ns(host);
    uint64_t pause = DOZE_LEAST_NS;
    for (;;) {
        int now_is = verdict(rdma);
        if (!now_is) {
            rdma_progress(rdma);
            now_is = verdict(rdma);
        }
        if (now_is)
            return now_is < 0 ? now_is : DTR_OK;
        const uint64_t now = host->now_ns(host);
        const bool late = now >= deadline_ns;
        if (late || now - started < (uint64_t)rdma->params->spin_us * 1000) {
            if (now - rdma->looked_ns >= LOOK_NS)
                doze(rdma, 0);
            if (late)
                return rdma->changed ? DTR_OK : DTR_E_TIMEOUT;
            sched_yield();
            continue;
        }
        const uint64_t left = deadline_ns - now;
        if (rdma->fabric.fd >= 0)
            pause = most_of(rdma);
        doze(rdma, pause < left ? pause : left);
        pause = pause < DOZE_MOST_NS ? pause * 2 : pause;
    }
}

static void rdma_wake(void *self) {
    struct rdma *rdma = self;
    atomic_store(&rdma->woken, true);
    meet_ring(rdma->bell);
}

static void rdma_abort(void *self) {
    struct rdma *rdma = self;
    atomic_store(&rdma->aborted, true);
    meet_ring(rdma->bell);
}

static int rdma_lost_peer(void *self) {
    const struct rdma *rdma = self;
    return rdma->lost_peer;
}

static void rdma_counters(void *self, uint32_t peer, uint64_t *sent_p, uint64_t *received_p) {
    const struct rdma *rdma = self;
    uint64_t sent = 0, received = 0;
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (peer == UINT32_MAX || peer == i) {
            sent += rdma->peer[i].sent;
            received += rdma->peer[i].received;
        }
    *sent_p = sent;
    *received_p = received;
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = rdma_address,
    .join = rdma_join,
    .leave = rdma_leave,
    .isend = rdma_isend,
    .irecv = rdma_irecv,
    .test = rdma_test,
    .wait = rdma_wait,
    .cancel = cancel,
    .wake = rdma_wake,
    .abort = rdma_abort,
    .lost_peer = rdma_lost_peer,
    .counters = rdma_counters,
};

/* --- the plugin --- */

static int rdma_probe(const struct dtr_host *host, struct dtr_error *error) {
    struct fabric_library library;
    return fabric_library_open(host, &library, error) ? 0 : 5;
}

static int rdma_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                     struct dtr_error *error) {
    const struct rdma_params *given = how->params;
    if (given->interface[0] && given->address[0])
        return host->fail(error, DTR_E_CONFIG,
                          "an interface and an address were given; one says it");
    struct rdma *rdma = host->allocate(host, _Alignof(struct rdma), sizeof *rdma);
    if (!rdma)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *rdma = (struct rdma){.host = host,
                          .params = given,
                          .place = {.listener = -1},
                          .fabric = {.host = host, .fd = -1},
                          .lost_peer = -1};
    rdma->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rdma->bell < 0) {
        const int status = host->fail(error, DTR_E_SYSTEM, "an event: %s", strerror(errno));
        host->release(host, rdma);
        return status;
    }
    *self_p = rdma;
    return DTR_OK;
}

static void rdma_close(void *self) {
    struct rdma *rdma = self;
    rdma_leave(rdma);
    memory_free(rdma);
    fabric_free(&rdma->fabric);
    meet_close(&rdma->place);
    close(rdma->bell);
    rdma->host->release(rdma->host, rdma);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "rdma",
    .version = "1.0",
    .summary = "one-sided writes through libfabric: InfiniBand, RoCE, and its software providers",
    .caps = DTR_CAP_SURVIVES_PEER_LOSS | DTR_CAP_REMOTE,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct rdma_params),
    .probe = rdma_probe,
    .open = rdma_open,
    .close = rdma_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

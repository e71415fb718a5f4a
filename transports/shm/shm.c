/* SPDX-License-Identifier: MIT
 *
 * shm -- messages between processes of one machine through rings in shared memory.
 */
#include "config.h"

#include "shm/shm.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK_NS UINT64_C(100000000) /* between two looks at the peers' processes */
#define YIELD_NS 4000u              /* more than most messages take, less than changing twice */

/* A small message is read in one piece with its header; of a large one little is copied twice. */
#define STAGE 1024u

static const struct dtr_param params[] = {
    {.key = "ring",
     .fallback = "1 MiB",
     .range = "4 KiB..1 GiB",
     .help = "Shared memory for what is under way from one device to another.",
     .type = DTR_SIZE,
     .offset = offsetof(struct shm_params, ring)},
    {.key = "unexpected",
     .fallback = "64 MiB",
     .range = "4 KiB..",
     .help = "Most memory for messages of one device that came before their receive was posted.",
     .type = DTR_SIZE,
     .offset = offsetof(struct shm_params, unexpected)},
    {.key = "spin_us",
     .fallback = "100",
     .unit = "us",
     .range = "0..1000000",
     .help = "How long to look for messages, giving way to others in between, before "
             "sleeping.",
     .type = DTR_INT,
     .offset = offsetof(struct shm_params, spin_us)},
    {.key = NULL},
};

/* --- streams --- */

static ssize_t stream_write(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct shm *shm = owner;
    return ring_write(&shm->peer[peer].out, part, parts);
}

static ssize_t stream_read(void *owner, uint32_t peer, const struct iovec *part, int parts) {
    struct shm *shm = owner;
    return ring_read(&shm->peer[peer].in, part, parts);
}

static void stream_lost(void *owner, uint32_t peer) {
    struct shm *shm = owner;
    shm_part(&shm->peer[peer]);
}

static const struct exchange_streams streams = {
    .stage = STAGE, .write = stream_write, .read = stream_read, .lost = stream_lost};

/* --- operations --- */

static int shm_address(void *self, const char *hint, char *text, size_t bytes,
                       struct dtr_error *error) {
    (void)hint;
    struct shm *shm = self;
    if (!shm->directory) {
        const int cause = directory_create(shm->cookie, &shm->directory_fd, &shm->directory);
        if (cause) {
            shm->directory_fd = -1;
            return shm->host->fail(error, DTR_E_SYSTEM, "shared memory: %s", strerror(cause));
        }
    }
    struct shm_address address = {.pid = getpid(), .fd = shm->directory_fd};
    memcpy(address.cookie, shm->cookie, COOKIE_BYTES);
    if (shm_address_print(&address, text, bytes))
        return shm->host->fail(error, DTR_E_CONFIG, "no room for an address in %zu bytes", bytes);
    return DTR_OK;
}

static void progress(struct shm *shm, uint32_t peer) {
    if (peer == shm->head.device || exchange_is_lost(&shm->exchange, peer))
        return;
    exchange_write(&shm->exchange, peer);
    exchange_read(&shm->exchange, peer);
}

static int shm_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    struct shm *shm = self;
    if (!request->done)
        progress(shm, request->peer);
    return exchange_test(&shm->exchange, request, bytes_p);
}

/* What a peer wrote before it went is still read. */
static void lose(struct shm *shm, uint32_t peer) {
    exchange_read(&shm->exchange, peer);
    exchange_lose(&shm->exchange, peer);
}

static void look_for_leavers(struct shm *shm) {
    for (uint32_t i = 0; i < shm->head.devices; i++) {
        if (i == shm->head.device || exchange_is_lost(&shm->exchange, i) ||
            !atomic_load(&shm->peer[i].lane->left))
            continue;
        shm->host->log(shm->host, DTR_LOG_DEBUG, "rank %u has left", i);
        lose(shm, i);
    }
}

static void look_for_orphans(struct shm *shm, uint64_t now) {
    if (now - shm->looked_ns < LOOK_NS)
        return;
    shm->looked_ns = now;
    for (uint32_t i = 0; i < shm->head.devices; i++) {
        const struct shm_peer *peer = &shm->peer[i];
        if (i == shm->head.device || exchange_is_lost(&shm->exchange, i) ||
            !directory_is_orphan(peer->directory_fd))
            continue;
        shm->host->log(shm->host, DTR_LOG_INFO, "rank %u (process %d) has ended", i,
                       (int)peer->address.pid);
        lose(shm, i);
    }
}

/* Moves what can be moved; not 0 when the caller of wait() has something to see. */
static int look(struct shm *shm) {
    for (uint32_t i = 0; i < shm->head.devices; i++)
        progress(shm, i);
    look_for_leavers(shm);
    return exchange_verdict(&shm->exchange);
}

static void set_away(struct shm *shm, uint32_t away) {
    atomic_store_explicit(&shm->directory->away, away, memory_order_relaxed);
}

static int sleep_unless_news(struct shm *shm, uint64_t ns) {
    struct bell *bell = &shm->directory->bell;
    const uint32_t seen = bell_lie_down(bell);
    const int verdict = look(shm);
    if (!verdict) {
        set_away(shm, 1);
        bell_sleep(bell, seen, ns);
        set_away(shm, 0);
    }
    bell_get_up(bell);
    return verdict;
}

static bool awaits_one_away(const struct shm *shm) {
    for (uint32_t i = 0; i < shm->head.devices; i++)
        if (i != shm->head.device &&
            (exchange_has_receives(&shm->exchange, i) || exchange_has_writes(&shm->exchange, i)) &&
            atomic_load_explicit(&shm->peer[i].directory->away, memory_order_relaxed))
            return true;
    return false;
}

/* Nothing comes from a device that has left its core before it is back, perhaps to this one; one
 * that runs has mostly answered before this device would be back. */
static void give_way(struct shm *shm, uint64_t now, uint64_t *gave_way_ns) {
    if (now - *gave_way_ns < YIELD_NS && !awaits_one_away(shm))
        return;
    set_away(shm, 1);
    sched_yield();
    set_away(shm, 0);
    *gave_way_ns = shm->host->now_ns(shm->host);
}

static int shm_wait(void *self, uint64_t deadline_ns) {
    struct shm *shm = self;
    const struct dtr_host *host = shm->host;
    uint64_t started = 0, gave_way = 0;
    int verdict;
    while (!(verdict = look(shm))) {
        const uint64_t now = host->now_ns(host);
        look_for_orphans(shm, now);
        if (now >= deadline_ns) {
            verdict = exchange_verdict(&shm->exchange);
            if (!verdict)
                return DTR_E_TIMEOUT;
            break;
        }
        if (!started)
            started = gave_way = now;
        if (now - started < (uint64_t)shm->params->spin_us * 1000) {
            give_way(shm, now, &gave_way);
            continue;
        }
        const uint64_t left = deadline_ns - now;
        verdict = sleep_unless_news(shm, left < LOOK_NS ? left : LOOK_NS);
        if (verdict)
            break;
    }
    return verdict < 0 ? verdict : DTR_OK;
}

static void shm_wake(void *self) {
    struct shm *shm = self;
    exchange_wake(&shm->exchange);
    bell_ring(&shm->directory->bell);
}

static void shm_abort(void *self) {
    struct shm *shm = self;
    exchange_abort(&shm->exchange);
    bell_ring(&shm->directory->bell);
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = shm_address,
    .join = shm_join,
    .leave = shm_leave,
    .isend = exchange_isend,
    .irecv = exchange_irecv,
    .test = shm_test,
    .wait = shm_wait,
    .cancel = exchange_cancel,
    .wake = shm_wake,
    .abort = shm_abort,
    .lost_peer = exchange_lost_peer,
    .counters = exchange_counters,
};

/* --- the plugin --- */

static int shm_probe(const struct dtr_host *host, struct dtr_error *error) {
    uint8_t cookie[COOKIE_BYTES] = {0};
    int fd;
    struct directory *directory;
    const int cause = directory_create(cookie, &fd, &directory);
    if (cause) {
        host->fail(error, DTR_E_UNSUPPORTED, "no shared memory files: %s", strerror(cause));
        return 0;
    }
    directory_unmap(directory);
    close(fd);
    return 20;
}

static int endpoint_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                         struct dtr_error *error) {
    const struct shm_params *given = how->params;
    struct shm *shm = host->allocate(host, _Alignof(struct shm), sizeof *shm);
    if (!shm)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *shm = (struct shm){.host = host, .params = given, .directory_fd = -1, .lanes_fd = -1};
    uint8_t nonce[PROOF_BYTES];
    if (!proof_nonce(nonce)) {
        host->release(host, shm);
        return host->fail(error, DTR_E_SYSTEM, "no random numbers");
    }
    memcpy(shm->cookie, nonce, COOKIE_BYTES);
    exchange_init(&shm->exchange, host, &streams, shm, given->unexpected);
    *self_p = shm;
    return DTR_OK;
}

static void endpoint_close(void *self) {
    struct shm *shm = self;
    shm_leave(shm);
    exchange_free(&shm->exchange);
    directory_unmap(shm->directory);
    if (shm->directory_fd >= 0)
        close(shm->directory_fd);
    shm->host->release(shm->host, shm);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "shm",
    .version = "1.0",
    .summary = "shared memory between the processes of one machine",
    .caps = DTR_CAP_SURVIVES_PEER_LOSS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct shm_params),
    .probe = shm_probe,
    .open = endpoint_open,
    .close = endpoint_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT
 *
 * fault -- breaks another transport on purpose, the same way each time for the same seed: for tests
 * of all that lies over it.
 */
#include "config.h"

#include "common/relay.h"

#include <string.h>

#define MANY 128u                /* segments for each peer where pieces are small */
#define AGAIN_NS UINT64_C(20000) /* until a stream that was cut short goes on */

struct params {
    const char *over;
    int64_t seed;
    int64_t delay_us;
    int64_t piece; /* bytes */
    int32_t reorder;
    int64_t corrupt;
    int64_t cut, cut_after;
    uint64_t unexpected;
};

struct fault_peer {
    uint64_t segments; /* sent and received */
    uint64_t sent;
    uint64_t ready_ns; /* of the last that came: streams keep their order */
};

struct fault {
    struct relay relay; /* first: its operations are ours */
    const struct dtr_host *host;
    const struct params *params;
    uint64_t random;
    bool corrupted, was_cut; /* each happens once */
    struct fault_peer *peer; /* [devices]; NULL: not joined */
};

static const struct dtr_param params[] = {
    {.key = "over",
     .fallback = "shm",
     .help = "The transport that carries the messages.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, over)},
    {.key = "seed",
     .fallback = "1",
     .help = "Other seeds give other faults.",
     .type = DTR_INT,
     .offset = offsetof(struct params, seed)},
    {.key = "delay_us",
     .fallback = "0",
     .unit = "us",
     .range = "0..10000000",
     .help = "What comes is held back for a random time up to this.",
     .type = DTR_INT,
     .offset = offsetof(struct params, delay_us)},
    {.key = "piece",
     .fallback = "0",
     .range = "0..1000000000",
     .help = "Streams move a random number of bytes up to this at a time; 0: as many as they can.",
     .type = DTR_INT,
     .offset = offsetof(struct params, piece)},
    {.key = "reorder",
     .fallback = "no",
     .help = "Requests are reported done in another order than they were.",
     .type = DTR_BOOL,
     .offset = offsetof(struct params, reorder)},
    {.key = "corrupt",
     .fallback = "0",
     .range = "0..",
     .help = "One bit of the piece with this number is flipped, of those sent to any one device; "
             "0: none.",
     .type = DTR_INT,
     .offset = offsetof(struct params, corrupt)},
    {.key = "cut",
     .fallback = "-1",
     .range = "-1..",
     .help = "The connections of this device break, once; -1: of none.",
     .type = DTR_INT,
     .offset = offsetof(struct params, cut)},
    {.key = "cut_after",
     .fallback = "100",
     .range = "0..",
     .help = "How many pieces each of them carries before it breaks.",
     .type = DTR_INT,
     .offset = offsetof(struct params, cut_after)},
    {.key = "unexpected",
     .fallback = "64 MiB",
     .range = "4 KiB..",
     .help = "Most memory for messages of one device that came before their receive was posted.",
     .type = DTR_SIZE,
     .offset = offsetof(struct params, unexpected)},
    {.key = NULL},
};

/* SplitMix64: a good number from each step of a counter. */
static uint64_t draw(struct fault *fault) {
    uint64_t x = fault->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* --- hooks --- */

static void corrupt(struct fault *fault, uint32_t peer, struct segment *segment) {
    const uint64_t at = draw(fault) % segment->head.bytes;
    segment->data[at] ^= (unsigned char)(1u << draw(fault) % 8);
    fault->corrupted = true;
    fault->host->log(fault->host, DTR_LOG_DEBUG, "flipped a bit on the way to rank %u", peer);
}

static void stamp(void *owner, uint32_t peer, struct segment *segment) {
    struct fault *fault = owner;
    struct fault_peer *to = &fault->peer[peer];
    segment->head.begin_ns = segment->head.end_ns = 0;
    if (segment->head.bytes == SEGMENT_END)
        return;
    to->segments++;
    to->sent++;
    if (!fault->corrupted && to->sent == (uint64_t)fault->params->corrupt && segment->head.bytes)
        corrupt(fault, peer, segment);
}

static void arrived(void *owner, uint32_t peer, struct segment *segment, uint64_t now_ns) {
    struct fault *fault = owner;
    struct fault_peer *from = &fault->peer[peer];
    const uint64_t most = (uint64_t)fault->params->delay_us * 1000;
    segment->ready_ns = now_ns + (most ? draw(fault) % most : 0);
    if (segment->ready_ns < from->ready_ns)
        segment->ready_ns = from->ready_ns;
    from->ready_ns = segment->ready_ns;
    from->segments++;
}

/* The others hang up on the device that is cut, and so it finds out too. */
static void advance(void *owner, uint64_t now_ns) {
    (void)now_ns;
    struct fault *fault = owner;
    const int64_t cut = fault->params->cut;
    if (fault->was_cut || cut < 0 || cut >= fault->relay.exchange.devices ||
        cut == fault->relay.exchange.device)
        return;
    const uint32_t peer = (uint32_t)cut;
    if (fault->peer[peer].segments < (uint64_t)fault->params->cut_after)
        return;
    fault->was_cut = true;
    fault->host->log(fault->host, DTR_LOG_DEBUG, "cut the connection with rank %u", peer);
    relay_cut(&fault->relay, peer);
}

static uint64_t next(void *owner) {
    struct fault *fault = owner;
    const struct relay *relay = &fault->relay;
    uint64_t soonest = SEGMENT_NOT_YET;
    for (uint32_t i = 0; i < relay->exchange.devices; i++) {
        if (i == relay->exchange.device || exchange_is_lost(&relay->exchange, i))
            continue;
        const struct segment *first = relay->peer[i].in.first;
        if (first && exchange_has_room(&relay->exchange, i) && first->ready_ns < soonest)
            soonest = first->ready_ns;
        if (fault->params->piece && exchange_has_writes(&relay->exchange, i) &&
            relay->now_ns + AGAIN_NS < soonest)
            soonest = relay->now_ns + AGAIN_NS;
    }
    return soonest;
}

static size_t limit(void *owner, size_t bytes) {
    struct fault *fault = owner;
    if (!fault->params->piece)
        return bytes;
    const size_t most = 1 + draw(fault) % (uint64_t)fault->params->piece;
    return bytes < most ? bytes : most;
}

static const struct relay_hooks hooks = {
    .stamp = stamp, .arrived = arrived, .advance = advance, .next = next, .limit = limit};

/* --- operations --- */

static int fault_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                      struct dtr_error *error) {
    struct fault *fault = self;
    const struct dtr_host *host = fault->host;
    if (fault->peer)
        return host->fail(error, DTR_E_CONFIG, "join() without leave()");
    const size_t bytes = group->devices * sizeof *fault->peer;
    fault->peer = host->allocate(host, _Alignof(struct fault_peer), bytes);
    if (!fault->peer)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    memset(fault->peer, 0, bytes);
    const int status = relay_join(&fault->relay, group, deadline_ns, error);
    if (!status)
        return DTR_OK;
    host->release(host, fault->peer);
    fault->peer = NULL;
    return status;
}

static void fault_leave(void *self) {
    struct fault *fault = self;
    if (!fault->peer)
        return;
    relay_leave(&fault->relay);
    fault->host->release(fault->host, fault->peer);
    fault->peer = NULL;
}

/* What is done may have to wait for another test(), after others. */
static int fault_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    struct fault *fault = self;
    if (fault->params->reorder && !atomic_load(&fault->relay.exchange.aborted) && draw(fault) % 2) {
        fault->relay.exchange.changed = true;
        return 0;
    }
    return relay_test(&fault->relay, request, bytes_p);
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = relay_address,
    .join = fault_join,
    .leave = fault_leave,
    .isend = exchange_isend,
    .irecv = exchange_irecv,
    .test = fault_test,
    .wait = relay_wait,
    .cancel = exchange_cancel,
    .wake = relay_wake,
    .abort = relay_abort,
    .lost_peer = exchange_lost_peer,
    .counters = exchange_counters,
};

/* --- the plugin --- */

static int fault_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static int fault_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                      struct dtr_error *error) {
    const struct params *given = how->params;
    if (!how->lower)
        return host->fail(error, DTR_E_CONFIG, "the transport 'fault' needs one to lie over");
    struct fault *fault = host->allocate(host, _Alignof(struct fault), sizeof *fault);
    if (!fault)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *fault = (struct fault){
        .host = host, .params = given, .random = (uint64_t)given->seed * 1000003 + how->device};
    relay_init(&fault->relay, host, how->lower, &hooks, fault, given->unexpected);
    fault->relay.exchange.checked = true;
    if (given->piece)
        fault->relay.usual = MANY;
    *self_p = fault;
    return DTR_OK;
}

static void fault_close(void *self) {
    struct fault *fault = self;
    fault_leave(fault);
    relay_free(&fault->relay);
    fault->host->release(fault->host, fault);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "fault",
    .version = "1.0",
    .summary = "breaks another transport on purpose, for tests",
    .caps = DTR_CAP_WRAPS | DTR_CAP_SURVIVES_PEER_LOSS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = fault_probe,
    .open = fault_open,
    .close = fault_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

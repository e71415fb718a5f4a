/* SPDX-License-Identifier: MIT
 *
 * emulated -- a slow network on one computer: paces what another transport delivers by the rate of
 * each device's port and by a latency.
 */
#include "config.h"

#include "common/relay.h"
#include "emulated/port.h"

#include <sys/prctl.h>

#define SLACK_NS 1000ul  /* how late the kernel may wake us */
#define LATE_NS 1000000u /* worth a warning */

struct params {
    const char *over, *trace;
    double mbit, latency_us, overhead;
    uint64_t unexpected;
};

struct emulated {
    struct relay relay; /* first: its operations are ours */
    const struct dtr_host *host;
    struct trace trace;
    struct out_port out;
    struct in_port *in; /* NULL: not joined */
    int slack_ns;
};

static const struct dtr_param params[] = {
    {.key = "over",
     .fallback = "shm",
     .help = "The transport that really carries the messages.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, over)},
    {.key = "mbit",
     .fallback = "1000",
     .unit = "Mbit/s",
     .range = "0.001..1000000",
     .help = "What this device's port carries, in each direction.",
     .type = DTR_REAL,
     .offset = offsetof(struct params, mbit)},
    {.key = "latency_us",
     .fallback = "100",
     .unit = "us",
     .range = "0..100000000",
     .help = "How long what this device sends is under way.",
     .type = DTR_REAL,
     .offset = offsetof(struct params, latency_us)},
    {.key = "overhead",
     .fallback = "0",
     .unit = "%",
     .range = "0..1000",
     .help = "What frames and their headers add to the payload; 4.6 is TCP over Ethernet.",
     .type = DTR_REAL,
     .offset = offsetof(struct params, overhead)},
    {.key = "trace",
     .fallback = "",
     .help = "A file with lines 'seconds Mbit/s latency_us' that says how the port changes from "
             "the start on, instead of mbit and latency_us.",
     .type = DTR_PATH,
     .offset = offsetof(struct params, trace)},
    {.key = "unexpected",
     .fallback = "64 MiB",
     .range = "4 KiB..",
     .help = "Most memory for messages of one device that came before their receive was posted.",
     .type = DTR_SIZE,
     .offset = offsetof(struct params, unexpected)},
    {.key = NULL},
};

/* --- hooks --- */

static size_t length_of(const struct segment *segment) {
    return segment->head.bytes == SEGMENT_END ? 0 : segment->head.bytes;
}

static void stamp(void *owner, uint32_t peer, struct segment *segment) {
    (void)peer;
    struct emulated *emulated = owner;
    const struct passage passage =
        out_port_send(&emulated->out, emulated->host->now_ns(emulated->host), length_of(segment));
    segment->head.begin_ns = passage.begin_ns;
    segment->head.end_ns = passage.end_ns;
}

static void arrived(void *owner, uint32_t peer, struct segment *segment, uint64_t now_ns) {
    struct emulated *emulated = owner;
    const struct passage passage = {.begin_ns = segment->head.begin_ns,
                                    .end_ns = segment->head.end_ns};
    if (in_port_add(emulated->in, peer, &passage, length_of(segment), &segment->ready_ns)) {
        emulated->host->log(emulated->host, DTR_LOG_WARN, "out of memory: a message is not paced");
        segment->ready_ns = now_ns;
    }
}

static void advance(void *owner, uint64_t now_ns) {
    const struct emulated *emulated = owner;
    in_port_advance(emulated->in, now_ns);
}

static uint64_t next(void *owner) {
    const struct emulated *emulated = owner;
    return in_port_next(emulated->in);
}

static const struct relay_hooks hooks = {
    .stamp = stamp, .arrived = arrived, .advance = advance, .next = next};

/* --- operations --- */

static void set_slack(struct emulated *emulated) {
    emulated->slack_ns = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, SLACK_NS);
}

static int emulated_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                         struct dtr_error *error) {
    struct emulated *emulated = self;
    const struct dtr_host *host = emulated->host;
    if (emulated->in)
        return host->fail(error, DTR_E_CONFIG, "join() without leave()");
    if (in_port_create(host, &emulated->trace, group->devices, &emulated->in))
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    const int status = relay_join(&emulated->relay, group, deadline_ns, error);
    if (status) {
        in_port_free(emulated->in);
        emulated->in = NULL;
        return status;
    }
    if (!emulated->trace.origin_ns)
        emulated->trace.origin_ns = host->now_ns(host);
    emulated->out = (struct out_port){.trace = &emulated->trace};
    set_slack(emulated);
    return DTR_OK;
}

static void report(const struct emulated *emulated) {
    const struct relay_lateness *lateness = &emulated->relay.lateness;
    if (!lateness->segments)
        return;
    emulated->host->log(emulated->host, lateness->worst_ns > LATE_NS ? DTR_LOG_INFO : DTR_LOG_DEBUG,
                        "what was waited for came %.3f ms late on average, %.3f ms at worst",
                        (double)lateness->total_ns / (double)lateness->segments / 1e6,
                        (double)lateness->worst_ns / 1e6);
}

static void emulated_leave(void *self) {
    struct emulated *emulated = self;
    if (!emulated->in)
        return;
    relay_leave(&emulated->relay);
    in_port_free(emulated->in);
    emulated->in = NULL;
    if (emulated->slack_ns > 0)
        prctl(PR_SET_TIMERSLACK, (unsigned long)emulated->slack_ns);
    report(emulated);
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = relay_address,
    .join = emulated_join,
    .leave = emulated_leave,
    .isend = exchange_isend,
    .irecv = exchange_irecv,
    .test = relay_test,
    .wait = relay_wait,
    .cancel = exchange_cancel,
    .wake = relay_wake,
    .abort = relay_abort,
    .lost_peer = exchange_lost_peer,
    .counters = exchange_counters,
};

/* --- the plugin --- */

static int emulated_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static int emulated_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                         struct dtr_error *error) {
    const struct params *given = how->params;
    if (!how->lower)
        return host->fail(error, DTR_E_CONFIG, "the transport 'emulated' needs one to lie over");
    struct emulated *emulated = host->allocate(host, _Alignof(struct emulated), sizeof *emulated);
    if (!emulated)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *emulated = (struct emulated){.host = host};
    const int status =
        given->trace[0] ? trace_read(host, given->trace, given->overhead, &emulated->trace, error)
                        : trace_constant(host, given->mbit, given->latency_us, given->overhead,
                                         &emulated->trace, error);
    if (status) {
        host->release(host, emulated);
        return status;
    }
    relay_init(&emulated->relay, host, how->lower, &hooks, emulated, given->unexpected);
    *self_p = emulated;
    return DTR_OK;
}

static void emulated_close(void *self) {
    struct emulated *emulated = self;
    emulated_leave(emulated);
    relay_free(&emulated->relay);
    trace_free(&emulated->trace);
    emulated->host->release(emulated->host, emulated);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "emulated",
    .version = "1.0",
    .summary = "paces another transport to the rate and latency of a slower network",
    .caps = DTR_CAP_WRAPS | DTR_CAP_SURVIVES_PEER_LOSS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = emulated_probe,
    .open = emulated_open,
    .close = emulated_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

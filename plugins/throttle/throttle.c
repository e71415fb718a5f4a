/* SPDX-License-Identifier: MIT
 *
 * throttle -- lets another kernel plugin do the work and makes each call take as long as it would
 * on a slower device.  Results and time are real; the time is slept, so that several slow devices
 * fit on one processor.  The system wakes a sleeper late, by some 60 us on a virtual machine: the
 * alarm is set earlier by what was seen, and the little that is then left is given away.
 *
 * The emulated device has a clock of its own that stands at the deadline of the last call.  A call
 * that ends late is made up for by the next ones: its deadline counts from the last deadline, not
 * from when the caller woke up.  Where the caller did something else for longer than it was late,
 * there is nothing to make up for: the clock is set to the present, and the delay stays and is
 * reported.
 */
#include <detransformer/kernel.h>

#include <sched.h>

/* How the time that a wake-up takes is followed: up and down by these, it comes to stand where a
 * quarter of them are quicker. */
#define WAKE_UP_NS 1000u
#define WAKE_DOWN_NS (3 * WAKE_UP_NS)
#define WAKE_MOST_NS 200000u

struct params {
    const char *over;
    double gflops, gbyte_s;
};

struct throttle {
    const struct dtr_host *host;
    const struct params *params;
    const struct dtr_kernel_ops *ops; /* of the plugin that does the work */
    void *self;
    uint64_t deadline_ns; /* of the last call, in the device's clock */
    uint64_t returned_ns; /* when it really returned */
    uint64_t late_ns;     /* not made up for, since lateness() was asked last */
    uint64_t due_ns;
    uint64_t wake_ns; /* from an alarm to when it wakes this device */
};

struct packed {
    void *packed; /* the other plugin's */
    uint32_t out, in;
    double weight_bytes;
};

static const struct dtr_param params[] = {
    {.key = "over",
     .fallback = "auto",
     .help = "The kernel plugin that does the work.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, over)},
    {.key = "gflops",
     .fallback = "31",
     .unit = "GFLOP/s",
     .range = "0.001..",
     .help = "The arithmetic that the emulated device does in a second, all its cores together.",
     .type = DTR_REAL,
     .offset = offsetof(struct params, gflops)},
    {.key = "gbyte_s",
     .fallback = "4",
     .unit = "GB/s",
     .range = "0.001..",
     .help = "The bandwidth of the emulated device's memory.",
     .type = DTR_REAL,
     .offset = offsetof(struct params, gbyte_s)},
    {.key = NULL},
};

/* Begins a call: sets the device's clock to the call's start. */
static void begin(struct throttle *t) {
    const uint64_t now = t->host->now_ns(t->host);
    const uint64_t late = t->returned_ns - t->deadline_ns, idle = now - t->returned_ns;
    if (idle <= late) {
        t->deadline_ns += idle;
    } else {
        t->deadline_ns = now;
        t->late_ns += late;
    }
}

static void sleep_until(struct throttle *t, uint64_t deadline_ns) {
    const struct dtr_host *host = t->host;
    const uint64_t alarm_ns = deadline_ns - t->wake_ns;
    if (host->now_ns(host) < alarm_ns) {
        host->sleep_until(host, alarm_ns);
        if (host->now_ns(host) - alarm_ns > t->wake_ns)
            t->wake_ns += t->wake_ns < WAKE_MOST_NS ? WAKE_UP_NS : 0;
        else
            t->wake_ns -= t->wake_ns < WAKE_DOWN_NS ? t->wake_ns : WAKE_DOWN_NS;
    }
    while (host->now_ns(host) < deadline_ns)
        sched_yield();
}

/* Ends it when the device would: after `flops` operations, or after moving `bytes`, whichever
 * takes longer. */
static void end(struct throttle *t, double flops, double bytes) {
    const double arithmetic = flops / t->params->gflops, memory = bytes / t->params->gbyte_s;
    const uint64_t cost_ns = (uint64_t)(arithmetic > memory ? arithmetic : memory);
    t->deadline_ns += cost_ns;
    t->due_ns += cost_ns;
    sleep_until(t, t->deadline_ns);
    const uint64_t now = t->host->now_ns(t->host);
    t->returned_ns = now > t->deadline_ns ? now : t->deadline_ns;
}

static int throttle_supports(void *self, const struct dtr_op_shape *shape) {
    const struct throttle *t = self;
    return t->ops->supports(t->self, shape);
}

static int throttle_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                            size_t weight_stride, const float *bias, void **packed_p,
                            struct dtr_error *error) {
    const struct throttle *t = self;
    static const double weight_bytes[] = {
        [DTR_F32] = 4.0, [DTR_F16] = 2.0, [DTR_BF16] = 2.0, [DTR_INT8] = 1.0};
    struct packed *packed = t->host->allocate(t->host, _Alignof(struct packed), sizeof *packed);
    if (!packed)
        return t->host->fail(error, DTR_E_MEMORY, "out of memory");
    *packed =
        (struct packed){.out = linear->out,
                        .in = linear->in,
                        .weight_bytes = weight_bytes[linear->dtype % 4] * linear->out * linear->in};
    const int status =
        t->ops->prepare(t->self, linear, weight, weight_stride, bias, &packed->packed, error);
    if (status)
        t->host->release(t->host, packed);
    else
        *packed_p = packed;
    return status;
}

static void throttle_unprepare(void *self, void *opaque) {
    const struct throttle *t = self;
    struct packed *packed = opaque;
    t->ops->unprepare(t->self, packed->packed);
    t->host->release(t->host, packed);
}

static size_t throttle_packed_bytes(void *self, const void *opaque) {
    const struct throttle *t = self;
    const struct packed *packed = opaque;
    return t->ops->packed_bytes(t->self, packed->packed);
}

static size_t throttle_prepared_bytes(void *self, const struct dtr_linear *linear, int biased) {
    const struct throttle *t = self;
    return DTR_HAS(t->ops, struct dtr_kernel_ops, prepared_bytes)
               ? t->ops->prepared_bytes(t->self, linear, biased)
               : 0;
}

static int throttle_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride,
                           float *y, size_t y_stride, uint32_t flags) {
    struct throttle *t = self;
    const struct packed *packed = opaque;
    const double values = (double)rows * ((double)packed->in + packed->out);
    begin(t);
    const int status =
        t->ops->linear(t->self, packed->packed, rows, x, x_stride, y, y_stride, flags);
    end(t, 2.0 * rows * packed->in * packed->out, packed->weight_bytes + 4.0 * values);
    return status;
}

static int throttle_attention(void *self, const struct dtr_attention *attention) {
    struct throttle *t = self;
    const double columns = (double)attention->heads * attention->head_size;
    double products = 0.0, rows = 0.0;
    begin(t);
    const int status = t->ops->attention(t->self, attention);
    for (uint32_t s = 0; s < attention->spans_count; s++) {
        const double queries = attention->spans[s].query_rows, keys = attention->spans[s].key_rows;
        products += queries * keys;
        rows += 2.0 * (queries + keys);
    }
    end(t, 4.0 * products * columns, 4.0 * rows * columns);
    return status;
}

/* Normalisation does little arithmetic: it takes the time of its memory traffic. */
static void end_norm(struct throttle *t, const struct dtr_norm *norm, double arrays) {
    end(t, 0.0, 4.0 * arrays * norm->rows * norm->columns);
}

static int throttle_add_norm(void *self, const struct dtr_norm *norm) {
    struct throttle *t = self;
    begin(t);
    const int status = t->ops->add_norm(t->self, norm);
    end_norm(t, norm, norm->residual ? 3.0 : 2.0);
    return status;
}

static int throttle_moments(void *self, const struct dtr_norm *norm) {
    struct throttle *t = self;
    begin(t);
    const int status = t->ops->moments(t->self, norm);
    end_norm(t, norm, norm->residual ? 3.0 : 2.0);
    return status;
}

static int throttle_normalise(void *self, const struct dtr_norm *norm) {
    struct throttle *t = self;
    begin(t);
    const int status = t->ops->normalise(t->self, norm);
    end_norm(t, norm, 2.0);
    return status;
}

static void throttle_lateness(void *self, uint64_t *late_ns_p, uint64_t *due_ns_p) {
    struct throttle *t = self;
    *late_ns_p = t->late_ns + (t->returned_ns - t->deadline_ns);
    *due_ns_p = t->due_ns;
    t->deadline_ns = t->returned_ns;
    t->late_ns = 0;
    t->due_ns = 0;
}

static int throttle_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static int throttle_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                         struct dtr_error *error) {
    struct throttle *t = host->allocate(host, _Alignof(struct throttle), sizeof *t);
    if (!t)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *t = (struct throttle){.host = host,
                           .params = how->params,
                           .ops = how->lower->plugin->ops,
                           .self = how->lower->self};
    *self_p = t;
    return DTR_OK;
}

static void throttle_close(void *self) {
    struct throttle *t = self;
    t->host->release(t->host, t);
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = throttle_supports,
    .prepare = throttle_prepare,
    .unprepare = throttle_unprepare,
    .packed_bytes = throttle_packed_bytes,
    .prepared_bytes = throttle_prepared_bytes,
    .linear = throttle_linear,
    .attention = throttle_attention,
    .add_norm = throttle_add_norm,
    .moments = throttle_moments,
    .normalise = throttle_normalise,
    .lateness = throttle_lateness,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "throttle",
    .version = "1.0",
    .summary = "stretches another kernel plugin's calls to a slower device's time",
    .caps = DTR_CAP_WRAPS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = throttle_probe,
    .open = throttle_open,
    .close = throttle_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT
 *
 * relay_fuzz.c -- what wraps a transport, by the example of `emulated`, over one that delivers what
 * a hostile peer sends: heads of segments, times, and the messages in them.  Input: pairs of bytes,
 * an operation and its argument; `deliver` takes the next bytes for a message.
 */
#include "fuzz.h"

#include <string.h>

#include "plugin/host.h"
#include "plugin/registry.h"

enum { TRANSFERS = 64, SLOTS = 4, ROOM = 300 };

/* --- the transport below --- */

struct dtr_transfer {
    bool used, sending, done;
    uint8_t *buffer;
    size_t room, bytes;
};

struct below {
    struct dtr_transfer transfer[TRANSFERS];
    bool lost;
};

static int below_start(struct below *below, const void *buffer, size_t bytes, bool sending,
                       struct dtr_transfer **transfer_p) {
    for (int i = 0; i < TRANSFERS; i++)
        if (!below->transfer[i].used) {
            below->transfer[i] = (struct dtr_transfer){.used = true,
                                                       .sending = sending,
                                                       .done = sending,
                                                       .buffer = (uint8_t *)(uintptr_t)buffer,
                                                       .room = bytes};
            *transfer_p = &below->transfer[i];
            return DTR_OK;
        }
    return DTR_E_MEMORY;
}

static int below_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                       struct dtr_transfer **transfer_p) {
    (void)peer, (void)tag;
    return below_start(self, buffer, bytes, true, transfer_p);
}

static int below_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                       struct dtr_transfer **transfer_p) {
    (void)peer, (void)tag;
    return below_start(self, buffer, bytes, false, transfer_p);
}

static int below_test(void *self, struct dtr_transfer *transfer, size_t *bytes_p) {
    const struct below *below = self;
    if (!transfer->done)
        return below->lost ? (transfer->used = false, DTR_E_PEER) : 0;
    transfer->used = false;
    if (bytes_p)
        *bytes_p = transfer->bytes;
    return 1;
}

static void below_cancel(void *self, struct dtr_transfer *transfer) {
    (void)self;
    transfer->used = false;
}

static int below_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                      struct dtr_error *error) {
    (void)self, (void)group, (void)deadline_ns, (void)error;
    return DTR_OK;
}

static int below_wait(void *self, uint64_t deadline_ns) {
    (void)self, (void)deadline_ns;
    return DTR_E_TIMEOUT;
}

static void below_nothing(void *self) {
    (void)self;
}

static const struct dtr_transport_ops below_ops = {
    .size = sizeof below_ops,
    .join = below_join,
    .leave = below_nothing,
    .isend = below_isend,
    .irecv = below_irecv,
    .test = below_test,
    .wait = below_wait,
    .cancel = below_cancel,
    .wake = below_nothing,
    .abort = below_nothing,
};
static const struct dtr_plugin below_plugin = {
    .size = sizeof below_plugin, .kind = DTR_TRANSPORT, .name = "below", .ops = &below_ops};

/* Gives the oldest receive these bytes. */
static void deliver(struct below *below, const uint8_t *bytes, size_t length) {
    for (int i = 0; i < TRANSFERS; i++) {
        struct dtr_transfer *transfer = &below->transfer[i];
        if (!transfer->used || transfer->sending || transfer->done)
            continue;
        transfer->bytes = length < transfer->room ? length : transfer->room;
        if (transfer->bytes)
            memcpy(transfer->buffer, bytes, transfer->bytes);
        transfer->done = true;
        return;
    }
}

/* --- the one under test --- */

/* As the loader finds it. */
const struct dtr_plugin *dtr_plugin(void);

/* A clock of its own, which only the input moves. */
static uint64_t now;

static uint64_t now_ns(const struct dtr_host *host) {
    (void)host;
    return now;
}

struct slot {
    struct dtr_transfer *transfer;
    bool busy;
    size_t room;
    uint8_t buffer[ROOM];
};

static void operate(const struct dtr_transport_ops *ops, void *self, struct below *below,
                    struct slot *slots, struct fuzz_bytes *bytes) {
    const uint8_t operation = fuzz_byte(bytes), argument = fuzz_byte(bytes);
    struct slot *slot = &slots[operation >> 4 & (SLOTS - 1)];
    size_t length = 0;
    const uint8_t *data;
    switch (operation & 7) {
    case 0:
        data = fuzz_take(bytes, argument, &length);
        deliver(below, data, length);
        break;
    case 1:
    case 2:
        if (slot->busy)
            break;
        slot->room = argument;
        slot->busy =
            !((operation & 7) == 1
                  ? ops->irecv(self, 1, argument & 1, slot->buffer, argument, &slot->transfer)
                  : ops->isend(self, 1, argument & 1, slot->buffer, argument, &slot->transfer));
        break;
    case 3:
        if (slot->busy)
            ops->cancel(self, slot->transfer);
        slot->busy = false;
        break;
    case 4:
        now += UINT64_C(1) << (argument & 31);
        break;
    case 5:
        below->lost |= argument == 255;
        break;
    default:
        if (slot->busy) {
            const int done = ops->test(self, slot->transfer, &length);
            fuzz_need(done <= 0 || length <= slot->room, "a message is longer than its receive");
            slot->busy = done == 0;
        }
    }
    ops->wait(self, 0);
}

/* One for all inputs: its segments are large, and are used again after leave(). */
static void *open_once(struct below *below) {
    static struct dtr_services services;
    static struct dtr_instance lower;
    static void *self;
    const struct dtr_plugin *plugin = dtr_plugin();
    struct dtr_error error = {0};
    static void *params;
    if (self)
        return self;
    dtr_services_init(&services, "fuzz", NULL, NULL);
    services.host.now_ns = now_ns;
    lower = (struct dtr_instance){.plugin = &below_plugin, .self = below};
    fuzz_need(!dtr_params_defaults(plugin, &params, &error), "no parameters");
    const struct dtr_open how = {
        .size = sizeof how, .params = params, .lower = &lower, .devices = 2, .device = 0};
    fuzz_need(!plugin->open(&services.host, &how, &self, &error), "it cannot be opened");
    return self;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct below below;
    const struct dtr_transport_ops *ops = dtr_plugin()->ops;
    const struct dtr_group group = {.size = sizeof group, .devices = 2, .epoch = 1};
    struct fuzz_bytes bytes = {data, size};
    struct dtr_error error = {0};
    struct slot slots[SLOTS] = {0};
    void *self = open_once(&below);
    below = (struct below){0};
    now = 1000000000;
    fuzz_need(!ops->join(self, &group, 0, &error), "it cannot join");
    while (bytes.size)
        operate(ops, self, &below, slots, &bytes);
    ops->abort(self);
    ops->leave(self);
    return 0;
}

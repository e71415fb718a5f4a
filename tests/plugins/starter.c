/* SPDX-License-Identifier: MIT
 *
 * starter -- a transport that can launch and has the best score of all.
 */
#include "dummy.h"

static int starter_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1000;
}

static int starter_world(void *self, uint32_t *rank_p, uint32_t *size_p, struct dtr_error *error) {
    (void)self;
    (void)error;
    *rank_p = 0;
    *size_p = 1;
    return DTR_OK;
}

static int starter_control(void *self, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                           struct dtr_error *error) {
    (void)self;
    (void)rank;
    (void)deadline_ns;
    (void)fd_p;
    (void)error;
    return DTR_E_UNSUPPORTED;
}

static const struct dtr_transport_ops ops = {
    DUMMY_TRANSPORT_OPS,
    .world = starter_world,
    .control = starter_control,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "starter",
    .version = "1.0",
    .summary = "launches",
    .caps = DTR_CAP_LAUNCH | DTR_CAP_REMOTE,
    .probe = starter_probe,
    .open = dummy_open,
    .close = dummy_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

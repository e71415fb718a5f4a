/* SPDX-License-Identifier: MIT
 *
 * relay -- a transport over another, with one parameter of each sort that matters to an experiment.
 */
#include "dummy.h"

struct params {
    const char *over, *trace;
    double mbit;
};

static const struct dtr_param params[] = {
    {.key = "over",
     .fallback = "auto",
     .help = "The transport below.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, over)},
    {.key = "trace",
     .fallback = "",
     .help = "A file.",
     .type = DTR_PATH,
     .offset = offsetof(struct params, trace)},
    {.key = "mbit",
     .help = "What has no default.",
     .unit = "Mbit/s",
     .range = "0.1..",
     .type = DTR_REAL,
     .offset = offsetof(struct params, mbit)},
    {.key = NULL},
};

static int relay_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1000;
}

static const struct dtr_transport_ops ops = DUMMY_TRANSPORT;

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "relay",
    .version = "1.0",
    .summary = "wraps a transport",
    .caps = DTR_CAP_WRAPS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = relay_probe,
    .open = dummy_open,
    .close = dummy_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

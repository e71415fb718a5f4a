/* SPDX-License-Identifier: MIT
 *
 * absent -- a kernel for a machine that nobody has.
 */
#include "dummy.h"

static int absent_probe(const struct dtr_host *host, struct dtr_error *error) {
    return host->fail(error, DTR_E_UNSUPPORTED, "the machine is imaginary"), 0;
}

static int absent_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    (void)shape;
    return 0;
}

static const struct dtr_kernel_ops ops = {.size = sizeof ops, .supports = absent_supports};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "absent",
    .version = "1.0",
    .summary = "never runs",
    .probe = absent_probe,
    .open = dummy_open,
    .close = dummy_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT
 *
 * faulty -- a kernel plugin that goes wrong in the way that its parameter names.
 */
#include <stdlib.h>

#include "dummy.h"

enum { OPEN, WRONG, NORM, CRASH, EXIT };

struct params {
    int32_t fails;
};

static const struct dtr_param params[] = {
    {.key = "fails",
     .fallback = NULL,
     .range = "open|wrong|norm|crash|exit",
     .help = "What goes wrong.",
     .type = DTR_ENUM,
     .offset = offsetof(struct params, fails)},
    {.key = NULL},
};

static int supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    return shape->op == DTR_OP_ADD_NORM;
}

static int add_norm(void *self, const struct dtr_norm *norm) {
    const struct params *given = self;
    (void)norm;
    if (given->fails == CRASH)
        abort();
    if (given->fails == EXIT)
        _Exit(3);
    return DTR_E_SYSTEM;
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = supports,
    .add_norm = add_norm,
};

static int faulty_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static int faulty_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                       struct dtr_error *error) {
    const struct params *given = how->params;
    if (given->fails == OPEN)
        return host->fail(error, DTR_E_SYSTEM, "it is out of order");
    if (given->fails == WRONG)
        return host->fail(error, DTR_E_CONFIG, "it is not meant to be used");
    *self_p = (void *)given;
    return DTR_OK;
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "faulty",
    .version = "1.0",
    .summary = "goes wrong",
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = faulty_probe,
    .open = faulty_open,
    .close = dummy_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

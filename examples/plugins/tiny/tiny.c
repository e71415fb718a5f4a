/* SPDX-License-Identifier: MIT
 *
 * tiny -- a kernel plugin that only has linear layers, in the plainest loops.  What it does not
 * support, the plugin `reference` does.  A start for your own: replace linear(), and let prepare()
 * pack the weights the way it likes them.
 */
#include <detransformer/kernel.h>

#include <math.h>
#include <string.h>

/* A prepared weight: [out, in] row by row, then the bias. */
struct weight {
    size_t out, in;
    uint32_t activation;
    float values[];
};

static int supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    return shape->op == DTR_OP_LINEAR && shape->linear->dtype == DTR_F32 &&
           shape->linear->activation <= DTR_ACT_TANH;
}

static size_t bytes(size_t out, size_t in) {
    return sizeof(struct weight) + (in + 1) * out * sizeof(float);
}

static int prepare(void *self, const struct dtr_linear *linear, const float *weight,
                   size_t weight_stride, const float *bias, void **packed_p,
                   struct dtr_error *error) {
    const struct dtr_host *host = self;
    const size_t out = linear->out, in = linear->in;
    struct weight *packed = host->allocate(host, 64, bytes(out, in));
    if (!packed)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    packed->out = out;
    packed->in = in;
    packed->activation = linear->activation;
    for (size_t o = 0; o < out; o++) {
        memcpy(packed->values + o * in, weight + o * weight_stride, in * sizeof(float));
        packed->values[out * in + o] = bias ? bias[o] : 0;
    }
    *packed_p = packed;
    return DTR_OK;
}

static void unprepare(void *self, void *packed) {
    const struct dtr_host *host = self;
    host->release(host, packed);
}

static size_t packed_bytes(void *self, const void *packed) {
    const struct weight *weight = packed;
    (void)self;
    return bytes(weight->out, weight->in);
}

static float activate(uint32_t activation, float x) {
    switch (activation) {
    case DTR_ACT_GELU:
        return 0.5f * x * (1 + erff(x * 0.70710678f));
    case DTR_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case DTR_ACT_TANH:
        return tanhf(x);
    default:
        return x;
    }
}

static int linear(void *self, void *packed, uint32_t rows, const float *x, size_t x_stride,
                  float *y, size_t y_stride, uint32_t flags) {
    const struct weight *weight = packed;
    const float *bias = weight->values + weight->out * weight->in;
    (void)self;
    for (size_t row = 0; row < rows; row++)
        for (size_t o = 0; o < weight->out; o++) {
            float sum = bias[o];
            for (size_t i = 0; i < weight->in; i++)
                sum += x[row * x_stride + i] * weight->values[o * weight->in + i];
            float *result = y + row * y_stride + o;
            *result =
                flags & DTR_LINEAR_ACCUMULATE ? *result + sum : activate(weight->activation, sum);
        }
    return DTR_OK;
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = supports,
    .prepare = prepare,
    .unprepare = unprepare,
    .packed_bytes = packed_bytes,
    .linear = linear,
};

/* Zero would mean that it cannot run on this machine, and `plugin = auto` takes the best score. */
static int probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

/* An instance with no state but the services that the core lends it. */
static int open_tiny(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                     struct dtr_error *error) {
    (void)how;
    (void)error;
    *self_p = (void *)host;
    return DTR_OK;
}

static void close_tiny(void *self) {
    (void)self;
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "tiny",
    .version = "1.0",
    .summary = "a matrix product in three plain loops",
    .probe = probe,
    .open = open_tiny,
    .close = close_tiny,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT
 *
 * foreign -- linear layers by a matrix product of any shared library, named and described in the
 * experiment, without a line of code.  The rest is the vector code in common.
 */
#include "call.h"
#include "common/dense.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

enum layout { OUT_IN, IN_OUT };

struct params {
    const char *library, *symbol;
    struct dtr_list arguments;
    int32_t returns; /* void|int */
    int32_t weight;  /* enum layout */
};

struct foreign {
    struct dtr_common common; /* first: operations.h */
    const struct params *params;
    void *library;
    struct call call;
};

static const struct dtr_param params[] = {
    {.key = "library",
     .help = "The shared library: a path, or a name that the system's loader finds.",
     .type = DTR_PATH,
     .offset = offsetof(struct params, library)},
    {.key = "symbol",
     .help = "The function in it that multiplies matrices.",
     .type = DTR_TEXT,
     .offset = offsetof(struct params, symbol)},
    {.key = "arguments",
     .help = "Its arguments in order, TYPE:VALUE each.",
     .type = DTR_LIST,
     .offset = offsetof(struct params, arguments)},
    {.key = "returns",
     .fallback = "void",
     .range = "void|int",
     .help = "What it returns; an int that is not zero is a failure.",
     .type = DTR_ENUM,
     .offset = offsetof(struct params, returns)},
    {.key = "weight",
     .fallback = "out_in",
     .range = "out_in|in_out",
     .help = "How w lies in memory: a row for each output, or a row for each input.",
     .type = DTR_ENUM,
     .offset = offsetof(struct params, weight)},
    {.key = NULL},
};

static int foreign_supports(void *self, const struct dtr_op_shape *shape) {
    (void)self;
    if (shape->op != DTR_OP_LINEAR)
        return shape->op <= DTR_OP_NORMALISE;
    const struct dtr_linear *linear = shape->linear;
    return linear->dtype == DTR_F32 && linear->activation <= DTR_ACT_TANH && linear->in &&
           linear->out;
}

static int foreign_prepare(void *self, const struct dtr_linear *linear, const float *weight,
                           size_t weight_stride, const float *bias, void **packed_p,
                           struct dtr_error *error) {
    const struct foreign *foreign = self;
    return dtr_dense_prepare(&foreign->common, linear, foreign->params->weight == IN_OUT, weight,
                             weight_stride, bias, packed_p, error);
}

static void copy_rows(const float *from, size_t from_stride, float *to, size_t to_stride,
                      uint32_t rows, uint32_t columns, bool add) {
    for (uint32_t row = 0; row < rows; row++, from += from_stride, to += to_stride)
        for (uint32_t i = 0; i < columns; i++)
            to[i] = add ? to[i] + from[i] : from[i];
}

/* y = x W, or y += x W.  What the function has no argument for is done around it: strides by a
 * dense copy, the sum by a temporary result. */
static int multiply(struct foreign *foreign, const struct dtr_dense *packed, uint32_t rows,
                    const float *x, size_t x_stride, float *y, size_t y_stride, bool accumulate) {
    struct call *call = &foreign->call;
    const bool copy_x = !call->has[CALL_X_STRIDE] && x_stride != packed->in;
    const bool copy_y = (!call->has[CALL_Y_STRIDE] && y_stride != packed->out) ||
                        (!call->has[CALL_BETA] && accumulate);
    const size_t x_floats = copy_x ? (size_t)rows * packed->in : 0;
    const size_t y_floats = copy_y ? (size_t)rows * packed->out : 0;
    float *scratch = NULL;
    if (copy_x || copy_y) {
        scratch = dtr_common_scratch(&foreign->common, (x_floats + y_floats) * sizeof(float));
        if (!scratch)
            return DTR_E_MEMORY;
    }
    if (copy_x)
        copy_rows(x, x_stride, scratch, packed->in, rows, packed->in, false);
    const struct call_operands operands = {
        .pointer = {[CALL_X] = copy_x ? scratch : (void *)(uintptr_t)x,
                    [CALL_W] = packed->weight,
                    [CALL_Y] = copy_y ? scratch + x_floats : y},
        .number = {[CALL_ROWS] = rows,
                   [CALL_OUT] = packed->out,
                   [CALL_IN] = packed->in,
                   [CALL_X_STRIDE] = copy_x ? packed->in : x_stride,
                   [CALL_W_STRIDE] = foreign->params->weight == OUT_IN ? packed->in : packed->out,
                   [CALL_Y_STRIDE] = copy_y ? packed->out : y_stride,
                   [CALL_BETA] = accumulate && !copy_y}};
    const int status = call_run(call, &operands);
    if (!status && copy_y)
        copy_rows(scratch + x_floats, packed->out, y, y_stride, rows, packed->out, accumulate);
    return status;
}

static int foreign_linear(void *self, void *opaque, uint32_t rows, const float *x, size_t x_stride,
                          float *y, size_t y_stride, uint32_t flags) {
    struct foreign *foreign = self;
    const struct dtr_dense *packed = opaque;
    const bool accumulate = flags & DTR_LINEAR_ACCUMULATE;
    if ((flags & ~DTR_LINEAR_ACCUMULATE) || (accumulate && packed->activation != DTR_ACT_NONE))
        return DTR_E_UNSUPPORTED;
    if (!rows)
        return DTR_OK;
    const int status = multiply(foreign, packed, rows, x, x_stride, y, y_stride, accumulate);
    if (status)
        return status;
    if (packed->bias || packed->activation != DTR_ACT_NONE)
        for (uint32_t row = 0; row < rows; row++)
            foreign->common.vector->activate(packed->activation, packed->out, packed->bias,
                                             y + row * y_stride);
    return DTR_OK;
}

/* Before it is trusted: a product whose result is known.  A template that is wrong in a way that
 * only shows in the numbers is found here. */
static int try_function(struct foreign *foreign, struct dtr_error *error) {
    enum { ROWS = 2, OUT = 3, IN = 5 };
    const struct dtr_host *host = foreign->common.host;
    const struct dtr_linear linear = {.size = sizeof linear, .out = OUT, .in = IN};
    float weight[OUT * IN], x[ROWS * IN], y[ROWS * OUT];
    void *packed;
    for (int i = 0; i < OUT * IN; i++)
        weight[i] = (float)(i * i % 7 - 3);
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (float)(i * 3 % 8 - 2);
    for (int i = 0; i < ROWS * OUT; i++)
        y[i] = 1000.0f;
    int status = foreign_prepare(foreign, &linear, weight, IN, NULL, &packed, error);
    if (status)
        return status;
    status = foreign_linear(foreign, packed, ROWS, x, IN, y, OUT, 0);
    dtr_common_unprepare(foreign, packed);
    if (status)
        return host->fail(error, DTR_E_CONFIG, "the function %s says that it fails",
                          foreign->params->symbol);
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < OUT; n++) {
            float sum = 0.0f;
            for (int k = 0; k < IN; k++)
                sum += x[r * IN + k] * weight[n * IN + k];
            if (y[r * OUT + n] != sum)
                return host->fail(error, DTR_E_CONFIG,
                                  "the function %s does not multiply x with w as its arguments are "
                                  "given: y[%d][%d] is %g and should be %g",
                                  foreign->params->symbol, r, n, (double)y[r * OUT + n],
                                  (double)sum);
        }
    return DTR_OK;
}

/* A path that is there, else what the loader finds under its last part. */
static void *load(const char *path) {
    const char *slash = strrchr(path, '/');
    return dlopen(slash && access(path, R_OK) ? slash + 1 : path,
                  RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static int bind_function(struct foreign *foreign, struct dtr_error *error) {
    const struct dtr_host *host = foreign->common.host;
    const struct params *given = foreign->params;
    foreign->library = load(given->library);
    if (!foreign->library) {
        const char *reason = dlerror();
        return host->fail(error, DTR_E_CONFIG, "cannot load %s: %s", given->library,
                          reason ? reason : "unknown reason");
    }
    void *address = dlsym(foreign->library, given->symbol);
    if (!address)
        return host->fail(error, DTR_E_CONFIG, "the library %s has no function '%s'",
                          given->library, given->symbol);
    memcpy(&foreign->call.function, &address, sizeof address);
    return DTR_OK;
}

static void foreign_close(void *self) {
    struct foreign *foreign = self;
    const struct dtr_host *host = foreign->common.host;
    if (foreign->library)
        dlclose(foreign->library);
    dtr_common_close(&foreign->common);
    host->release(host, foreign);
}

static int foreign_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                        struct dtr_error *error) {
    const struct params *given = how->params;
    if (!given->library[0] || !given->symbol[0] || !given->arguments.count)
        return host->fail(error, DTR_E_CONFIG, "it needs a library, a symbol and its arguments");
    struct foreign *foreign = host->allocate(host, _Alignof(struct foreign), sizeof *foreign);
    if (!foreign)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    memset(foreign, 0, sizeof *foreign);
    dtr_common_open(&foreign->common, host, how->threads);
    foreign->params = given;
    int status = call_parse(host, &given->arguments, given->returns == 1, &foreign->call, error);
    if (!status)
        status = bind_function(foreign, error);
    if (!status)
        status = try_function(foreign, error);
    if (status)
        foreign_close(foreign);
    else
        *self_p = foreign;
    return status;
}

/* It is never the best: it has to be told what to call. */
static int foreign_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 1;
}

static const struct dtr_kernel_ops ops = {
    .size = sizeof ops,
    .supports = foreign_supports,
    .prepare = foreign_prepare,
    .unprepare = dtr_common_unprepare,
    .packed_bytes = dtr_dense_packed_bytes,
    .prepared_bytes = dtr_dense_prepared_bytes,
    .linear = foreign_linear,
    .attention = dtr_common_attention,
    .add_norm = dtr_common_add_norm,
    .moments = dtr_common_moments,
    .normalise = dtr_common_normalise,
};

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_KERNEL,
    .name = "foreign",
    .version = "1.0",
    .summary = "linear layers by a matrix product of any library, described in the experiment",
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = foreign_probe,
    .open = foreign_open,
    .close = foreign_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

/* SPDX-License-Identifier: MIT */
#include "run/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sort.h"

/* Each shape runs until it has run so often or so long. */
enum { REPEATS = 5 };
static const double patience_s = 0.06;

static double now_s(void) {
    return (double)dtr_now_ns() * 1e-9;
}

/* --- kernels ---------------------------------------------------------------------------------- */

/* Operands of one shape. */
struct operands {
    float *x, *y, *gamma;
    void *packed;
    struct dtr_span span;
};

static int run_once(struct dtr_kernels *kernels, const struct dtr_probe *probe,
                    const struct operands *operands) {
    if (probe->kind == DTR_PROBE_LINEAR)
        return dtr_kernels_try_linear(kernels, operands->packed, probe->rows, operands->x,
                                      probe->in, operands->y, probe->out);
    if (probe->kind == DTR_PROBE_ATTENTION) {
        const struct dtr_attention attention = {
            .size = sizeof attention,
            .heads = probe->out / probe->in,
            .head_size = probe->in,
            .scale = 1 / sqrtf((float)probe->in),
            .q = operands->x,
            .k = operands->x + probe->out,
            .v = operands->x + 2 * (size_t)probe->out,
            .context = operands->y,
            .q_stride = 3 * (size_t)probe->out,
            .k_stride = 3 * (size_t)probe->out,
            .v_stride = 3 * (size_t)probe->out,
            .context_stride = probe->out,
            .spans_count = 1,
            .spans = &operands->span,
        };
        return dtr_kernels_attention(kernels, &attention);
    }
    const struct dtr_norm norm = {
        .size = sizeof norm,
        .rows = probe->rows,
        .columns = probe->out,
        .x = operands->x,
        .x_stride = probe->out,
        .residual = operands->y,
        .residual_stride = probe->out,
        .y = operands->y,
        .y_stride = probe->out,
        .gamma = operands->gamma,
        .beta = operands->gamma + probe->out,
        .epsilon = 1e-5f,
    };
    return dtr_kernels_add_norm(kernels, &norm);
}

static int prepare(struct dtr_kernels *kernels, const struct dtr_probe *probe,
                   struct operands *operands, struct dtr_error *error) {
    const size_t in = probe->kind == DTR_PROBE_LINEAR      ? probe->in
                      : probe->kind == DTR_PROBE_ATTENTION ? 3 * (size_t)probe->out
                                                           : probe->out;
    const size_t x = probe->rows * in, y = (size_t)probe->rows * probe->out;
    *operands = (struct operands){
        .x = malloc(x * sizeof(float)),
        .y = malloc(y * sizeof(float)),
        .gamma = malloc(2 * (size_t)probe->out * sizeof(float)),
        .span = {.query_rows = probe->rows, .key_rows = probe->rows},
    };
    if (!operands->x || !operands->y || !operands->gamma)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < x; i++)
        operands->x[i] = (float)(i % 17) * 0.01f - 0.08f;
    memset(operands->y, 0, y * sizeof(float));
    for (size_t i = 0; i < 2 * (size_t)probe->out; i++)
        operands->gamma[i] = 1;
    return probe->kind == DTR_PROBE_LINEAR ? dtr_kernels_try(kernels, probe->out, probe->in,
                                                             probe->rows, &operands->packed, error)
                                           : DTR_OK;
}

static int measure(struct dtr_kernels *kernels, const struct dtr_probe *probe, double *seconds_p,
                   struct dtr_error *error) {
    struct operands operands;
    uint64_t late_ns, due_ns = 0;
    int status = prepare(kernels, probe, &operands, error);
    dtr_kernels_lateness(kernels, &late_ns, &due_ns);
    /* The first time warms up; of kernels that keep a clock of their own it says all. */
    if (!status)
        status = run_once(kernels, probe, &operands);
    const bool clocked = dtr_kernels_lateness(kernels, &late_ns, &due_ns) && due_ns;
    const double begin_s = now_s();
    double took_s = clocked ? (double)due_ns * 1e-9 : 0;
    int runs = clocked;
    while (!clocked && runs < REPEATS && took_s < patience_s && !status) {
        status = run_once(kernels, probe, &operands);
        took_s = now_s() - begin_s;
        runs++;
    }
    if (status == DTR_E_MEMORY)
        dtr_fail_memory(error);
    else if (status)
        dtr_fail(error, status, "kernel plugin '%s' failed while it was measured",
                 dtr_kernels_name(kernels));
    else
        *seconds_p = took_s > 1e-9 ? took_s / runs : 1e-9;
    dtr_kernels_untry(kernels, operands.packed);
    free(operands.x);
    free(operands.y);
    free(operands.gamma);
    return status;
}

int dtr_probe_kernels(struct dtr_device *device, const struct dtr_probe *probes, uint32_t count,
                      double *seconds, struct dtr_error *error) {
    uint64_t late_ns, due_ns;
    int status = DTR_OK;
    for (uint32_t i = 0; i < count && !status; i++)
        status = measure(device->kernels, &probes[i], &seconds[i], error);
    /* How late it was while it was measured is not the requests' business. */
    dtr_kernels_lateness(device->kernels, &late_ns, &due_ns);
    return status;
}

/* --- links ------------------------------------------------------------------------------------ */

/* Both sides take turns: the prober sends a message whose length it has announced, the other
 * answers with an empty one. */
enum { PINGS = 12, AGAIN = 2 };
static const uint32_t probe_tag = 0xffffff00u;
static const size_t bytes_least = 32 << 10, bytes_most = 8 << 20;
static const double transfer_s = 0.03, link_patience_s = 20;

struct line {
    const struct dtr_transport_ops *ops;
    void *transport;
    uint32_t peer;
};

static struct line line_to(const struct dtr_device *device, uint32_t peer) {
    const struct dtr_instance *transport = dtr_chain_top(device->transport);
    return (struct line){transport->plugin->ops, transport->self, peer};
}

/* Waits for one message to be complete. */
static int complete(const struct line *line, struct dtr_transfer *request) {
    const double deadline_s = now_s() + link_patience_s;
    for (;;) {
        const int done = line->ops->test(line->transport, request, NULL);
        if (done)
            return done < 0 ? done : DTR_OK;
        const int status = line->ops->wait(line->transport, (uint64_t)(deadline_s * 1e9));
        if (status) {
            line->ops->cancel(line->transport, request);
            return status;
        }
    }
}

static int give(const struct line *line, const void *bytes, size_t length) {
    struct dtr_transfer *request;
    const int status =
        line->ops->isend(line->transport, line->peer, probe_tag, bytes, length, &request);
    return status ? status : complete(line, request);
}

static int take(const struct line *line, void *bytes, size_t length) {
    struct dtr_transfer *request;
    const int status =
        line->ops->irecv(line->transport, line->peer, probe_tag, bytes, length, &request);
    return status ? status : complete(line, request);
}

/* One message of that length and its answer. */
static int turn(const struct line *line, uint8_t *buffer, uint64_t length, double *took_p) {
    int status = give(line, &length, sizeof length);
    const double begin_s = now_s();
    if (!status)
        status = give(line, buffer, (size_t)length);
    if (!status)
        status = take(line, NULL, 0);
    *took_p = now_s() - begin_s;
    return status;
}

static int measure_link(const struct line *line, uint8_t *buffer, struct dtr_link *link) {
    double ping_s[PINGS], took_s = 0;
    int status = DTR_OK;
    for (int i = 0; i < PINGS && !status; i++)
        status = turn(line, buffer, 0, &ping_s[i]);
    if (status)
        return status;
    dtr_sort_doubles(ping_s, PINGS);
    /* Whatever else the machine does only adds to the time. */
    const double round_s = ping_s[PINGS / 4];
    size_t bytes = bytes_least;
    while (!status) {
        status = turn(line, buffer, bytes, &took_s);
        if (took_s - round_s > transfer_s || bytes >= bytes_most)
            break;
        bytes *= 4;
    }
    for (int i = 0; i < AGAIN && !status; i++) {
        double again_s;
        status = turn(line, buffer, bytes, &again_s);
        took_s = again_s < took_s ? again_s : took_s;
    }
    const uint64_t end = UINT64_MAX;
    if (!status)
        status = give(line, &end, sizeof end);
    /* Faster than anything there is where the clock is too coarse to tell. */
    const double carried_s = took_s > round_s ? took_s - round_s : (double)bytes / 1e11;
    *link = (struct dtr_link){.latency_s = round_s / 2, .bytes_per_s = (double)bytes / carried_s};
    return status;
}

static int line_failed(const struct dtr_device *device, uint32_t peer, int status,
                       struct dtr_error *error) {
    return status ? dtr_fail(error, status, "the link between devices %u and %u does not work",
                             device->device, device->numbers[peer])
                  : DTR_OK;
}

int dtr_probe_link(struct dtr_device *device, uint32_t peer, struct dtr_link *link,
                   struct dtr_error *error) {
    const struct line line = line_to(device, peer);
    uint8_t *buffer = calloc(1, bytes_most);
    if (!buffer)
        return dtr_fail_memory(error);
    const int status = measure_link(&line, buffer, link);
    free(buffer);
    return line_failed(device, peer, status, error);
}

int dtr_probe_echo(struct dtr_device *device, uint32_t peer, struct dtr_error *error) {
    const struct line line = line_to(device, peer);
    uint8_t *buffer = malloc(bytes_most);
    int status = buffer ? DTR_OK : DTR_E_MEMORY;
    while (!status) {
        uint64_t length;
        status = take(&line, &length, sizeof length);
        if (status || length == UINT64_MAX)
            break;
        status = length > bytes_most ? DTR_E_CORRUPT : take(&line, buffer, (size_t)length);
        if (!status)
            status = give(&line, NULL, 0);
    }
    free(buffer);
    return line_failed(device, peer, status, error);
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "emulated/trace.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX ((size_t)1 << 20)
#define SECONDS_MAX 1e9
#define MBIT_MIN 1e-3 /* but zero: at less a message takes longer than a clock counts */
#define MBIT_MAX 1e6
#define LATENCY_US_MAX 1e8

/* Mbit/s to bytes of payload a nanosecond. */
static double rate_of(double mbit, double overhead) {
    return mbit / 8e3 / (1.0 + overhead / 100.0);
}

int trace_constant(const struct dtr_host *host, double mbit, double latency_us, double overhead,
                   struct trace *trace_p, struct dtr_error *error) {
    struct trace_step *step = host->allocate(host, _Alignof(struct trace_step), sizeof *step);
    if (!step)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *step = (struct trace_step){.rate = rate_of(mbit, overhead),
                                .latency_ns = (uint64_t)(latency_us * 1e3)};
    *trace_p = (struct trace){.host = host, .count = 1, .step = step};
    return DTR_OK;
}

void trace_free(struct trace *trace) {
    if (trace->host)
        trace->host->release(trace->host, trace->step);
    trace->step = NULL;
}

/* --- the file --- */

/* 1: a step, 0: nothing on this line, -1: not understood. */
static int parse_line(const char *line, double overhead, struct trace_step *step_p) {
    double value[3];
    line += strspn(line, " \t\r\n");
    if (!*line || *line == '#')
        return 0;
    for (int i = 0; i < 3; i++) {
        char *end;
        value[i] = strtod(line, &end);
        if (end == line || !isfinite(value[i]) || value[i] < 0)
            return -1;
        line = end;
    }
    line += strspn(line, " \t\r\n");
    if ((*line && *line != '#') || value[0] > SECONDS_MAX || value[1] > MBIT_MAX ||
        (value[1] > 0 && value[1] < MBIT_MIN) || value[2] > LATENCY_US_MAX)
        return -1;
    *step_p = (struct trace_step){.from_ns = (uint64_t)(value[0] * 1e9),
                                  .rate = rate_of(value[1], overhead),
                                  .latency_ns = (uint64_t)(value[2] * 1e3)};
    return 1;
}

static bool grow(struct trace *trace) {
    const struct dtr_host *host = trace->host;
    if (trace->count & (trace->count - 1))
        return true; /* doubled at each power of two */
    const size_t room = trace->count ? 2 * trace->count : 1;
    struct trace_step *more =
        host->allocate(host, _Alignof(struct trace_step), room * sizeof *more);
    if (!more)
        return false;
    if (trace->count)
        memcpy(more, trace->step, trace->count * sizeof *more);
    host->release(host, trace->step);
    trace->step = more;
    return true;
}

static int read_steps(struct trace *trace, FILE *stream, const char *file, double overhead,
                      struct dtr_error *error) {
    const struct dtr_host *host = trace->host;
    char line[256];
    for (size_t number = 1; fgets(line, sizeof line, stream); number++) {
        struct trace_step step;
        const int got = parse_line(line, overhead, &step);
        if (got < 0 || (!strchr(line, '\n') && !feof(stream)))
            return host->fail(error, DTR_E_CONFIG,
                              "%s:%zu: a line is 'seconds Mbit/s latency_us', three numbers", file,
                              number);
        if (!got)
            continue;
        if (trace->count && step.from_ns <= trace->step[trace->count - 1].from_ns)
            return host->fail(error, DTR_E_CONFIG, "%s:%zu: time does not go on", file, number);
        if (trace->count >= STEPS_MAX)
            return host->fail(error, DTR_E_CONFIG, "%s: more than %zu lines", file, STEPS_MAX);
        if (!grow(trace))
            return host->fail(error, DTR_E_MEMORY, "out of memory");
        trace->step[trace->count++] = step;
    }
    if (ferror(stream))
        return host->fail(error, DTR_E_SYSTEM, "%s: %s", file, strerror(errno));
    if (!trace->count)
        return host->fail(error, DTR_E_CONFIG, "%s: has no line", file);
    if (trace->step[trace->count - 1].rate <= 0)
        return host->fail(error, DTR_E_CONFIG,
                          "%s: the last rate holds for ever and cannot be zero", file);
    trace->step[0].from_ns = 0; /* what holds first holds from the beginning */
    return DTR_OK;
}

int trace_read(const struct dtr_host *host, const char *file, double overhead,
               struct trace *trace_p, struct dtr_error *error) {
    struct trace trace = {.host = host};
    FILE *stream = fopen(file, "re");
    if (!stream)
        return host->fail(error, DTR_E_CONFIG, "%s: %s", file, strerror(errno));
    const int status = read_steps(&trace, stream, file, overhead, error);
    fclose(stream);
    if (status)
        trace_free(&trace);
    else
        *trace_p = trace;
    return status;
}

/* --- at a time --- */

static size_t step_at(const struct trace *trace, uint64_t at_ns) {
    const uint64_t since = at_ns > trace->origin_ns ? at_ns - trace->origin_ns : 0;
    size_t low = 0, high = trace->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (trace->step[middle].from_ns <= since)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double trace_rate(const struct trace *trace, uint64_t at_ns) {
    return trace->step[step_at(trace, at_ns)].rate;
}

uint64_t trace_latency(const struct trace *trace, uint64_t at_ns) {
    return trace->step[step_at(trace, at_ns)].latency_ns;
}

uint64_t trace_next(const struct trace *trace, uint64_t after_ns) {
    const size_t next = step_at(trace, after_ns) + 1;
    return next < trace->count ? trace->origin_ns + trace->step[next].from_ns : UINT64_MAX;
}

uint64_t trace_end(const struct trace *trace, uint64_t begin_ns, double bytes) {
    for (uint64_t at = begin_ns;;) {
        const double rate = trace_rate(trace, at);
        const uint64_t next = trace_next(trace, at);
        const double room = next == UINT64_MAX ? INFINITY : rate * (double)(next - at);
        if (rate > 0 && bytes <= room)
            return at + (uint64_t)ceil(bytes / rate);
        bytes -= room;
        at = next;
    }
}

/* SPDX-License-Identifier: MIT
 *
 * trace.h -- a port's rate and latency over time: constant, or from a file with a line
 * `time_s Mbit/s latency_us` for each change.
 */
#ifndef DTR_EMULATED_TRACE_H
#define DTR_EMULATED_TRACE_H

#include <detransformer/plugin.h>

struct trace_step {
    uint64_t from_ns; /* since the beginning; the first is zero */
    double rate;      /* bytes a nanosecond; zero: nothing moves */
    uint64_t latency_ns;
};

struct trace {
    const struct dtr_host *host;
    size_t count; /* at least one; the last step holds for ever and its rate is not zero */
    struct trace_step *step;
    uint64_t origin_ns; /* the beginning, on the host's clock */
};

/* `overhead` percent of the rate is not payload. */
int trace_constant(const struct dtr_host *host, double mbit, double latency_us, double overhead,
                   struct trace *trace_p, struct dtr_error *error);
int trace_read(const struct dtr_host *host, const char *file, double overhead,
               struct trace *trace_p, struct dtr_error *error);
void trace_free(struct trace *trace);

double trace_rate(const struct trace *trace, uint64_t at_ns);
uint64_t trace_latency(const struct trace *trace, uint64_t at_ns);

/* When the rate changes next; UINT64_MAX: never. */
uint64_t trace_next(const struct trace *trace, uint64_t after_ns);

/* When `bytes` that begin to leave at `begin_ns` have left. */
uint64_t trace_end(const struct trace *trace, uint64_t begin_ns, double bytes);

#endif

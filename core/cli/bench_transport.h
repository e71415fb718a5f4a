/* SPDX-License-Identifier: MIT
 *
 * bench_transport.h -- what was measured of a transport, for the two files of `bench transport`.
 */
#ifndef DTR_CLI_BENCH_TRANSPORT_H
#define DTR_CLI_BENCH_TRANSPORT_H

#include <stdio.h>

#include "run/session.h"

/* One line: a collective of one size by one algorithm, of which the slowest device counts. */
struct dtr_transport_figure {
    enum dtr_collective_kind kind;
    enum dtr_algorithm algorithm;
    bool chosen;         /* the one that a plan would take */
    uint64_t bytes;      /* of the whole matrix, f32 */
    uint64_t port_bytes; /* payload through the busiest port */
    double mean_s, median_s, least_s;
    double limit_s; /* a plain stream of what the busiest port must carry, by the same engine */
};

struct dtr_transport_bench {
    const struct dtr_experiment *experiment;
    uint32_t repeats, warmup;
    double latency_s, bytes_per_s; /* half a ping; the longest stream */
    struct dtr_transport_figure *figures;
    size_t figures_count;
};

void dtr_transport_print_head(const struct dtr_transport_bench *bench, FILE *out);
void dtr_transport_print(const struct dtr_transport_figure *figure, FILE *out);
int dtr_transport_write_json(const struct dtr_transport_bench *bench, const char *path,
                             struct dtr_error *error);

/* A picture of all figures, next to which its script stays as FILE.gnuplot.  DTR_E_SYSTEM where
 * gnuplot is missing or fails. */
int dtr_transport_plot(const struct dtr_transport_bench *bench, const char *path,
                       struct dtr_error *error);

#endif

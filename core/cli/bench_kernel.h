/* SPDX-License-Identifier: MIT
 *
 * bench_kernel.h -- what `detransformer bench kernel` measures: plugins that take turns at the same
 * work, and the figures that come of it.
 */
#ifndef DTR_CLI_BENCH_KERNEL_H
#define DTR_CLI_BENCH_KERNEL_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "cli/bench_work.h"
#include "cli/chain.h"
#include "cli/command.h"
#include "cli/roofline.h"

enum {
    DTR_BENCH_PLUGINS = 16,
    DTR_BENCH_SHAPES = 64,
    DTR_BENCH_NUMBERS = 16,
    DTR_BENCH_ROUNDS = 7
};

/* A plugin that takes part. */
struct dtr_candidate {
    const struct dtr_plugin *plugin;
    struct dtr_chain chain;
    struct dtr_open_chain *open;
    struct dtr_bench_work *work; /* NULL: it does not do this one */
    uint32_t rounds;
    double spent_s, call_s[DTR_BENCH_ROUNDS]; /* of a round, the mean */
};

struct dtr_numbers {
    uint32_t count, value[DTR_BENCH_NUMBERS];
};

struct dtr_bench {
    const struct dtr_cli *cli;
    struct dtr_plugins *plugins;
    struct dtr_candidate candidate[DTR_BENCH_PLUGINS];
    uint32_t candidates, shapes;
    struct dtr_bench_shape shape[DTR_BENCH_SHAPES];
    struct dtr_numbers rows, threads;
    bool dtype[DTR_DTYPES];
    double seconds;               /* for each figure */
    bool table;                   /* on standard output */
    struct dtr_roofline roofline; /* with as many threads as the candidates are open with */
    cJSON *rooflines, *results;   /* of all */
};

/* The next of the words between commas, cut where it does not fit; false at the end. */
bool dtr_bench_next_word(const char **at, char *word, size_t bytes);

/* Fills in the candidates that --plugins names, or all that run here, with what --set says;
 * dtr_bench_candidates_free() also after a failure. */
int dtr_bench_candidates_choose(struct dtr_bench *bench, const char *list,
                                const struct dtr_arguments *arguments, struct dtr_error *error);
void dtr_bench_candidates_free(struct dtr_bench *bench);

/* Opens them with that many threads. */
int dtr_bench_candidates_open(struct dtr_bench *bench, uint32_t threads, struct dtr_error *error);

/* Measures everything with that many threads, prints it, and adds it to the JSON. */
int dtr_bench_figures(struct dtr_bench *bench, uint32_t threads, struct dtr_error *error);

#endif

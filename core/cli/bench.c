/* SPDX-License-Identifier: MIT
 *
 * bench.c -- `detransformer bench SUBJECT`: micro-benchmarks.  Each subject is a command in a file
 * of its own, bench_SUBJECT.c.
 */
#include "cli/commands.h"

static const struct dtr_command *const subjects[] = {
    &dtr_command_bench_kernel,
    &dtr_command_bench_transport,
    NULL,
};

const struct dtr_command dtr_command_bench = {
    .name = "bench",
    .summary = "measure kernels and transports against what the machine can do",
    .subjects = subjects,
};

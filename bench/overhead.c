/* SPDX-License-Identifier: MIT
 *
 * overhead.c -- what a request costs besides its kernels: the executor's own time as a fraction of
 * the request, and how often memory is allocated after warm-up, on the leader and on the workers.
 *
 *     make bench/overhead && bench/overhead EXP.ini [--set K=V]...
 *
 * It takes the place of the program: workers are this file again, and count their own.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sort.h"
#include "run/input.h"
#include "run/session.h"
#include "run/worker.h"

enum { WARMUP = 5, REQUESTS = 20 };

/* --- counting ---------------------------------------------------------------------------------- */

/* glibc's own, under the names by which it lets itself be replaced. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);

static atomic_ulong allocations;

void *malloc(size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t align, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(align, bytes);
}

/* --- a worker ---------------------------------------------------------------------------------- */

static int be_worker(char **argv) {
    const struct dtr_log log = {.level = DTR_LOG_WARN, .fd = 2};
    struct dtr_error error = {0};
    struct dtr_plugins *plugins;
    if (dtr_plugins_create(NULL, &log, &plugins, &error))
        return 1;
    const int status = dtr_worker_serve(atoi(argv[3]), NULL, plugins, &log, &error);
    dtr_plugins_free(plugins);
    fprintf(stderr, "worker: %lu allocations from start to end\n", atomic_load(&allocations));
    return status != DTR_OK;
}

/* --- the leader -------------------------------------------------------------------------------- */

/* The time of the steps that are kernels'; what is left of a request is the executor's. */
static double kernel_ms(const struct dtr_session *session) {
    struct dtr_device_trace trace;
    double sum = 0;
    if (!dtr_session_trace(session, 0, &trace))
        return 0;
    for (uint32_t i = 0; i < trace.schedule->steps_count; i++) {
        const uint8_t kind = trace.schedule->steps[i].kind;
        if (kind == DTR_STEP_LINEAR || kind == DTR_STEP_ATTENTION || kind == DTR_STEP_ADD_NORM)
            sum += (double)(trace.end_ns[i] - trace.begin_ns[i]) * 1e-6;
    }
    return sum;
}

static int measure(struct dtr_session *session, struct dtr_input *input,
                   const struct dtr_experiment *experiment, struct dtr_error *error) {
    double own[REQUESTS], latency[REQUESTS];
    unsigned long most = 0;
    const int requests = getenv("OVERHEAD_REQUESTS") ? atoi(getenv("OVERHEAD_REQUESTS")) : REQUESTS;
    for (int i = -WARMUP; i < requests && i < REQUESTS; i++) {
        struct dtr_request request;
        struct dtr_response response;
        int status = dtr_input_request(input, 0, &request, error);
        const unsigned long before = atomic_load(&allocations);
        if (!status)
            status = dtr_session_run(session, &request, &response, error);
        if (status)
            return status;
        if (i < 0)
            continue;
        const unsigned long more = atomic_load(&allocations) - before;
        most = more > most ? more : most;
        latency[i] = (double)response.latency_ns * 1e-6;
        own[i] = latency[i] - kernel_ms(session);
    }
    dtr_sort_doubles(own, (size_t)requests);
    dtr_sort_doubles(latency, (size_t)requests);
    const double median = latency[requests / 2];
    printf("leader: %lu allocations in a request at most\n", most);
    if (experiment->devices == 1)
        printf("request %.2f ms, of it %.3f ms not in kernels: %.2f %%\n", median,
               own[requests / 2], 100 * own[requests / 2] / median);
    return DTR_OK;
}

int main(int argc, char **argv) {
    if (argc > 3 && strcmp(argv[1], "worker") == 0)
        return be_worker(argv);
    const struct dtr_log log = {.level = DTR_LOG_WARN, .fd = 2};
    struct dtr_setting settings[64] = {{0}};
    struct dtr_error error = {0};
    struct dtr_plugins *plugins = NULL;
    struct dtr_experiment *experiment = NULL;
    struct dtr_input *input = NULL;
    struct dtr_session *session = NULL;
    struct dtr_session_options options = {.trace = true};
    const struct dtr_launch launch = {.plugin_path = NULL};
    size_t count = 0;
    for (int i = 3; i < argc && count < 64; i += 2)
        settings[count++].text = argv[i];
    int status = argc < 2 ? dtr_fail(&error, DTR_E_CONFIG, "usage: overhead EXP.ini [--set K=V]...")
                          : dtr_plugins_create(NULL, &log, &plugins, &error);
    if (!status)
        status =
            dtr_experiment_load(argv[1], settings, count, plugins, &log, &experiment, &error);
    if (!status)
        status = dtr_input_open(experiment, false, &input, &error);
    if (!status) {
        dtr_input_largest(input, &options.sequences_max, &options.length_max);
        status = dtr_session_open(experiment, plugins, &launch, &options, &log, NULL, &session,
                                  &error);
    }
    if (!status)
        status = dtr_input_check(input, dtr_session_model(session), &error);
    if (!status)
        status = measure(session, input, experiment, &error);
    if (status)
        fprintf(stderr, "overhead: %s\n", error.text);
    dtr_session_close(session);
    dtr_input_close(input);
    dtr_experiment_free(experiment);
    dtr_plugins_free(plugins);
    return status != DTR_OK;
}

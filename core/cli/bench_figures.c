/* SPDX-License-Identifier: MIT
 *
 * bench_figures.c -- measures the candidates and writes down what they reach.  They take turns, so
 * that whatever else the machine does meets all of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sort.h"
#include "cli/bench_kernel.h"

/* --- measuring -------------------------------------------------------------------------------- */

static int run_round(struct dtr_candidate *candidate, double seconds) {
    const uint64_t begin_ns = dtr_now_ns();
    double took_s = 0;
    uint32_t calls = 0;
    do {
        const int status = dtr_bench_work_run(candidate->work);
        if (status)
            return status;
        took_s = (double)(dtr_now_ns() - begin_ns) * 1e-9;
        calls++;
    } while (took_s < seconds);
    candidate->spent_s += took_s;
    candidate->call_s[candidate->rounds++] = took_s / calls;
    return DTR_OK;
}

/* The median round's, in seconds. */
static double call_s(struct dtr_candidate *candidate) {
    dtr_sort_doubles(candidate->call_s, candidate->rounds);
    return candidate->call_s[candidate->rounds / 2];
}

static int run_rounds(struct dtr_bench *bench, struct dtr_error *error) {
    for (int round = -1; round < DTR_BENCH_ROUNDS; round++)
        for (uint32_t i = 0; i < bench->candidates; i++) {
            struct dtr_candidate *candidate = &bench->candidate[i];
            /* Who takes seconds for a single call need not repeat it so often. */
            if (!candidate->work || (round > 0 && candidate->spent_s > 2 * bench->seconds))
                continue;
            if (round == 0)
                candidate->rounds = 0;
            const int status =
                run_round(candidate, round < 0 ? 0 : bench->seconds / DTR_BENCH_ROUNDS);
            if (status)
                return dtr_fail(error, status,
                                "the kernel plugin '%s' failed while it was measured",
                                candidate->plugin->name);
        }
    return DTR_OK;
}

/* --- results ---------------------------------------------------------------------------------- */

/* One line of the table. */
struct line {
    const struct dtr_bench_shape *shape;
    uint32_t threads, rows, dtype;
    double work;  /* operations, or bytes where there are none */
    double limit; /* in the unit of the figures; 0: not known */
};

static void print_head(const struct dtr_bench *bench, uint32_t threads) {
    const struct dtr_roofline *roofline = &bench->roofline;
    printf("%s%u thread%s: ", threads == bench->threads.value[0] ? "" : "\n", threads,
           threads == 1 ? "" : "s");
    for (uint32_t i = 0; i < DTR_DTYPES; i++)
        if (roofline->gflops[i] > 0)
            printf("%s %.1f GFLOP/s, ", dtr_dtype_name(i), roofline->gflops[i]);
    printf("memory %.1f GB/s\n%5s %-20s %-5s %-8s %7s", roofline->gbyte_s, "rows", "shape", "type",
           "unit", "limit");
    for (uint32_t i = 0; i < bench->candidates; i++)
        printf(" %14s", bench->candidate[i].plugin->name);
    puts("");
}

static void print_line(struct dtr_bench *bench, const struct line *line) {
    printf("%5u %-20s %-5s %-8s", line->rows, line->shape->name, dtr_dtype_name(line->dtype),
           line->shape->op == DTR_OP_ADD_NORM ? "GB/s" : "GFLOP/s");
    if (line->limit > 0)
        printf(" %7.1f", line->limit);
    else
        printf(" %7s", "-");
    for (uint32_t i = 0; i < bench->candidates; i++) {
        struct dtr_candidate *candidate = &bench->candidate[i];
        if (!candidate->work) {
            printf(" %14s", "-");
            continue;
        }
        const double speed = line->work / call_s(candidate) * 1e-9;
        printf(" %7.1f", speed);
        if (line->limit > 0)
            printf(" %4.0f %%", 100 * speed / line->limit);
        else
            printf("       ");
    }
    puts("");
    fflush(stdout);
}

static int add_json(struct dtr_bench *bench, const struct line *line, struct dtr_error *error) {
    const struct dtr_bench_shape *shape = line->shape;
    const bool norm = shape->op == DTR_OP_ADD_NORM;
    for (uint32_t i = 0; i < bench->candidates; i++) {
        struct dtr_candidate *candidate = &bench->candidate[i];
        cJSON *json = candidate->work ? cJSON_CreateObject() : NULL;
        if (!candidate->work)
            continue;
        const double seconds = call_s(candidate), speed = line->work / seconds * 1e-9;
        cJSON_AddStringToObject(json, "plugin", candidate->plugin->name);
        cJSON_AddNumberToObject(json, "threads", line->threads);
        cJSON_AddNumberToObject(json, "rows", line->rows);
        cJSON_AddStringToObject(json, "shape", shape->name);
        cJSON_AddStringToObject(json, "type", dtr_dtype_name(line->dtype));
        cJSON_AddNumberToObject(json, "ms", seconds * 1e3);
        cJSON_AddNumberToObject(json, norm ? "gbyte_s" : "gflops", speed);
        if (line->limit > 0)
            cJSON_AddNumberToObject(json, "limit", line->limit);
        else
            cJSON_AddNullToObject(json, "limit");
        if (!cJSON_AddItemToArray(bench->results, json))
            return dtr_fail_memory(error);
    }
    return DTR_OK;
}

static int add_roofline(const struct dtr_bench *bench, uint32_t threads, struct dtr_error *error) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "threads", threads);
    cJSON *gflops = cJSON_AddObjectToObject(json, "gflops");
    for (uint32_t i = 0; i < DTR_DTYPES; i++)
        if (bench->roofline.gflops[i] > 0)
            cJSON_AddNumberToObject(gflops, dtr_dtype_name(i), bench->roofline.gflops[i]);
    cJSON_AddNumberToObject(json, "gbyte_s", bench->roofline.gbyte_s);
    return cJSON_AddItemToArray(bench->rooflines, json) ? DTR_OK : dtr_fail_memory(error);
}

/* --- all of it -------------------------------------------------------------------------------- */

static int make_works(struct dtr_bench *bench, const struct line *line, struct dtr_error *error) {
    for (uint32_t i = 0; i < bench->candidates; i++) {
        struct dtr_candidate *candidate = &bench->candidate[i];
        candidate->spent_s = 0;
        candidate->rounds = 0;
        const int status = dtr_bench_work_create(dtr_chain_top(candidate->open), line->shape,
                                                 line->rows, line->dtype, &candidate->work, error);
        if (status && status != DTR_E_UNSUPPORTED)
            return status;
    }
    return DTR_OK;
}

static void free_works(struct dtr_bench *bench) {
    for (uint32_t i = 0; i < bench->candidates; i++) {
        dtr_bench_work_free(bench->candidate[i].work);
        bench->candidate[i].work = NULL;
    }
}

static int measure_line(struct dtr_bench *bench, struct line *line, struct dtr_error *error) {
    const double flops = dtr_bench_flops(line->shape, line->rows);
    const double bytes = dtr_bench_bytes(line->shape, line->rows, line->dtype);
    line->work = flops > 0 ? flops : bytes;
    /* What is added and normalised fits into a cache: memory is no limit. */
    line->limit = flops > 0 ? dtr_roofline_limit(&bench->roofline, line->dtype, flops, bytes) : 0;
    int status = make_works(bench, line, error);
    if (!status)
        status = run_rounds(bench, error);
    if (!status && bench->table)
        print_line(bench, line);
    if (!status)
        status = add_json(bench, line, error);
    free_works(bench);
    return status;
}

static int measure_shape(struct dtr_bench *bench, struct line line, struct dtr_error *error) {
    int status = DTR_OK;
    if (line.shape->op == DTR_OP_ADD_NORM)
        return measure_line(bench, &line, error);
    for (line.dtype = 0; !status && line.dtype < DTR_DTYPES; line.dtype++)
        if (bench->dtype[line.dtype])
            status = measure_line(bench, &line, error);
    return status;
}

static int measure_roofline(struct dtr_bench *bench, uint32_t threads, struct dtr_error *error) {
    struct dtr_pool *pool;
    int status = dtr_pool_create(threads, &pool, error);
    if (status)
        return status;
    status = dtr_roofline_measure(pool, threads, bench->seconds, &bench->roofline, error);
    dtr_pool_free(pool);
    return status ? status : add_roofline(bench, threads, error);
}

int dtr_bench_figures(struct dtr_bench *bench, uint32_t threads, struct dtr_error *error) {
    int status = measure_roofline(bench, threads, error);
    if (!status && bench->table)
        print_head(bench, threads);
    for (uint32_t r = 0; !status && r < bench->rows.count; r++)
        for (uint32_t s = 0; !status && s < bench->shapes; s++)
            status = measure_shape(bench,
                                   (struct line){.shape = &bench->shape[s],
                                                 .threads = threads,
                                                 .rows = bench->rows.value[r],
                                                 .dtype = DTR_F32},
                                   error);
    return status;
}

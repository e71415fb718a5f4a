/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "cli/bench_transport.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "plan/route.h"
#include "report/gnuplot.h"
#include "report/report.h"

void dtr_transport_print_head(const struct dtr_transport_bench *bench, FILE *out) {
    fprintf(out,
            "%u devices over %s: latency %.1f us, %.1f Mbit/s in one stream\n"
            "%-14s %-9s %8s %9s %10s %10s %10s %10s %8s\n",
            bench->experiment->devices, bench->experiment->transport, bench->latency_s * 1e6,
            bench->bytes_per_s * 8e-6, "collective", "by", "bytes", "a port", "mean us",
            "median us", "least us", "limit us", "of limit");
}

void dtr_transport_print(const struct dtr_transport_figure *figure, FILE *out) {
    const char *algorithm = dtr_algorithm_name(figure->algorithm);
    fprintf(out, "%-14s %s%-*s %8llu %9llu %10.1f %10.1f %10.1f %10.1f %8.2f\n",
            dtr_collective_kind_name(figure->kind), algorithm, 9 - (int)strlen(algorithm),
            figure->chosen ? "*" : "", (unsigned long long)figure->bytes,
            (unsigned long long)figure->port_bytes, figure->mean_s * 1e6, figure->median_s * 1e6,
            figure->least_s * 1e6, figure->limit_s * 1e6, figure->mean_s / figure->limit_s);
    fflush(out);
}

static cJSON *figure_json(const struct dtr_transport_figure *figure) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "collective", dtr_collective_kind_name(figure->kind));
    cJSON_AddStringToObject(json, "algorithm", dtr_algorithm_name(figure->algorithm));
    cJSON_AddBoolToObject(json, "chosen", figure->chosen);
    cJSON_AddNumberToObject(json, "bytes", (double)figure->bytes);
    cJSON_AddNumberToObject(json, "port_bytes", (double)figure->port_bytes);
    cJSON_AddNumberToObject(json, "mean_us", figure->mean_s * 1e6);
    cJSON_AddNumberToObject(json, "median_us", figure->median_s * 1e6);
    cJSON_AddNumberToObject(json, "least_us", figure->least_s * 1e6);
    cJSON_AddNumberToObject(json, "limit_us", figure->limit_s * 1e6);
    return json;
}

int dtr_transport_write_json(const struct dtr_transport_bench *bench, const char *path,
                             struct dtr_error *error) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "version", PACKAGE_VERSION);
    cJSON_AddStringToObject(json, "transport", bench->experiment->transport);
    cJSON_AddNumberToObject(json, "devices", bench->experiment->devices);
    cJSON_AddNumberToObject(json, "repeats", bench->repeats);
    cJSON_AddNumberToObject(json, "warmup", bench->warmup);
    cJSON_AddNumberToObject(json, "latency_us", bench->latency_s * 1e6);
    cJSON_AddNumberToObject(json, "mbit", bench->bytes_per_s * 8e-6);
    cJSON *figures = cJSON_AddArrayToObject(json, "figures");
    bool whole = figures != NULL;
    for (size_t i = 0; i < bench->figures_count && whole; i++)
        whole = cJSON_AddItemToArray(figures, figure_json(&bench->figures[i]));
    const int status = whole ? dtr_report_write_json(path, json, error) : dtr_fail_memory(error);
    cJSON_Delete(json);
    return status;
}

static bool same_curve(const struct dtr_transport_figure *a, const struct dtr_transport_figure *b) {
    return a->kind == b->kind && a->algorithm == b->algorithm;
}

/* The points of a curve, and what gnuplot is told of it. */
static void write_curve(const struct dtr_transport_bench *bench, size_t first, FILE *out) {
    const struct dtr_transport_figure *of = &bench->figures[first];
    fprintf(out, "$curve%zu << end\n", first);
    for (size_t i = first; i < bench->figures_count; i++)
        if (same_curve(&bench->figures[i], of))
            fprintf(out, "%llu %g\n", (unsigned long long)bench->figures[i].bytes,
                    bench->figures[i].mean_s * 1e6);
    fprintf(out, "end\nplots = plots . \"%s$curve%zu using 1:2 with linespoints title '%s %s'\"\n",
            first ? ", " : "", first, dtr_collective_kind_name(of->kind),
            dtr_algorithm_name(of->algorithm));
}

static void write_script(const struct dtr_transport_bench *bench, const char *path, FILE *out) {
    fprintf(out,
            "set title '%u devices over %s' noenhanced\nset logscale xy\nset grid\n"
            "set xlabel 'bytes'\nset ylabel 'us'\nset key outside right\nplots = ''\n",
            bench->experiment->devices, bench->experiment->transport);
    for (size_t i = 0; i < bench->figures_count; i++) {
        size_t first = 0;
        while (!same_curve(&bench->figures[first], &bench->figures[i]))
            first++;
        if (first == i)
            write_curve(bench, i, out);
    }
    fprintf(out,
            "set terminal pngcairo size 1200,700 noenhanced\n"
            "if (!exists('streamed')) set output '%s'\n"
            "eval(\"plot \".plots)\n",
            path);
}

int dtr_transport_plot(const struct dtr_transport_bench *bench, const char *path,
                       struct dtr_error *error) {
    char *script;
    if (asprintf(&script, "%s.gnuplot", path) < 0)
        return dtr_fail_memory(error);
    FILE *file = fopen(script, "w");
    int status = file ? DTR_OK : dtr_fail(error, DTR_E_SYSTEM, "%s: %s", script, strerror(errno));
    if (file)
        write_script(bench, path, file);
    if (file && !dtr_file_close(file))
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: %s", script, strerror(errno));
    bool drawn = false;
    if (!status)
        status = dtr_gnuplot(script, "png", path, &drawn, error);
    if (!status && !drawn)
        status = dtr_fail(error, DTR_E_SYSTEM, "gnuplot did not draw %s", script);
    free(script);
    return status;
}

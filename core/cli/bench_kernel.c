/* SPDX-License-Identifier: MIT
 *
 * bench_kernel.c -- `detransformer bench kernel`: what kernel plugins reach by shape, type and
 * threads, beside what the processor can do.
 */
#include "config.h"

#include "cli/bench_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "report/report.h"
#include "run/planning.h"

static const struct dtr_option options[] = {
    {"plugins", "LIST", "names, separated by commas (default: all that can run here)", false},
    {"shapes", "LIST", "base (the default), large, names of theirs, or OUTxIN", false},
    {"rows", "LIST", "rows of the input, or tokens of the attention (default: 128)", false},
    {"types", "LIST", "of f32, bf16 and int8 (default: all three)", false},
    {"threads", "LIST", "compute threads (default: 1, and all cores)", false},
    {"seconds", "S", "for each figure (default: 0.2)", false},
    {"set", "NAME.KEY=V", "gives a parameter of the plugin NAME that value", true},
    {"json", "FILE", "write the figures as JSON; - is standard output", false},
    {NULL, NULL, NULL, false},
};

/* --- options ---------------------------------------------------------------------------------- */

bool dtr_bench_next_word(const char **at, char *word, size_t bytes) {
    const size_t length = strcspn(*at, ",");
    if (!**at)
        return false;
    snprintf(word, bytes, "%.*s", (int)length, *at);
    *at += length + ((*at)[length] == ',');
    return true;
}

static int read_numbers(const char *option, const char *list, uint32_t most,
                        struct dtr_numbers *numbers, struct dtr_error *error) {
    char word[40], *end;
    numbers->count = 0;
    for (const char *at = list; dtr_bench_next_word(&at, word, sizeof word);) {
        errno = 0;
        const unsigned long value = strtoul(word, &end, 10);
        if (word[0] < '0' || word[0] > '9' || *end || errno || !value || value > most)
            return dtr_fail(error, DTR_E_CONFIG, "--%s: '%s' is not a number from 1 to %u", option,
                            word, most);
        if (numbers->count == DTR_BENCH_NUMBERS)
            return dtr_fail(error, DTR_E_CONFIG, "--%s: more than %d numbers", option,
                            DTR_BENCH_NUMBERS);
        numbers->value[numbers->count++] = (uint32_t)value;
    }
    return numbers->count ? DTR_OK : dtr_fail(error, DTR_E_CONFIG, "--%s: no number", option);
}

static int read_types(const char *list, struct dtr_bench *bench, struct dtr_error *error) {
    char word[40];
    for (const char *at = list; dtr_bench_next_word(&at, word, sizeof word);) {
        uint32_t dtype = 0;
        while (dtype < DTR_DTYPES && strcmp(word, dtr_dtype_name(dtype)) != 0)
            dtype++;
        if (dtype == DTR_DTYPES || dtype == DTR_F16)
            return dtr_fail(error, DTR_E_CONFIG, "--types: '%s' is none of f32, bf16 and int8",
                            word);
        bench->dtype[dtype] = true;
    }
    return *list ? DTR_OK : dtr_fail(error, DTR_E_CONFIG, "--types: no type");
}

static int read_seconds(const char *text, double *seconds_p, struct dtr_error *error) {
    char *end;
    const double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds > 0 && seconds <= 3600))
        return dtr_fail(error, DTR_E_CONFIG, "--seconds: '%s' is not a number above 0, up to 3600",
                        text);
    *seconds_p = seconds;
    return DTR_OK;
}

static bool add_shape(struct dtr_bench *bench, const struct dtr_bench_shape *shape) {
    if (bench->shapes == DTR_BENCH_SHAPES)
        return false;
    bench->shape[bench->shapes++] = *shape;
    return true;
}

/* A word of --shapes: a model's name takes all that begin with it. */
static int read_shape(struct dtr_bench *bench, const char *word, struct dtr_error *error) {
    struct dtr_suggestion suggestion = {.word = word};
    const struct dtr_bench_shape *known;
    const size_t length = strlen(word);
    struct dtr_bench_shape own = {.op = DTR_OP_LINEAR};
    uint32_t before = bench->shapes;
    char text[100];
    int used = 0;
    bool fits = true;
    for (size_t i = 0; (known = dtr_bench_shape(i)); i++) {
        dtr_suggest_offer(&suggestion, known->name);
        if (!strcmp(known->name, word) ||
            (!strncmp(known->name, word, length) && known->name[length] == '-'))
            fits &= add_shape(bench, known);
    }
    if (sscanf(word, "%5ux%5u%n", &own.out, &own.in, &used) == 2 && !word[used] && own.out &&
        own.in) {
        snprintf(own.name, sizeof own.name, "%ux%u", own.out, own.in);
        fits &= add_shape(bench, &own);
    }
    if (!fits)
        return dtr_fail(error, DTR_E_CONFIG, "--shapes: more than %d", DTR_BENCH_SHAPES);
    if (bench->shapes == before)
        return dtr_fail(error, DTR_E_CONFIG,
                        "--shapes: '%s' is neither base, large, one of theirs nor OUTxIN%s", word,
                        dtr_suggest_text(&suggestion, text, sizeof text));
    return DTR_OK;
}

static int read_shapes(const char *list, struct dtr_bench *bench, struct dtr_error *error) {
    char word[40];
    int status = DTR_OK;
    for (const char *at = list; !status && dtr_bench_next_word(&at, word, sizeof word);)
        status = read_shape(bench, word, error);
    if (!status && !bench->shapes)
        return dtr_fail(error, DTR_E_CONFIG, "--shapes: no shape");
    return status;
}

static int read_options(struct dtr_bench *bench, const struct dtr_arguments *arguments,
                        struct dtr_error *error) {
    const struct dtr_command *command = &dtr_command_bench_kernel;
    const char *shapes = dtr_argument(command, arguments, "shapes");
    const char *rows = dtr_argument(command, arguments, "rows");
    const char *types = dtr_argument(command, arguments, "types");
    const char *threads = dtr_argument(command, arguments, "threads");
    const char *seconds = dtr_argument(command, arguments, "seconds");
    const char *json = dtr_argument(command, arguments, "json");
    const uint32_t cores = dtr_cores();
    char all[40];
    snprintf(all, sizeof all, cores > 1 ? "1,%u" : "%u", cores);
    int status = read_shapes(shapes ? shapes : "base", bench, error);
    if (!status)
        status = read_numbers("rows", rows ? rows : "128", 65536, &bench->rows, error);
    if (!status)
        status = read_numbers("threads", threads ? threads : all, 1024, &bench->threads, error);
    if (!status)
        status = read_types(types ? types : "f32,bf16,int8", bench, error);
    if (!status)
        status = read_seconds(seconds ? seconds : "0.2", &bench->seconds, error);
    if (!status && json && strcmp(json, "-") != 0)
        status = dtr_report_check_file(json, true, error);
    bench->table = !json || strcmp(json, "-") != 0;
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

static int measure(struct dtr_bench *bench, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t i = 0; !status && i < bench->threads.count; i++) {
        status = dtr_bench_candidates_open(bench, bench->threads.value[i], error);
        if (!status)
            status = dtr_bench_figures(bench, bench->threads.value[i], error);
    }
    return status;
}

static int write_json(const struct dtr_bench *bench, const char *path, struct dtr_error *error) {
    char cpu[200];
    cJSON *json = cJSON_CreateObject();
    dtr_planning_cpu(cpu, sizeof cpu);
    cJSON_AddStringToObject(json, "version", PACKAGE_VERSION);
    cJSON_AddStringToObject(json, "cpu", cpu);
    cJSON_AddNumberToObject(json, "seconds", bench->seconds);
    cJSON_AddItemReferenceToObject(json, "rooflines", bench->rooflines);
    const bool whole = cJSON_AddItemReferenceToObject(json, "results", bench->results);
    const int status = whole ? dtr_report_write_json(path, json, error) : dtr_fail_memory(error);
    cJSON_Delete(json);
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    const char *plugins = dtr_argument(&dtr_command_bench_kernel, arguments, "plugins");
    const char *json = dtr_argument(&dtr_command_bench_kernel, arguments, "json");
    struct dtr_error error = {0};
    struct dtr_bench bench = {.cli = cli};
    bench.rooflines = cJSON_CreateArray();
    bench.results = cJSON_CreateArray();
    int status = read_options(&bench, arguments, &error);
    if (!status)
        status = dtr_cli_plugins(cli, &bench.plugins, &error);
    if (!status)
        status = dtr_bench_candidates_choose(&bench, plugins, arguments, &error);
    if (!status)
        status = measure(&bench, &error);
    if (!status && json)
        status = write_json(&bench, json, &error);
    dtr_bench_candidates_free(&bench);
    dtr_plugins_free(bench.plugins);
    cJSON_Delete(bench.rooflines);
    cJSON_Delete(bench.results);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_bench_kernel = {
    .name = "bench kernel",
    .summary = "kernel plugins by shape, type and threads, against the machine's limit",
    .options = options,
    .help =
        "The limit is the roofline, measured in the same run: what multiply-adds on registers\n"
        "alone reach, or what memory delivers where a weight is read for too few rows.  As many\n"
        "weights take turns as no cache holds.  Figures are medians of seven rounds, in which\n"
        "the plugins take turns; adding and normalising is in GB/s, the rest in GFLOP/s.",
    .run = run,
};

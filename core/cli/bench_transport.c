/* SPDX-License-Identifier: MIT
 *
 * bench_transport.c -- `detransformer bench transport EXP.ini`: latency, bandwidth and collectives
 * of the experiment's devices over its transport, beside what a plain stream reaches.
 */
#include "cli/bench_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/bench_kernel.h"
#include "cli/commands.h"
#include "cli/experiment.h"
#include "plan/wire.h"
#include "report/progress.h"
#include "report/report.h"
#include "run/planning.h"

static const struct dtr_option options[] = {
    {"collectives", "LIST", "all-gather, all-reduce, ... (default: all)", false},
    {"algorithms", "LIST", "direct, ring, ... (default: all that come into question)", false},
    {"sizes", "LIST", "bytes of the whole matrix (default: 1024, four times that, ... 4 MiB)",
     false},
    {"repeats", "N", "of each figure (default: 20)", false},
    {"warmup", "N", "repeats that do not count, before the others (default: 3)", false},
    {"json", "FILE", "write the figures as JSON; - is standard output", false},
    {"plot", "FILE.png", "draw the figures with gnuplot", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {NULL, NULL, NULL, false},
};

enum { SIZES_MOST = 64 };

struct wanted {
    bool kind[DTR_COLLECTIVE_KINDS], algorithm[DTR_ALGORITHMS];
    bool every; /* algorithms: what comes into question */
    uint64_t size[SIZES_MOST];
    size_t sizes;
    const char *json, *plot;
    FILE *table; /* NULL: standard output is JSON's */
};

struct job {
    struct wanted wanted;
    struct dtr_transport_bench bench;
    struct dtr_opened opened;
    struct dtr_session *session;
    struct dtr_ways ways;          /* what a plan would take */
    struct dtr_trial_times *times; /* [devices] */
};

/* --- options ---------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind) {
    return dtr_collective_kind_name(kind);
}

static const char *algorithm_name(uint32_t algorithm) {
    return dtr_algorithm_name(algorithm);
}

/* Marks the names of a list among `count` known ones. */
static int read_names(const char *option, const char *list, uint32_t count,
                      const char *(*name)(uint32_t), bool *marked, struct dtr_error *error) {
    char word[40];
    for (const char *at = list; dtr_bench_next_word(&at, word, sizeof word);) {
        struct dtr_suggestion suggestion = {.word = word};
        uint32_t i = 0;
        for (uint32_t j = 0; j < count; j++)
            dtr_suggest_offer(&suggestion, name(j));
        while (i < count && strcmp(name(i), word) != 0)
            i++;
        char text[80];
        if (i == count)
            return dtr_fail(error, DTR_E_CONFIG, "--%s: unknown '%s'%s", option, word,
                            dtr_suggest_text(&suggestion, text, sizeof text));
        marked[i] = true;
    }
    return *list ? DTR_OK : dtr_fail(error, DTR_E_CONFIG, "--%s: nothing in the list", option);
}

static int read_number(const char *option, const char *word, uint64_t least, uint64_t most,
                       uint64_t *value_p, struct dtr_error *error) {
    char *end;
    errno = 0;
    *value_p = strtoull(word, &end, 10);
    if (word[0] < '0' || word[0] > '9' || *end || errno || *value_p < least || *value_p > most)
        return dtr_fail(error, DTR_E_CONFIG, "--%s: '%s' is not a number from %llu to %llu", option,
                        word, (unsigned long long)least, (unsigned long long)most);
    return DTR_OK;
}

/* How often, where the option is given. */
static int read_count(const struct dtr_arguments *arguments, const char *option, uint64_t least,
                      uint32_t *count_p, struct dtr_error *error) {
    const char *word = dtr_argument(&dtr_command_bench_transport, arguments, option);
    uint64_t count = *count_p;
    const int status =
        word ? read_number(option, word, least, DTR_TRIAL_REPEATS, &count, error) : DTR_OK;
    *count_p = (uint32_t)count;
    return status;
}

static int read_sizes(const char *list, struct wanted *wanted, struct dtr_error *error) {
    char word[40];
    int status = DTR_OK;
    for (const char *at = list; !status && dtr_bench_next_word(&at, word, sizeof word);) {
        if (wanted->sizes == SIZES_MOST)
            return dtr_fail(error, DTR_E_CONFIG, "--sizes: more than %d", SIZES_MOST);
        status =
            read_number("sizes", word, 1, DTR_TRIAL_BYTES, &wanted->size[wanted->sizes++], error);
    }
    return wanted->sizes ? status : dtr_fail(error, DTR_E_CONFIG, "--sizes: no number");
}

static void mark_all(bool *marked, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        marked[i] = true;
}

static int read_options(struct job *job, const struct dtr_arguments *arguments,
                        struct dtr_error *error) {
    const struct dtr_command *command = &dtr_command_bench_transport;
    struct wanted *wanted = &job->wanted;
    const char *kinds = dtr_argument(command, arguments, "collectives");
    const char *algorithms = dtr_argument(command, arguments, "algorithms");
    const char *sizes = dtr_argument(command, arguments, "sizes");
    wanted->json = dtr_argument(command, arguments, "json");
    wanted->plot = dtr_argument(command, arguments, "plot");
    wanted->table = wanted->json && strcmp(wanted->json, "-") == 0 ? NULL : stdout;
    wanted->every = !algorithms;
    mark_all(wanted->kind, kinds ? 0 : DTR_TRANSFER);
    mark_all(wanted->algorithm, algorithms ? 0 : DTR_ALGORITHMS);
    int status =
        kinds ? read_names("collectives", kinds, DTR_TRANSFER, kind_name, wanted->kind, error)
              : DTR_OK;
    if (!status && algorithms)
        status = read_names("algorithms", algorithms, DTR_ALGORITHMS, algorithm_name,
                            wanted->algorithm, error);
    if (!status)
        status = read_sizes(sizes ? sizes : "1024,4096,16384,65536,262144,1048576,4194304", wanted,
                            error);
    if (!status)
        status = read_count(arguments, "repeats", 1, &job->bench.repeats, error);
    if (!status)
        status = read_count(arguments, "warmup", 0, &job->bench.warmup, error);
    if (!status && wanted->json && wanted->table)
        status = dtr_report_check_file(wanted->json, true, error);
    if (!status && wanted->plot)
        status = dtr_report_check_file(wanted->plot, true, error);
    return status;
}

/* --- measuring -------------------------------------------------------------------------------- */

/* The slowest device's times, and the busiest port's bytes. */
static int try(struct job *job, const struct dtr_trial *trial, struct dtr_transport_figure *figure,
               struct dtr_error *error) {
    const int status = dtr_session_try(job->session, trial, job->times, error);
    for (uint32_t i = 0; i < job->opened.experiment->devices && !status; i++) {
        const struct dtr_trial_times *times = &job->times[i];
        const uint64_t bytes =
            times->bytes_sent > times->bytes_received ? times->bytes_sent : times->bytes_received;
        figure->port_bytes = bytes > figure->port_bytes ? bytes : figure->port_bytes;
        figure->mean_s = times->mean_s > figure->mean_s ? times->mean_s : figure->mean_s;
        figure->median_s = times->median_s > figure->median_s ? times->median_s : figure->median_s;
        figure->least_s = times->least_s > figure->least_s ? times->least_s : figure->least_s;
    }
    return status;
}

/* A plain stream of so many bytes. */
static int stream(struct job *job, uint64_t bytes, double *mean_p, struct dtr_error *error) {
    const struct dtr_trial trial = {.what = DTR_TRIAL_STREAM,
                                    .rows = 1,
                                    .columns = (uint32_t)((bytes + 3) / sizeof(float)),
                                    .warmup = job->bench.warmup,
                                    .repeats = job->bench.repeats};
    struct dtr_transport_figure figure = {0};
    const int status = try(job, &trial, &figure, error);
    *mean_p = figure.mean_s;
    return status;
}

/* Pings are short. */
static uint32_t ten_times(uint32_t count) {
    return count < DTR_TRIAL_REPEATS / 10 ? 10 * count : DTR_TRIAL_REPEATS;
}

static int measure_line(struct job *job, struct dtr_error *error) {
    const struct dtr_trial ping = {.what = DTR_TRIAL_PING,
                                   .rows = 1,
                                   .columns = 1,
                                   .warmup = ten_times(job->bench.warmup),
                                   .repeats = ten_times(job->bench.repeats)};
    const uint64_t long_bytes = 1 << 20;
    struct dtr_transport_figure figure = {0};
    double stream_s = 0;
    int status = try(job, &ping, &figure, error);
    if (!status)
        status = stream(job, long_bytes, &stream_s, error);
    /* Device 0 sees there and back, device 1 a stream. */
    job->bench.latency_s = figure.median_s / 2;
    job->bench.bytes_per_s = stream_s > 0 ? (double)long_bytes / stream_s : 0;
    return status;
}

/* A matrix of about that size which all devices share evenly. */
static struct dtr_trial shape(const struct job *job, enum dtr_collective_kind kind, uint64_t size) {
    const uint32_t devices = job->opened.experiment->devices;
    const uint32_t rows = devices * (devices < 16 ? 16 / devices : 1);
    const uint64_t columns = size / sizeof(float) / rows;
    return (struct dtr_trial){
        .what = DTR_TRIAL_COLLECTIVE,
        .kind = kind,
        .wire = (uint32_t)job->opened.experiment->wire,
        .rows = rows,
        .columns = columns > devices ? (uint32_t)columns : devices,
        .warmup = job->bench.warmup,
        .repeats = job->bench.repeats,
    };
}

/* The one that a plan would take: of a matrix of that many bytes on the wire. */
static enum dtr_algorithm chosen(const struct job *job, const struct dtr_trial *trial) {
    const uint64_t values = (uint64_t)trial->rows * trial->columns;
    return dtr_ways_algorithm(&job->ways, trial->kind, job->opened.experiment->devices,
                              dtr_wire_bytes((uint8_t)trial->wire, trial->rows, values));
}

static int measure_one(struct job *job, struct dtr_trial *trial, enum dtr_algorithm algorithm,
                       double *limit_p, struct dtr_error *error) {
    struct dtr_transport_figure figure = {
        .kind = trial->kind,
        .algorithm = algorithm,
        .chosen = algorithm == chosen(job, trial),
        .bytes = (uint64_t)trial->rows * trial->columns * sizeof(float),
    };
    trial->algorithm = algorithm;
    int status = try(job, trial, &figure, error);
    if (!status && algorithm == DTR_DIRECT)
        status = stream(job, figure.port_bytes, limit_p, error);
    if (status)
        return status;
    figure.limit_s = *limit_p;
    struct dtr_transport_figure *larger =
        realloc(job->bench.figures, (job->bench.figures_count + 1) * sizeof *job->bench.figures);
    if (!larger)
        return dtr_fail_memory(error);
    job->bench.figures = larger;
    larger[job->bench.figures_count++] = figure;
    if (job->wanted.table)
        dtr_transport_print(&figure, job->wanted.table);
    return DTR_OK;
}

/* By all algorithms that are wanted, and the chosen one.  Straight first, which tells what the
 * busiest port has to carry. */
static int measure_size(struct job *job, enum dtr_collective_kind kind, uint64_t size,
                        struct dtr_error *error) {
    struct dtr_trial trial = shape(job, kind, size);
    double limit_s = 0;
    int status = DTR_OK;
    for (enum dtr_algorithm i = 0; i < DTR_ALGORITHMS && !status; i++) {
        struct dtr_error refused = {0};
        if (i != DTR_DIRECT && i != chosen(job, &trial) &&
            (!job->wanted.algorithm[i] || (job->wanted.every && !dtr_collective_may(kind, i))))
            continue;
        status = measure_one(job, &trial, i, &limit_s, &refused);
        if (status == DTR_E_CONFIG && job->wanted.every)
            status = DTR_OK;
        else if (status)
            *error = refused;
    }
    return status;
}

static int measure(struct job *job, struct dtr_error *error) {
    int status = measure_line(job, error);
    if (!status && job->wanted.table)
        dtr_transport_print_head(&job->bench, job->wanted.table);
    for (enum dtr_collective_kind kind = 0; kind < DTR_COLLECTIVE_KINDS; kind++)
        for (size_t i = 0; i < job->wanted.sizes && job->wanted.kind[kind] && !status; i++)
            status = measure_size(job, kind, job->wanted.size[i], error);
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

/* By the profile that the experiment names, if any. */
static int choose(struct job *job, struct dtr_error *error) {
    const struct dtr_experiment *experiment = job->opened.experiment;
    const struct dtr_model_source source = dtr_experiment_model(experiment);
    int status = experiment->profile ? dtr_model_open(&source, &job->opened.model, error) : DTR_OK;
    if (!status)
        status =
            dtr_planning_read_profile(experiment, job->opened.model, &job->opened.profile, error);
    return status ? status
                  : dtr_planning_choose_ways(experiment, job->opened.profile, experiment->devices,
                                             &job->ways, error);
}

static int open_session(struct job *job, const struct dtr_cli *cli,
                        const struct dtr_arguments *arguments, struct dtr_error *error) {
    struct dtr_settings settings;
    int status = dtr_cli_settings(&dtr_command_bench_transport, arguments, &settings, error);
    if (!status)
        status = dtr_cli_load(cli, arguments->operands[0], &settings, &job->opened, error);
    dtr_cli_settings_free(&settings);
    if (status)
        return status;
    job->bench.experiment = job->opened.experiment;
    if (job->opened.experiment->devices < 2)
        return dtr_fail(error, DTR_E_CONFIG, "%s: [cluster] devices: one device has no transport",
                        dtr_experiment_origin(job->opened.experiment, "cluster", "devices"));
    job->times = calloc(job->opened.experiment->devices, sizeof *job->times);
    if (!job->times)
        return dtr_fail_memory(error);
    status = choose(job, error);
    if (status)
        return status;
    job->opened.options.only_group = true;
    job->opened.options.sequences_max = job->opened.options.length_max = 1;
    return dtr_session_open(job->opened.experiment, job->opened.plugins, &cli->launch,
                            &job->opened.options, &cli->log, NULL, &job->session, error);
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    struct job job = {.bench = {.repeats = 20, .warmup = 3}};
    int status = read_options(&job, arguments, &error);
    if (!status)
        status = open_session(&job, cli, arguments, &error);
    if (!status)
        status = measure(&job, &error);
    dtr_session_close(job.session);
    if (!status && job.wanted.json)
        status = dtr_transport_write_json(&job.bench, job.wanted.json, &error);
    if (!status && job.wanted.plot)
        status = dtr_transport_plot(&job.bench, job.wanted.plot, &error);
    free(job.bench.figures);
    free(job.times);
    dtr_cli_close(&job.opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_bench_transport = {
    .name = "bench transport",
    .summary = "collectives by size and algorithm, against what a stream reaches",
    .operands = "EXP.ini",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .leads = true,
    .help = "The devices and their transport are the experiment's; the model is not loaded.  The\n"
            "limit is a plain stream of as many bytes as the busiest port must carry, from device\n"
            "0 to device 1 in the same run.  Times are those of the slowest device.  *: the\n"
            "algorithm that a plan would take, by [planner] profile if there is one.",
    .run = run,
};

/* SPDX-License-Identifier: MIT */
#include "report/sweep.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "report/gnuplot.h"

enum { TEXT = 400 };

struct point {
    uint64_t experiment; /* a digest of what was measured, 0: not known */
    bool done;
    double median_ms, least_ms, mean_ms, p95_ms, predicted_ms; /* NaN: not known */
    double bytes_sent, weight_bytes;                           /* of the device with the most */
    bool valid;
    char failure[200];
};

struct dtr_sweep {
    const struct dtr_experiment *experiment;
    const struct dtr_grid **axes; /* keys of [sweep], in order */
    size_t axes_count;
    const char **series; /* their names; one that is NULL where there are none */
    size_t series_count;
    size_t grids;
    struct point *points;
    size_t count;
    char (*texts)[TEXT]; /* [grids] settings of one point */
    char name[TEXT];
    char *folder;
    bool predict; /* predictions are all that is wanted */
    FILE *csv;
};

/* --- the grid --------------------------------------------------------------------------------- */

static int collect(struct dtr_sweep *sweep, struct dtr_error *error) {
    const struct dtr_grid *grid;
    while (dtr_experiment_grid(sweep->experiment, sweep->grids))
        sweep->grids++;
    sweep->axes = calloc(sweep->grids + 1, sizeof *sweep->axes);
    sweep->series = calloc(sweep->grids + 1, sizeof *sweep->series);
    sweep->texts = calloc(sweep->grids + 1, sizeof *sweep->texts);
    if (!sweep->axes || !sweep->series || !sweep->texts)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < sweep->grids; i++) {
        grid = dtr_experiment_grid(sweep->experiment, i);
        if (!grid->series)
            sweep->axes[sweep->axes_count++] = grid;
        else if (!sweep->series_count ||
                 strcmp(sweep->series[sweep->series_count - 1], grid->series) != 0)
            sweep->series[sweep->series_count++] = grid->series;
    }
    if (!sweep->axes_count && !sweep->series_count)
        return dtr_fail(error, DTR_E_CONFIG, "%s: there is no [sweep] and no [series.NAME]",
                        sweep->experiment->file);
    if (!sweep->series_count)
        sweep->series_count = 1;
    return DTR_OK;
}

int dtr_sweep_create(const struct dtr_experiment *experiment, struct dtr_sweep **sweep_p,
                     struct dtr_error *error) {
    struct dtr_sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return dtr_fail_memory(error);
    sweep->experiment = experiment;
    int status = collect(sweep, error);
    sweep->count = sweep->series_count;
    for (size_t i = 0; i < sweep->axes_count; i++)
        sweep->count *= sweep->axes[i]->values.count;
    if (!status && sweep->count > 1000000)
        status = dtr_fail(error, DTR_E_CONFIG, "%s: the grid has %zu points", experiment->file,
                          sweep->count);
    if (!status && !(sweep->points = calloc(sweep->count + 1, sizeof *sweep->points)))
        status = dtr_fail_memory(error);
    if (status) {
        dtr_sweep_free(sweep);
        return status;
    }
    *sweep_p = sweep;
    return DTR_OK;
}

void dtr_sweep_free(struct dtr_sweep *sweep) {
    if (!sweep)
        return;
    if (sweep->csv)
        fclose(sweep->csv);
    free(sweep->folder);
    free(sweep->axes);
    free(sweep->series);
    free(sweep->texts);
    free(sweep->points);
    free(sweep);
}

size_t dtr_sweep_points(const struct dtr_sweep *sweep) {
    return sweep->count;
}

/* Series change slowest, the last axis fastest. */
static const char *axis_value(const struct dtr_sweep *sweep, size_t point, size_t axis) {
    for (size_t i = sweep->axes_count; i-- > axis + 1;)
        point /= sweep->axes[i]->values.count;
    const struct dtr_list *values = &sweep->axes[axis]->values;
    return values->words[point % values->count];
}

static const char *series_of(const struct dtr_sweep *sweep, size_t point) {
    return sweep->series[point / (sweep->count / sweep->series_count)];
}

size_t dtr_sweep_settings_max(const struct dtr_sweep *sweep) {
    return sweep->grids;
}

size_t dtr_sweep_settings(struct dtr_sweep *sweep, size_t point, struct dtr_setting *settings) {
    const char *series = series_of(sweep, point);
    size_t count = 0;
    for (size_t i = 0; i < sweep->grids; i++) {
        const struct dtr_grid *grid = dtr_experiment_grid(sweep->experiment, i);
        if (!grid->series || !grid->key || !series || strcmp(grid->series, series) != 0)
            continue;
        snprintf(sweep->texts[count], TEXT, "%s=%s", grid->key, grid->values.words[0]);
        settings[count].text = sweep->texts[count];
        count++;
    }
    for (size_t i = 0; i < sweep->axes_count; i++) {
        snprintf(sweep->texts[count], TEXT, "%s=%s", sweep->axes[i]->key,
                 axis_value(sweep, point, i));
        settings[count].text = sweep->texts[count];
        count++;
    }
    return count;
}

/* A value as people want to see it: of a path, the file's name. */
static const char *shown_value(const struct dtr_sweep *sweep, size_t point, size_t axis) {
    const char *value = axis_value(sweep, point, axis), *slash = strrchr(value, '/');
    return slash ? slash + 1 : value;
}

/* The last word of a dotted key. */
static const char *short_key(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

const char *dtr_sweep_name(struct dtr_sweep *sweep, size_t point) {
    const char *series = series_of(sweep, point);
    size_t used = (size_t)snprintf(sweep->name, TEXT, "%s", series ? series : "");
    for (size_t i = 0; i < sweep->axes_count && used < TEXT; i++)
        used += (size_t)snprintf(sweep->name + used, TEXT - used, "%s%s=%s", used ? " " : "",
                                 short_key(sweep->axes[i]->key), shown_value(sweep, point, i));
    return sweep->name;
}

/* --- the CSV file ----------------------------------------------------------------------------- */

/* A field as RFC 4180 has it.  A line feed, which would end the line for us, becomes a blank. */
static void write_field(const char *text, FILE *out) {
    const bool plain = !text[strcspn(text, ",\"\r\n")];
    if (!plain)
        putc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', out);
        putc(*text == '\n' ? ' ' : *text, out);
    }
    fputs(plain ? "," : "\",", out);
}

/* What names a point, up to the first figure. */
static void write_place(const struct dtr_sweep *sweep, size_t point, FILE *out) {
    const char *series = series_of(sweep, point);
    write_field(series ? series : "", out);
    for (size_t i = 0; i < sweep->axes_count; i++)
        write_field(axis_value(sweep, point, i), out);
}

static void write_header(const struct dtr_sweep *sweep, FILE *out) {
    fputs("series,", out);
    for (size_t i = 0; i < sweep->axes_count; i++)
        write_field(sweep->axes[i]->key, out);
    fputs("median_ms,min_ms,mean_ms,p95_ms,predicted_ms,bytes_sent,weight_bytes,valid,failure,"
          "experiment\n",
          out);
}

static void write_figure(double value, FILE *out) {
    if (isfinite(value))
        fprintf(out, "%.6g,", value);
    else
        fputc(',', out);
}

static void write_point(const struct dtr_sweep *sweep, size_t index, FILE *out) {
    const struct point *point = &sweep->points[index];
    const double figures[] = {point->median_ms,   point->least_ms,     point->mean_ms,
                              point->p95_ms,      point->predicted_ms, point->bytes_sent,
                              point->weight_bytes};
    write_place(sweep, index, out);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        write_figure(figures[i], out);
    fputs(point->valid ? "yes," : "no,", out);
    write_field(point->failure, out);
    fprintf(out, "%016" PRIx64 "\n", point->experiment);
}

/* The text that a function writes; the caller frees. */
static char *text_of(const struct dtr_sweep *sweep, size_t point,
                     void (*write)(const struct dtr_sweep *, size_t, FILE *)) {
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return NULL;
    write(sweep, point, memory);
    fclose(memory);
    return text;
}

static void write_header_of(const struct dtr_sweep *sweep, size_t point, FILE *out) {
    (void)point;
    write_header(sweep, out);
}

static double next_figure(char **at) {
    char *comma = strchr(*at, ',');
    const double value = **at == ',' || !**at ? (double)NAN : strtod(*at, NULL);
    *at = comma ? comma + 1 : *at + strlen(*at);
    return value;
}

/* A line of an earlier run; those with a failure are tried again. */
static void take_line(struct dtr_sweep *sweep, char *line) {
    for (size_t i = 0; i < sweep->count; i++) {
        char *place = text_of(sweep, i, write_place);
        const size_t length = place ? strlen(place) : 0;
        const bool same = place && strncmp(line, place, length) == 0;
        free(place);
        if (!same)
            continue;
        struct point *point = &sweep->points[i];
        char *at = line + length;
        point->median_ms = next_figure(&at);
        point->least_ms = next_figure(&at);
        point->mean_ms = next_figure(&at);
        point->p95_ms = next_figure(&at);
        point->predicted_ms = next_figure(&at);
        point->bytes_sent = next_figure(&at);
        point->weight_bytes = next_figure(&at);
        point->valid = strncmp(at, "yes", 3) == 0;
        point->experiment = strtoull(strrchr(line, ',') + 1, NULL, 16);
        point->done =
            isfinite(point->median_ms) || (sweep->predict && isfinite(point->predicted_ms));
        return;
    }
}

static int read_csv(struct dtr_sweep *sweep, const char *path, struct dtr_error *error) {
    FILE *file = fopen(path, "r");
    if (!file)
        return errno == ENOENT ? DTR_OK
                               : dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    char *header = text_of(sweep, 0, write_header_of), *line = NULL;
    size_t capacity = 0;
    int status = DTR_OK;
    if (getline(&line, &capacity, file) > 0 && header && strcmp(line, header) != 0)
        status =
            dtr_fail(error, DTR_E_CONFIG,
                     "%s: holds another sweep; remove it or name another results folder", path);
    ssize_t length;
    /* A last line without an end was cut short. */
    while (!status && (length = getline(&line, &capacity, file)) > 0)
        if (line[length - 1] == '\n')
            take_line(sweep, line);
    free(line);
    free(header);
    fclose(file);
    return status;
}

int dtr_sweep_read(struct dtr_sweep *sweep, const char *folder, bool predict,
                   struct dtr_error *error) {
    char *path;
    sweep->predict = predict;
    sweep->folder = strdup(folder);
    if (!sweep->folder || asprintf(&path, "%s/sweep.csv", folder) < 0)
        return dtr_fail_memory(error);
    const int status = read_csv(sweep, path, error);
    free(path);
    return status;
}

bool dtr_sweep_known(const struct dtr_sweep *sweep, size_t point) {
    return sweep->points[point].experiment != 0;
}

/* FNV-1a; never 0. */
static uint64_t digest(const char *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++) {
        hash ^= (unsigned char)*text;
        hash *= UINT64_C(0x100000001b3);
    }
    return hash ? hash : 1;
}

int dtr_sweep_identify(struct dtr_sweep *sweep, size_t index,
                       const struct dtr_experiment *experiment, struct dtr_error *error) {
    struct point *point = &sweep->points[index];
    char *text = experiment ? dtr_experiment_print_point(experiment) : NULL;
    if (experiment && !text)
        return dtr_fail_memory(error);
    const uint64_t now = text ? digest(text) : 0;
    free(text);
    if (point->experiment != now)
        *point = (struct point){.experiment = now};
    return DTR_OK;
}

/* Written anew, so that a line that was cut short does not stay; the old file goes only when that
 * has succeeded. */
static int write_known(struct dtr_sweep *sweep, const char *partial, const char *path,
                       struct dtr_error *error) {
    sweep->csv = fopen(partial, "w");
    if (!sweep->csv)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    write_header(sweep, sweep->csv);
    for (size_t i = 0; i < sweep->count; i++)
        if (sweep->points[i].done)
            write_point(sweep, i, sweep->csv);
    if (!fflush(sweep->csv) && !ferror(sweep->csv) && !rename(partial, path))
        return DTR_OK;
    const int status = dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    unlink(partial);
    return status;
}

int dtr_sweep_start(struct dtr_sweep *sweep, struct dtr_error *error) {
    char *path, *partial;
    if (asprintf(&path, "%s/sweep.csv", sweep->folder) < 0)
        return dtr_fail_memory(error);
    if (asprintf(&partial, "%s.partial", path) < 0) {
        free(path);
        return dtr_fail_memory(error);
    }
    const int status = write_known(sweep, partial, path, error);
    free(partial);
    free(path);
    return status;
}

int dtr_sweep_end(struct dtr_sweep *sweep, struct dtr_error *error) {
    FILE *csv = sweep->csv;
    sweep->csv = NULL;
    return dtr_file_close(csv)
               ? DTR_OK
               : dtr_fail(error, DTR_E_SYSTEM, "%s/sweep.csv: %s", sweep->folder, strerror(errno));
}

bool dtr_sweep_done(const struct dtr_sweep *sweep, size_t point) {
    return sweep->points[point].done;
}

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static double most_of(const cJSON *devices, const char *key) {
    double most = 0;
    const cJSON *device;
    cJSON_ArrayForEach(device, devices) {
        const double value = number(device, key);
        most = value > most ? value : most;
    }
    return most;
}

static void take_report(struct point *point, const cJSON *json) {
    const double foreseen = point->predicted_ms; /* by an earlier run, or 0 */
    const cJSON *latency = cJSON_GetObjectItem(json, "latency_ms");
    const cJSON *devices = cJSON_GetObjectItem(json, "devices");
    *point = (struct point){
        .experiment = point->experiment,
        .done = true,
        .median_ms = number(latency, "median"),
        .least_ms = number(latency, "min"),
        .mean_ms = number(latency, "mean"),
        .p95_ms = number(latency, "p95"),
        .predicted_ms = number(json, "predicted_ms"),
        .bytes_sent = most_of(devices, "bytes_sent"),
        .weight_bytes = most_of(devices, "weight_bytes"),
        .valid = cJSON_IsTrue(cJSON_GetObjectItem(json, "valid")),
    };
    if (!isfinite(point->predicted_ms) && foreseen > 0)
        point->predicted_ms = foreseen;
}

int dtr_sweep_add(struct dtr_sweep *sweep, size_t index, const cJSON *json, const char *failure,
                  struct dtr_error *error) {
    struct point *point = &sweep->points[index];
    if (json) {
        take_report(point, json);
    } else {
        const double none = (double)NAN;
        *point = (struct point){.experiment = point->experiment,
                                .median_ms = none,
                                .least_ms = none,
                                .mean_ms = none,
                                .p95_ms = none,
                                .predicted_ms = none,
                                .bytes_sent = none,
                                .weight_bytes = none};
        snprintf(point->failure, sizeof point->failure, "%s", failure);
    }
    write_point(sweep, index, sweep->csv);
    return fflush(sweep->csv)
               ? dtr_fail(error, DTR_E_SYSTEM, "%s/sweep.csv: %s", sweep->folder, strerror(errno))
               : DTR_OK;
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_figure(double value, int decimals, FILE *out) {
    if (isfinite(value))
        fprintf(out, "%12.*f", decimals, value);
    else
        fprintf(out, "%12s", "-");
}

/* Room for the key and every value, and two blanks. */
static int axis_width(const struct dtr_sweep *sweep, size_t axis) {
    size_t width = strlen(short_key(sweep->axes[axis]->key));
    for (size_t i = 0; i < sweep->count; i++) {
        const size_t length = strlen(shown_value(sweep, i, axis));
        width = length > width ? length : width;
    }
    return (int)(width < 60 ? width : 60) + 2;
}

/* Measured, or else predicted. */
static double latency_of(const struct point *point) {
    return isfinite(point->median_ms) ? point->median_ms : point->predicted_ms;
}

void dtr_sweep_print(const struct dtr_sweep *sweep, FILE *out) {
    const bool named = sweep->series[0] != NULL;
    if (named)
        fprintf(out, "%-12s", "series");
    for (size_t i = 0; i < sweep->axes_count; i++)
        fprintf(out, "%-*s", axis_width(sweep, i), short_key(sweep->axes[i]->key));
    fprintf(out, "%12s%12s%12s%12s%12s\n", "latency ms", "predicted", "speed-up", "sent kB",
            "weights MiB");
    for (size_t i = 0; i < sweep->count; i++) {
        const struct point *point = &sweep->points[i];
        if (named)
            fprintf(out, "%-12s", series_of(sweep, i));
        for (size_t j = 0; j < sweep->axes_count; j++)
            fprintf(out, "%-*s", axis_width(sweep, j), shown_value(sweep, i, j));
        if (point->failure[0]) {
            fprintf(out, "  %s\n", point->failure);
            continue;
        }
        print_figure(point->median_ms, 2, out);
        print_figure(point->predicted_ms, 2, out);
        print_figure(latency_of(&sweep->points[0]) / latency_of(point), 2, out);
        print_figure(point->bytes_sent * 1e-3, 1, out);
        print_figure(point->weight_bytes / 1048576, 1, out);
        fputs(point->done && !point->valid ? "  INVALID: ran late\n" : "\n", out);
    }
    fputs("\nEach figure is that of the device with the most of it; the speed-up is over the first "
          "row.\n",
          out);
}

/* --- the plot --------------------------------------------------------------------------------- */

static bool numeric(const struct dtr_grid *axis) {
    for (size_t i = 0; i < axis->values.count; i++) {
        char *end;
        strtod(axis->values.words[i], &end);
        if (end == axis->values.words[i] || *end)
            return false;
    }
    return true;
}

/* The axis along which curves are drawn: the first of numbers; axes_count where there is none. */
static size_t curve_axis(const struct dtr_sweep *sweep) {
    size_t axis = 0;
    while (axis < sweep->axes_count && !numeric(sweep->axes[axis]))
        axis++;
    return axis;
}

/* Between single quotes, where gnuplot takes everything else as it is. */
static void write_quoted(const char *text, FILE *out) {
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : (const char[]){*text, 0}, out);
}

/* Two points are on one curve when they differ in that axis alone. */
static bool same_curve(const struct dtr_sweep *sweep, size_t a, size_t b, size_t along) {
    if (series_of(sweep, a) != series_of(sweep, b))
        return false;
    for (size_t i = 0; i < sweep->axes_count; i++)
        if (i != along && axis_value(sweep, a, i) != axis_value(sweep, b, i))
            return false;
    return true;
}

static bool first_of_curve(const struct dtr_sweep *sweep, size_t point, size_t along) {
    for (size_t i = 0; i < point; i++)
        if (same_curve(sweep, i, point, along))
            return false;
    return true;
}

static void write_curve_name(const struct dtr_sweep *sweep, size_t point, size_t along, FILE *out) {
    const char *series = series_of(sweep, point), *separator = "";
    if (series) {
        write_quoted(series, out);
        separator = " ";
    }
    for (size_t i = 0; i < sweep->axes_count; i++)
        if (i != along && sweep->axes[i]->values.count > 1) {
            fputs(separator, out);
            write_quoted(shown_value(sweep, point, i), out);
            separator = " ";
        }
}

/* Measured, but with a device behind its own clock. */
static bool ran_late(const struct point *point) {
    return isfinite(point->median_ms) && !point->valid;
}

/* What was measured and predicted; again what was measured late, and what in time. */
static void write_data(const struct point *point, FILE *out) {
    const bool late = ran_late(point);
    const double none = (double)NAN;
    fprintf(out, " %g %g %g %g\n", point->median_ms, point->predicted_ms,
            late ? point->median_ms : none, late ? none : point->median_ms);
}

static void write_curve(const struct dtr_sweep *sweep, size_t first, size_t along, size_t number,
                        FILE *out) {
    fprintf(out, "$curve%zu << END\n", number);
    for (size_t i = first; i < sweep->count; i++) {
        const struct point *point = &sweep->points[i];
        if (!same_curve(sweep, first, i, along) || !isfinite(latency_of(point)))
            continue;
        fputs(axis_value(sweep, i, along), out);
        write_data(point, out);
    }
    fputs("END\n", out);
}

/* Whether any point was measured, or predicted. */
static bool any_of(const struct dtr_sweep *sweep, bool measured) {
    for (size_t i = 0; i < sweep->count; i++)
        if (isfinite(measured ? sweep->points[i].median_ms : sweep->points[i].predicted_ms) &&
            sweep->points[i].done)
            return true;
    return false;
}

static bool any_late(const struct dtr_sweep *sweep) {
    size_t i = 0;
    while (i < sweep->count && !ran_late(&sweep->points[i]))
        i++;
    return i < sweep->count;
}

/* There are eight colours; curves that share one have filled points of different shapes. */
static unsigned point_of(size_t curve) {
    static const unsigned filled[] = {7, 9, 5, 11, 13};
    return filled[curve / 8 % (sizeof filled / sizeof filled[0])];
}

/* A curve through every point; those that were late get a white middle. */
static void plot_curve(const struct dtr_sweep *sweep, size_t first, size_t along, size_t number,
                       FILE *out) {
    const bool measured = any_of(sweep, true);
    fprintf(out, "%s$curve%zu using 1:%d with linespoints lw 2 pt %u lc %zu title '",
            number ? ", " : "plot ", number, measured ? 2 : 3, point_of(number), number + 1);
    write_curve_name(sweep, first, along, out);
    putc('\'', out);
    if (measured)
        fprintf(out, ", $curve%zu using 1:3 with lines lw 2 dt 2 lc %zu notitle", number,
                number + 1);
    if (any_late(sweep))
        fprintf(out, ", $curve%zu using 1:4 with points pt %u ps 0.7 lc rgb 'white' notitle",
                number, point_of(number));
}

static void plot_curves(const struct dtr_sweep *sweep, FILE *out) {
    const size_t along = curve_axis(sweep);
    size_t number = 0;
    for (size_t i = 0; i < sweep->count; i++)
        if (first_of_curve(sweep, i, along))
            plot_curve(sweep, i, along, number++, out);
    if (any_late(sweep))
        fputs(", NaN with points pt 6 lw 2 lc rgb 'black' title 'hollow: ran late'", out);
    putc('\n', out);
}

static void write_curves(const struct dtr_sweep *sweep, FILE *out) {
    const size_t along = curve_axis(sweep);
    size_t curves = 0;
    for (size_t i = 0; i < sweep->count; i++)
        if (first_of_curve(sweep, i, along))
            write_curve(sweep, i, along, curves++, out);
    fprintf(out, "set xlabel '%s'\nset key outside right\nset grid\n", sweep->axes[along]->key);
    /* Yellow, which cannot be seen on white, becomes brown. */
    fputs("set linetype 5 lc rgb '#8b4513'\n", out);
}

static void write_bars(const struct dtr_sweep *sweep, FILE *out) {
    fputs("$bars << END\n", out);
    for (size_t i = 0; i < sweep->count; i++) {
        fprintf(out, "%zu", i);
        write_data(&sweep->points[i], out);
    }
    fputs("END\nset xtics rotate by -30 (", out);
    for (size_t i = 0; i < sweep->count; i++) {
        fputs(i ? ", '" : "'", out);
        write_curve_name(sweep, i, sweep->axes_count, out);
        fprintf(out, "' %zu", i);
    }
    fprintf(out, ")\nset xrange [-0.7:%zu.7]\nset key outside right\n", sweep->count - 1);
}

/* Bars of a kind; `at` is the middle of the first. */
static void plot_bars(const char *start, double at, double width, int column, const char *style,
                      FILE *out) {
    fprintf(out, "%s $bars using ($1 + %g):%d:(%g) with boxes fs %s", start, at, column, width,
            style);
}

static void plot_all_bars(const struct dtr_sweep *sweep, FILE *out) {
    const bool both = any_of(sweep, true) && any_of(sweep, false), late = any_late(sweep);
    const double at = both ? 0.2 : 0, width = both ? 0.35 : 0.6;
    const char *start = "plot";
    if (any_of(sweep, true)) {
        plot_bars(start, -at, width, 5, "solid 0.7 lc 1 title 'measured'", out);
        start = ",";
    }
    if (late)
        plot_bars(start, -at, width, 4, "pattern 4 lc 1 title 'measured, ran late'", out);
    if (any_of(sweep, false))
        plot_bars(start, at, width, 3, "solid 0.7 lc 2 title 'predicted'", out);
    putc('\n', out);
}

static const struct format {
    const char *name, *terminal;
} formats[] = {{"png", "pngcairo"}, {"svg", "svg"}};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* Run by hand, the script draws the files; dtr_gnuplot() has one of them at a time streamed. */
static void write_format(const struct dtr_sweep *sweep, const struct format *format, FILE *out) {
    fprintf(out, "if (!exists('streamed')) set output '");
    write_quoted(sweep->folder, out);
    fprintf(out,
            "/sweep.%s'\nif (!exists('streamed') || streamed eq '%s') {\n"
            "set terminal %s size 1000,600 noenhanced\n",
            format->name, format->name, format->terminal);
    if (curve_axis(sweep) < sweep->axes_count)
        plot_curves(sweep, out);
    else
        plot_all_bars(sweep, out);
    fputs("}\n", out);
}

static void write_script(const struct dtr_sweep *sweep, const char *title, FILE *out) {
    const bool curves = curve_axis(sweep) < sweep->axes_count;
    const char *what = !any_of(sweep, true)    ? " (predicted)"
                       : !any_of(sweep, false) ? ""
                       : curves                ? " (dashed: predicted)"
                                               : "";
    fputs("set title '", out);
    write_quoted(title, out);
    fprintf(out,
            "%s' noenhanced\nset ylabel 'latency, ms'\nset termoption noenhanced\n"
            "set yrange [0:*]\n",
            what);
    if (curves)
        write_curves(sweep, out);
    else
        write_bars(sweep, out);
    for (size_t i = 0; i < FORMATS; i++)
        write_format(sweep, &formats[i], out);
}

static int draw(const struct dtr_sweep *sweep, const char *script, const struct format *format,
                bool *drawn_p, struct dtr_error *error) {
    char *path;
    if (asprintf(&path, "%s/sweep.%s", sweep->folder, format->name) < 0)
        return dtr_fail_memory(error);
    const int status = dtr_gnuplot(script, format->name, path, drawn_p, error);
    free(path);
    return status;
}

int dtr_sweep_plot(const struct dtr_sweep *sweep, const char *title, bool *drawn_p,
                   struct dtr_error *error) {
    char *path;
    if (asprintf(&path, "%s/sweep.gnuplot", sweep->folder) < 0)
        return dtr_fail_memory(error);
    FILE *file = fopen(path, "w");
    int status = DTR_OK;
    if (file)
        write_script(sweep, title, file);
    if (!file || !dtr_file_close(file))
        status = dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    *drawn_p = true;
    for (size_t i = 0; !status && *drawn_p && i < FORMATS; i++)
        status = draw(sweep, path, &formats[i], drawn_p, error);
    free(path);
    return status;
}

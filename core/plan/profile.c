/* SPDX-License-Identifier: MIT
 *
 * The time of a kernel is taken to be affine in the rows between two measured numbers of them (of
 * attention in their square), and proportional to the size of the matrix near a measured one.
 */
#include "plan/profile.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "config/ini.h"
#include "plan/route.h"

/* What the engine takes to begin a collective, or to see that it is complete; what a system's
 * network takes about to move a byte; what memory carries in a copy. */
static const double start_s = 10e-6, byte_s = 0.5e-9, copy_bytes_per_s = 6e9;

/* A line for the link of each device to each other one: of some hundred devices. */
enum { FILE_MAX_BYTES = 32 << 20 };

/* Rows: close together where a device changes from reading weights to computing with them. */
static const uint32_t ladder[] = {1, 4, 8, 12, 16, 24, 32, 64, 128, 512};

static const char *const kind_names[] = {"linear", "attention", "norm"};

/* --- shapes ----------------------------------------------------------------------------------- */

static int add_probe(struct dtr_profile *profile, uint32_t kind, uint32_t rows, uint32_t out,
                     uint32_t in) {
    for (uint32_t i = 0; i < profile->probes_count; i++) {
        const struct dtr_probe *known = &profile->probes[i];
        if (known->kind == kind && known->rows == rows && known->out == out && known->in == in)
            return DTR_OK;
    }
    struct dtr_probe *larger =
        realloc(profile->probes, (profile->probes_count + 1) * sizeof *larger);
    if (!larger)
        return DTR_E_MEMORY;
    larger[profile->probes_count++] = (struct dtr_probe){kind, rows, out, in};
    profile->probes = larger;
    return DTR_OK;
}

/* A part of a dimension for each of the devices, at least one. */
static uint32_t part_of(uint32_t size, uint32_t devices) {
    return size > devices ? size / devices : 1;
}

static int add_block(struct dtr_profile *profile, uint32_t rows, uint32_t width, uint32_t attention,
                     uint32_t intermediate, uint32_t head_size, uint32_t devices) {
    const uint32_t heads = part_of(attention / head_size, devices) * head_size;
    const uint32_t columns = part_of(intermediate, devices);
    int status = add_probe(profile, DTR_PROBE_LINEAR, rows, 3 * heads, width);
    status = status ? status : add_probe(profile, DTR_PROBE_LINEAR, rows, width, heads);
    status = status ? status : add_probe(profile, DTR_PROBE_LINEAR, rows, columns, width);
    status = status ? status : add_probe(profile, DTR_PROBE_LINEAR, rows, width, columns);
    status = status ? status : add_probe(profile, DTR_PROBE_ATTENTION, rows, heads, head_size);
    return status ? status : add_probe(profile, DTR_PROBE_NORM, rows, width, 0);
}

static int add_rows(struct dtr_profile *profile, const struct dtr_model_shape *model,
                    uint32_t rows) {
    const uint32_t head_size = model->hidden / model->heads;
    int status =
        add_block(profile, rows, model->hidden, model->hidden, model->intermediate, head_size, 1);
    if (!status && profile->devices > 1)
        status = add_block(profile, rows, model->hidden, model->hidden, model->intermediate,
                           head_size, profile->devices);
    if (!status && model->divisions)
        status = add_block(profile, rows, model->hidden / model->divisions, model->sub_attention,
                           model->sub_intermediate, model->sub_attention / model->sub_heads, 1);
    return status;
}

static struct dtr_profile *allocate(uint32_t devices) {
    struct dtr_profile *profile = calloc(1, sizeof *profile);
    if (!profile)
        return NULL;
    profile->devices = devices;
    profile->link = calloc((size_t)devices * devices, sizeof *profile->link);
    profile->kernel = calloc(devices, sizeof *profile->kernel);
    if (profile->link && profile->kernel)
        return profile;
    dtr_profile_free(profile);
    return NULL;
}

int dtr_profile_create(const struct dtr_model_shape *model, uint32_t devices, uint32_t rows,
                       struct dtr_profile **profile_p, struct dtr_error *error) {
    struct dtr_profile *profile = allocate(devices);
    int status = profile ? DTR_OK : DTR_E_MEMORY;
    for (size_t i = 0; i < sizeof ladder / sizeof ladder[0] && !status; i++)
        if (ladder[i] < rows)
            status = add_rows(profile, model, ladder[i]);
    if (!status)
        status = add_rows(profile, model, rows);
    if (!status) {
        profile->seconds =
            calloc((size_t)devices * profile->probes_count, sizeof *profile->seconds);
        status = profile->seconds ? DTR_OK : DTR_E_MEMORY;
    }
    if (status) {
        dtr_profile_free(profile);
        return dtr_fail_memory(error);
    }
    *profile_p = profile;
    return DTR_OK;
}

void dtr_profile_free(struct dtr_profile *profile) {
    if (!profile)
        return;
    for (uint32_t i = 0; profile->kernel && i < profile->devices; i++)
        free(profile->kernel[i]);
    free(profile->kernel);
    free(profile->probes);
    free(profile->seconds);
    free(profile->link);
    free(profile);
}

static bool select_device(const struct dtr_profile *from, uint32_t device, uint32_t index,
                          const uint32_t *devices, struct dtr_profile *to) {
    const size_t probes = from->probes_count;
    memcpy(to->seconds + index * probes, from->seconds + device * probes,
           probes * sizeof *to->seconds);
    for (uint32_t i = 0; i < to->devices; i++)
        to->link[(size_t)index * to->devices + i] =
            from->link[(size_t)device * from->devices + devices[i]];
    to->kernel[index] = strdup(from->kernel[device] ? from->kernel[device] : "");
    return to->kernel[index] != NULL;
}

int dtr_profile_select(const struct dtr_profile *profile, const uint32_t *devices, uint32_t count,
                       struct dtr_profile **selected_p, struct dtr_error *error) {
    const size_t probes = profile->probes_count;
    struct dtr_profile *selected = allocate(count);
    if (!selected)
        return dtr_fail_memory(error);
    selected->probes = malloc((probes + 1) * sizeof *selected->probes);
    selected->seconds = calloc(count * probes + 1, sizeof *selected->seconds);
    bool complete = selected->probes && selected->seconds;
    if (complete && probes)
        memcpy(selected->probes, profile->probes, probes * sizeof *selected->probes);
    selected->probes_count = profile->probes_count;
    for (uint32_t i = 0; i < count && complete; i++)
        complete = select_device(profile, devices[i], i, devices, selected);
    if (!complete) {
        dtr_profile_free(selected);
        return dtr_fail_memory(error);
    }
    selected->message_s = profile->message_s;
    selected->round_s = profile->round_s;
    memcpy(selected->model, profile->model, sizeof selected->model);
    memcpy(selected->cpu, profile->cpu, sizeof selected->cpu);
    *selected_p = selected;
    return DTR_OK;
}

void dtr_profile_fit(struct dtr_profile *profile, uint32_t devices, struct dtr_excess excess) {
    const double others = devices - 1,
                 rounds = dtr_route_rounds(dtr_route_sparing(devices), devices);
    double message_s = excess.straight_s / others;
    if (others > 1)
        message_s = fmin(message_s, (excess.straight_s - excess.sparing_s / rounds) / (others - 1));
    profile->message_s = fmax(0, message_s);
    profile->round_s = fmax(0, excess.straight_s - others * profile->message_s);
}

/* --- files ------------------------------------------------------------------------------------ */

static void write_device(const struct dtr_profile *profile, uint32_t device, FILE *out) {
    fprintf(out, "\n[device.%u]\n", device);
    dtr_ini_write(out, "kernel", profile->kernel[device]);
    for (uint32_t i = 0; i < profile->probes_count; i++) {
        const struct dtr_probe *probe = &profile->probes[i];
        fprintf(out, "%s_%u_%u_%u = %.6g\n", kind_names[probe->kind], probe->rows, probe->out,
                probe->in, profile->seconds[(size_t)device * profile->probes_count + i]);
    }
    for (uint32_t i = 0; i < profile->devices; i++) {
        const struct dtr_link *link = &profile->link[(size_t)device * profile->devices + i];
        if (i != device)
            fprintf(out, "link_%u = %.6g %.6g\n", i, link->latency_s, link->bytes_per_s);
    }
}

static bool write_file(const struct dtr_profile *profile, const char *path) {
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    fputs("; Measured by `detransformer profile`.  Kernels in seconds: kind_rows_out_in; links to "
          "device N:\n; latency in seconds, then bytes per second; message, round: seconds for "
          "each.\n[profile]\n",
          file);
    dtr_ini_write(file, "cpu", profile->cpu);
    dtr_ini_write(file, "model", profile->model);
    fprintf(file, "devices = %u\nmessage = %.6g\nround = %.6g\n", profile->devices,
            profile->message_s, profile->round_s);
    for (uint32_t i = 0; i < profile->devices; i++)
        write_device(profile, i, file);
    return dtr_file_close(file);
}

/* What is there already is replaced by all of the new one or stays; but for a pipe or a link. */
int dtr_profile_save(const struct dtr_profile *profile, const char *path, struct dtr_error *error) {
    struct stat there;
    char *partial;
    const bool direct = !lstat(path, &there) && !S_ISREG(there.st_mode);
    if (asprintf(&partial, "%s%s", path, direct ? "" : ".partial") < 0)
        return dtr_fail_memory(error);
    bool written = write_file(profile, partial);
    if (written && !direct)
        written = !rename(partial, path);
    const int cause = errno;
    if (!written && !direct)
        unlink(partial);
    free(partial);
    return written
               ? DTR_OK
               : dtr_fail(error, DTR_E_SYSTEM, "%s: cannot be written: %s", path, strerror(cause));
}

static const char *value_of(const struct dtr_ini *ini, const char *section, const char *key) {
    const struct dtr_ini_entry *entry = dtr_ini_find(ini, section, key);
    return entry ? entry->value : "";
}

/* "linear_128_768_768"; false for other keys. */
static bool probe_of(const char *key, struct dtr_probe *probe) {
    for (uint32_t kind = 0; kind < DTR_PROBE_KINDS; kind++) {
        const size_t length = strlen(kind_names[kind]);
        char more;
        if (strncmp(key, kind_names[kind], length) != 0 || key[length] != '_' ||
            sscanf(key + length, "_%u_%u_%u%c", &probe->rows, &probe->out, &probe->in, &more) != 3)
            continue;
        probe->kind = kind;
        return probe->rows && probe->out;
    }
    return false;
}

/* A device of a scenario: described, not measured. */
struct described {
    double gflops, gbyte_s; /* 0: measured */
    struct dtr_link link;   /* to every other device; bytes_per_s 0: each link has its own */
};

/* What no device and no link comes near is a slip, and could not be computed with. */
static bool is_sane(double figure) {
    return figure > 1e-15 && figure < 1e18;
}

static bool read_figure(const char *text, double *figure_p) {
    int end = 0;
    return sscanf(text, "%lf %n", figure_p, &end) == 1 && !text[end] && is_sane(*figure_p);
}

static bool read_link(const char *text, struct dtr_link *link) {
    int end = 0;
    return sscanf(text, "%lf %lf %n", &link->latency_s, &link->bytes_per_s, &end) == 2 &&
           !text[end] && (link->latency_s == 0 || is_sane(link->latency_s)) &&
           is_sane(link->bytes_per_s);
}

static bool read_peer(const char *key, uint32_t devices, uint32_t *peer_p) {
    int end = 0;
    return sscanf(key, "link_%u%n", peer_p, &end) == 1 && !key[end] && *peer_p < devices;
}

static int read_entry(struct dtr_profile *profile, uint32_t device, uint32_t *next,
                      struct described *described, const struct dtr_ini_entry *entry,
                      struct dtr_error *error) {
    struct dtr_probe probe;
    struct dtr_link link;
    uint32_t peer;
    double seconds;
    if (strcmp(entry->key, "kernel") == 0) {
        profile->kernel[device] = strdup(entry->value);
        return profile->kernel[device] ? DTR_OK : dtr_fail_memory(error);
    }
    if (read_peer(entry->key, profile->devices, &peer) && read_link(entry->value, &link)) {
        profile->link[(size_t)device * profile->devices + peer] = link;
        return DTR_OK;
    }
    if (strcmp(entry->key, "link") == 0 && read_link(entry->value, &link)) {
        described->link = link;
        return DTR_OK;
    }
    double *figure = strcmp(entry->key, "gflops") == 0    ? &described->gflops
                     : strcmp(entry->key, "gbyte_s") == 0 ? &described->gbyte_s
                                                          : NULL;
    if (figure && read_figure(entry->value, figure))
        return DTR_OK;
    const struct dtr_probe *known = &profile->probes[*next];
    if (!probe_of(entry->key, &probe) || *next >= profile->probes_count ||
        memcmp(&probe, known, sizeof probe) != 0 || !read_figure(entry->value, &seconds))
        return dtr_fail(error, DTR_E_CONFIG, "%s: '%s' is no measurement", entry->origin,
                        entry->key);
    profile->seconds[(size_t)device * profile->probes_count + (*next)++] = seconds;
    return DTR_OK;
}

/* What devices that are described are taken to have been measured at: times are proportional to
 * the sizes of matrices. */
static int add_generic(struct dtr_profile *profile) {
    const uint32_t width = 768, head_size = 64;
    int status = DTR_OK;
    for (size_t i = 0; i < sizeof ladder / sizeof ladder[0] && !status; i++) {
        status = add_probe(profile, DTR_PROBE_LINEAR, ladder[i], width, width);
        status =
            status ? status : add_probe(profile, DTR_PROBE_ATTENTION, ladder[i], width, head_size);
        status = status ? status : add_probe(profile, DTR_PROBE_NORM, ladder[i], width, 0);
    }
    return status;
}

static int read_probes(struct dtr_profile *profile, const struct dtr_ini *ini) {
    struct dtr_probe probe;
    for (size_t i = 0; i < ini->entries_count; i++)
        if (strcmp(ini->entries[i].section, "device.0") == 0 &&
            probe_of(ini->entries[i].key, &probe) &&
            add_probe(profile, probe.kind, probe.rows, probe.out, probe.in))
            return DTR_E_MEMORY;
    if (!profile->probes_count && add_generic(profile))
        return DTR_E_MEMORY;
    profile->seconds =
        calloc((size_t)profile->devices * profile->probes_count + 1, sizeof *profile->seconds);
    return profile->seconds ? DTR_OK : DTR_E_MEMORY;
}

/* How long a device of so much arithmetic and so fast a memory takes: the longer of the two. */
static double roofline_s(const struct dtr_probe *probe, const struct described *described) {
    const double rows = probe->rows, out = probe->out, in = probe->in;
    double flops = 0, bytes = 3 * sizeof(float) * rows * out;
    if (probe->kind == DTR_PROBE_LINEAR) {
        flops = 2 * rows * out * in;
        bytes = sizeof(float) * (out * in + rows * (out + in));
    } else if (probe->kind == DTR_PROBE_ATTENTION) {
        flops = 4 * rows * rows * out;
        bytes = 4 * sizeof(float) * rows * out;
    }
    return fmax(flops / described->gflops, bytes / described->gbyte_s) * 1e-9;
}

/* [device.3], or [device] where there is none. */
static int read_device(struct dtr_profile *profile, const struct dtr_ini *ini, uint32_t device,
                       struct described *described, struct dtr_error *error) {
    char section[32];
    uint32_t next = 0;
    int status = DTR_OK;
    snprintf(section, sizeof section, "device.%u", device);
    if (!dtr_ini_section(ini, section))
        snprintf(section, sizeof section, "device");
    for (size_t i = 0; i < ini->entries_count && !status; i++)
        if (strcmp(ini->entries[i].section, section) == 0)
            status = read_entry(profile, device, &next, described, &ini->entries[i], error);
    if (status)
        return status;
    const bool measured = next == profile->probes_count && profile->kernel[device];
    if (!measured && (next || !(described->gflops > 0) || !(described->gbyte_s > 0)))
        return dtr_fail(error, DTR_E_CONFIG, "%s: [%s] is not complete", ini->file, section);
    for (uint32_t i = next; i < profile->probes_count; i++)
        profile->seconds[(size_t)device * profile->probes_count + i] =
            roofline_s(&profile->probes[i], described);
    return DTR_OK;
}

/* A link that has no measurement of its own is as fast as the slower of the ports at its ends. */
static int fill_links(struct dtr_profile *profile, const struct dtr_ini *ini,
                      const struct described *described, struct dtr_error *error) {
    for (uint32_t from = 0; from < profile->devices; from++)
        for (uint32_t to = 0; to < profile->devices; to++) {
            struct dtr_link *link = &profile->link[(size_t)from * profile->devices + to];
            const struct dtr_link *out = &described[from].link, *in = &described[to].link;
            if (from == to || link->bytes_per_s > 0)
                continue;
            if (!(out->bytes_per_s > 0))
                return dtr_fail(error, DTR_E_CONFIG, "%s: device %u has no link_%u", ini->file,
                                from, to);
            *link = *out;
            if (in->bytes_per_s > 0)
                link->bytes_per_s = fmin(out->bytes_per_s, in->bytes_per_s);
        }
    return DTR_OK;
}

static int read_devices(struct dtr_profile *profile, const struct dtr_ini *ini,
                        struct dtr_error *error) {
    struct described *described = calloc(profile->devices, sizeof *described);
    int status = described ? read_probes(profile, ini) : DTR_E_MEMORY;
    if (status) {
        free(described);
        return dtr_fail_memory(error);
    }
    for (uint32_t i = 0; !status && i < profile->devices; i++)
        status = read_device(profile, ini, i, &described[i], error);
    if (!status)
        status = fill_links(profile, ini, described, error);
    free(described);
    return status;
}

/* Of the whole profile; 0 where there is none, or no such time. */
static double short_time_s(const struct dtr_ini *ini, const char *key) {
    const double time_s = strtod(value_of(ini, "profile", key), NULL);
    return time_s > 0 && time_s < 60 ? time_s : 0;
}

int dtr_profile_load(const char *path, struct dtr_profile **profile_p, struct dtr_error *error) {
    struct dtr_ini *ini;
    int status = dtr_ini_read(path, FILE_MAX_BYTES, &ini, error);
    if (status)
        return status;
    const long devices = strtol(value_of(ini, "profile", "devices"), NULL, 10);
    struct dtr_profile *profile = NULL;
    if (devices < 1 || devices > 65536)
        status = dtr_fail(error, DTR_E_CONFIG, "%s: is no profile", path);
    else if (!(profile = allocate((uint32_t)devices)))
        status = dtr_fail_memory(error);
    else
        status = read_devices(profile, ini, error);
    if (!status) {
        profile->message_s = short_time_s(ini, "message");
        profile->round_s = short_time_s(ini, "round");
        snprintf(profile->cpu, sizeof profile->cpu, "%s", value_of(ini, "profile", "cpu"));
        snprintf(profile->model, sizeof profile->model, "%s", value_of(ini, "profile", "model"));
        *profile_p = profile;
    } else {
        dtr_profile_free(profile);
    }
    dtr_ini_free(ini);
    return status;
}

/* --- costs ------------------------------------------------------------------------------------ */

/* How far apart two sizes are, on the scale on which doubling is one. */
static double distance(uint32_t a, uint32_t b) {
    return fabs(log2((double)a / (double)b));
}

/* Measurements of one matrix with fewer and with more work than wanted. */
struct bracket {
    double below_s, above_s;
    double below, above; /* rows, of attention their squares; 0: none */
};

static double interpolate(const struct bracket *bracket, double work) {
    if (!(bracket->below > 0))
        return bracket->above_s * work / bracket->above;
    if (!(bracket->above > 0))
        return bracket->below_s * work / bracket->below;
    if (!(bracket->above > bracket->below))
        return bracket->above_s;
    return bracket->below_s + (bracket->above_s - bracket->below_s) * (work - bracket->below) /
                                  (bracket->above - bracket->below);
}

/* The measured shape whose matrix is nearest. */
static const struct dtr_probe *nearest(const struct dtr_profile *profile, uint32_t kind,
                                       uint32_t out, uint32_t in) {
    const struct dtr_probe *best = NULL;
    double least = INFINITY;
    for (uint32_t i = 0; i < profile->probes_count; i++) {
        const struct dtr_probe *probe = &profile->probes[i];
        if (probe->kind != kind)
            continue;
        const double far =
            distance(probe->out, out) + (kind == DTR_PROBE_LINEAR ? distance(probe->in, in) : 0);
        if (far < least) {
            least = far;
            best = probe;
        }
    }
    return best;
}

/* What a time is taken to be affine in. */
static double work_of(const struct dtr_probe *probe) {
    const double rows = probe->rows;
    return probe->kind == DTR_PROBE_ATTENTION ? rows * rows : rows;
}

static double kernel_s(const struct dtr_profile *profile, uint32_t device, uint32_t kind,
                       double work, uint32_t out, uint32_t in) {
    const struct dtr_probe *like = nearest(profile, kind, out, in);
    const double *seconds = profile->seconds + (size_t)device * profile->probes_count;
    struct bracket bracket = {0};
    if (!like)
        return 0;
    for (uint32_t i = 0; i < profile->probes_count; i++) {
        const struct dtr_probe *probe = &profile->probes[i];
        if (probe->kind != kind || probe->out != like->out || probe->in != like->in)
            continue;
        const double measured = work_of(probe);
        if (measured <= work && measured >= bracket.below) {
            bracket.below = measured;
            bracket.below_s = seconds[i];
        }
        if (measured >= work && (!(bracket.above > 0) || measured < bracket.above)) {
            bracket.above = measured;
            bracket.above_s = seconds[i];
        }
    }
    const double scale = kind == DTR_PROBE_LINEAR
                             ? (double)out * in / ((double)like->out * like->in)
                             : (double)out / like->out;
    return scale * interpolate(&bracket, work);
}

/* Attention of s queries over s keys was measured; it takes as long over any as many pairs. */
static double attention_s(const struct dtr_profile *profile, uint32_t device,
                          const struct dtr_schedule *schedule, const struct dtr_step *step) {
    const uint32_t width = dtr_range_count(step->out.columns);
    double total = 0;
    for (uint32_t i = 0; i < step->listed; i++) {
        const struct dtr_span *span = &schedule->spans[step->list + i];
        const double pairs = (double)span->query_rows * span->key_rows;
        total += kernel_s(profile, device, DTR_PROBE_ATTENTION, pairs, width, width / step->heads);
    }
    return total;
}

double dtr_profile_step_s(const struct dtr_profile *profile, uint32_t device,
                          const struct dtr_schedule *schedule, const struct dtr_step *step) {
    const uint32_t rows = dtr_range_count(step->out.rows);
    const uint32_t columns = dtr_range_count(step->out.columns);
    switch ((enum dtr_step_kind)step->kind) {
    case DTR_STEP_LINEAR:
        return kernel_s(profile, device, DTR_PROBE_LINEAR, rows, columns,
                        dtr_range_count(step->in[0].columns));
    case DTR_STEP_ATTENTION:
        return attention_s(profile, device, schedule, step);
    case DTR_STEP_EMBED:
    case DTR_STEP_ADD_NORM:
    case DTR_STEP_MOMENTS:
    case DTR_STEP_NORMALISE:
        return kernel_s(profile, device, DTR_PROBE_NORM, rows, columns, 0);
    default:
        return 2.0 * sizeof(float) * rows * columns / copy_bytes_per_s;
    }
}

double dtr_profile_gflops(const struct dtr_profile *profile, uint32_t device) {
    const double *seconds = profile->seconds + (size_t)device * profile->probes_count;
    double flops = 0, total = 0;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < profile->probes_count; i++)
        rows = profile->probes[i].rows > rows ? profile->probes[i].rows : rows;
    for (uint32_t i = 0; i < profile->probes_count; i++) {
        const struct dtr_probe *probe = &profile->probes[i];
        if (probe->kind != DTR_PROBE_LINEAR || probe->rows != rows)
            continue;
        flops += 2.0 * probe->rows * probe->out * probe->in;
        total += seconds[i];
    }
    return total > 0 ? flops / total * 1e-9 : 0;
}

struct dtr_cost dtr_profile_cost(const struct dtr_profile *profile, const struct dtr_link *link) {
    return (struct dtr_cost){
        .link = link,
        .start_s = start_s,
        .message_s = profile ? profile->message_s : 0,
        .byte_s = byte_s,
        .round_s = profile ? profile->round_s : 0,
    };
}

/* SPDX-License-Identifier: MIT
 *
 * experiment.c -- an experiment from its file: read, overlaid, checked, resolved.  Each step relies
 * on those before it; nothing is kept unless all succeed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/suggest.h"
#include "base/topology.h"
#include "config/store.h"
#include "plugin/registry.h"

/* An experiment file is some kilobytes; what is larger is something else. */
enum { FILE_MAX_BYTES = 1 << 20 };

/* --- what is asked for besides the file ------------------------------------------------------- */

static int apply_setting(struct dtr_experiment_store *store, const struct dtr_setting *setting,
                         struct dtr_error *error) {
    const char *text = setting->text, *equals = strchr(text, '=');
    if (!equals)
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is not written section.key=value", text);
    size_t from = strspn(text, " \t"), to = (size_t)(equals - text);
    while (to > from && (text[to - 1] == ' ' || text[to - 1] == '\t'))
        to--;
    char *dotted = strndup(text + from, to - from), *section = NULL;
    const char *key = NULL;
    if (!dotted)
        return dtr_fail_memory(error);
    int status = dtr_key_split(dotted, &section, &key, error);
    if (!status && (!strcmp(section, "sweep") || !strncmp(section, "series.", 7)))
        status = dtr_fail(error, DTR_E_CONFIG, "[%s] is not for --set", section);
    if (!status && !(setting->fallback && dtr_ini_find(store->ini, section, key)))
        status = dtr_ini_set(store->ini, section, key, equals + 1, error);
    free(section);
    free(dotted);
    return status;
}

static int apply_settings(struct dtr_experiment_store *store, const struct dtr_setting *settings,
                          size_t count, struct dtr_error *error) {
    for (size_t i = 0; i < count; i++) {
        struct dtr_error cause = {.status = DTR_OK};
        const int status = apply_setting(store, &settings[i], &cause);
        if (status)
            return dtr_fail(error, status, "--set: %s", cause.text);
    }
    return DTR_OK;
}

/* --- the core's values ------------------------------------------------------------------------ */

/* Replaces a text in a section's struct. */
static int settle(const char **value, char *text, struct dtr_error *error) {
    if (!text)
        return dtr_fail_memory(error);
    free((void *)*value);
    *value = text;
    return DTR_OK;
}

static int make_sections(struct dtr_experiment_store *store, struct dtr_error *error) {
    for (int i = 0; i < DTR_SECTIONS; i++) {
        const struct dtr_section *section = dtr_section((enum dtr_section_id)i);
        const struct dtr_param *row;
        for (size_t r = 0; (row = dtr_table_row(section->table, r)); r++)
            if (!row->fallback && !dtr_ini_find(store->ini, section->name, row->key))
                return dtr_fail_required(store, section->name, row, error);
        const int status = dtr_section_values(store, (enum dtr_section_id)i, DTR_ALL_DEVICES,
                                              &store->section[i], error);
        if (status)
            return status;
    }
    return DTR_OK;
}

/* The file's name without folder and ending. */
static char *stem_of(const char *file) {
    const char *name = strrchr(file, '/');
    name = name ? name + 1 : file;
    const char *dot = strrchr(name, '.');
    const size_t length = dot ? (size_t)(dot - name) : strlen(name);
    return length ? strndup(name, length) : strdup("experiment");
}

static char *default_results(const char *working, const char *name) {
    const time_t now = time(NULL);
    struct tm local;
    char stamp[32] = "now", *path;
    if (localtime_r(&now, &local))
        strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
    if (asprintf(&path, "%s%sresults/%s-%s", working ? working : "", working ? "/" : "", name,
                 stamp) < 0)
        return NULL;
    return path;
}

static int make_run(struct dtr_experiment_store *store, struct dtr_error *error) {
    struct dtr_section_experiment *values = store->section[DTR_SECTION_EXPERIMENT];
    struct dtr_experiment *experiment = &store->experiment;
    int status = DTR_OK;
    if (!*values->name)
        status = settle(&values->name, stem_of(experiment->file), error);
    if (!status && (values->name[0] == '.' || strchr(values->name, '/')))
        status = dtr_fail_at(store, "experiment", "name", error,
                             "name: '%s' cannot be part of a folder's name", values->name);
    if (!status && !*values->results)
        status = settle(&values->results, default_results(store->working, values->name), error);
    experiment->name = values->name;
    experiment->requests = (uint64_t)values->requests;
    experiment->warmup = (uint64_t)values->warmup;
    experiment->seed = (uint64_t)values->seed;
    experiment->results = values->results;
    return status;
}

static const char *or_null(const char *text) {
    return *text ? text : NULL;
}

static int check_overrides(const struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_section_model *values = store->section[DTR_SECTION_MODEL];
    const char *key = values->division            ? "debert_division"
                      : values->num_blocks        ? "num_debert_blocks"
                      : values->attention         ? "debert_attention"
                      : values->intermediate_size ? "debert_intermediate_size"
                                                  : NULL;
    if (!key || !store->experiment.model_weights)
        return DTR_OK;
    return dtr_fail_at(store, "model", key, error,
                       "%s: the weights say how they are decoupled; only weights = random can be "
                       "told otherwise",
                       key);
}

static int make_model(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_section_model *values = store->section[DTR_SECTION_MODEL];
    struct dtr_experiment *experiment = &store->experiment;
    experiment->model_config = values->config;
    experiment->model_weights = strcmp(values->weights, "random") ? values->weights : NULL;
    experiment->vocab = or_null(values->vocab);
    experiment->cased = values->cased;
    experiment->task = (enum dtr_task)values->task;
    experiment->overrides = (struct dtr_model_overrides){
        .division = values->division,
        .num_blocks = values->num_blocks,
        .intermediate_size = values->intermediate_size,
        .attention = values->attention - 1,
    };
    if (!*values->config || !*values->weights)
        return dtr_fail_at(store, "model", *values->config ? "weights" : "config", error,
                           "%s is empty", *values->config ? "weights" : "config");
    int status = check_overrides(store, error);
    if (!status)
        status = dtr_file_check(store, "model", "config", experiment->model_config, error);
    if (!status)
        status = dtr_file_check(store, "model", "weights", experiment->model_weights, error);
    if (!status)
        status = dtr_file_check(store, "model", "vocab", experiment->vocab, error);
    return status;
}

/* --- the input -------------------------------------------------------------------------------- */

/* In the order of enum dtr_input_kind. */
static const char *const input_keys[] = {"text", "file", "hidden", "random"};

static bool input_is_given(const struct dtr_experiment_store *store, int kind, bool by_setting) {
    const struct dtr_section_input *values = store->section[DTR_SECTION_INPUT];
    const struct dtr_ini_entry *entry = dtr_ini_find(store->ini, "input", input_keys[kind]);
    if (!entry || (by_setting && entry->line))
        return false;
    return kind == DTR_INPUT_RANDOM ? values->random : kind == DTR_INPUT_TEXT || *entry->value;
}

/* The place to look at is the later of the two. */
static int fail_both(const struct dtr_experiment_store *store, const char *a, const char *b,
                     struct dtr_error *error) {
    const unsigned line_a = dtr_ini_find(store->ini, "input", a)->line;
    const unsigned line_b = dtr_ini_find(store->ini, "input", b)->line;
    return dtr_fail_at(store, "input", line_a > line_b ? a : b, error,
                       "has both '%s' and '%s'; give exactly one of text, file, hidden, random", a,
                       b);
}

/* What --set says takes the place of what the file says, be it another key. */
static int choose_input(struct dtr_experiment_store *store, struct dtr_error *error) {
    int kinds[4], count = 0;
    for (int by_setting = 1; by_setting >= 0 && !count; by_setting--)
        for (int kind = 0; kind < 4; kind++)
            if (input_is_given(store, kind, by_setting))
                kinds[count++] = kind;
    if (!count)
        return dtr_fail_at(store, "input", "", error,
                           "lacks what goes in; give one of text, file, hidden, random");
    if (count > 1)
        return fail_both(store, input_keys[kinds[0]], input_keys[kinds[1]], error);
    store->experiment.input = (enum dtr_input_kind)kinds[0];
    return DTR_OK;
}

static int make_input(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_section_input *values = store->section[DTR_SECTION_INPUT];
    struct dtr_experiment *experiment = &store->experiment;
    int status = choose_input(store, error);
    if (status)
        return status;
    const char *const texts[] = {values->text, values->file, values->hidden, NULL};
    const char *key = input_keys[experiment->input];
    experiment->input_value = texts[experiment->input];
    experiment->sequence_length = (uint32_t)values->sequence_length;
    experiment->batch = (uint32_t)values->batch;
    const bool is_text = experiment->input == DTR_INPUT_TEXT || experiment->input == DTR_INPUT_FILE;
    if (is_text && !experiment->vocab)
        return dtr_fail_at(store, "input", key, error, "%s: text needs a vocab in [model]", key);
    if (experiment->input != DTR_INPUT_FILE && !experiment->requests)
        experiment->requests = 1;
    return experiment->input == DTR_INPUT_FILE || experiment->input == DTR_INPUT_HIDDEN
               ? dtr_file_check(store, "input", key, experiment->input_value, error)
               : DTR_OK;
}

/* --- the cluster ------------------------------------------------------------------------------ */

/* HOST:PORT, [ADDR]:PORT. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1] || strlen(colon + 1) > 5 ||
        colon[1 + strspn(colon + 1, "0123456789")])
        return false;
    const long port = strtol(colon + 1, NULL, 10);
    return port >= 1 && port <= 65535;
}

/* An address of this machine that nobody else can reach. */
static bool is_loopback(const char *text) {
    return !strncmp(text, "127.", 4) || !strncmp(text, "[::1]:", 6) ||
           !strncmp(text, "localhost:", 10);
}

/* The first word that an earlier one repeats, or NULL. */
static const char *given_twice(const struct dtr_list *list) {
    for (size_t i = 1; i < list->count; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(list->words[i], list->words[j]))
                return list->words[i];
    return NULL;
}

static int check_remote(struct dtr_experiment_store *store, struct dtr_error *error) {
    struct dtr_section_cluster *values = store->section[DTR_SECTION_CLUSTER];
    const struct dtr_list *addresses = &values->addresses;
    for (size_t i = 0; i < addresses->count; i++)
        if (!is_address(addresses->words[i]))
            return dtr_fail_at(store, "cluster", "addresses", error,
                               "addresses: '%s' is not written HOST:PORT", addresses->words[i]);
    const char *twice = given_twice(addresses);
    if (twice)
        return dtr_fail_at(store, "cluster", "addresses", error,
                           "addresses: '%s' is there twice; a worker is one device", twice);
    if (!dtr_ini_find(store->ini, "cluster", "devices"))
        values->devices = (int64_t)addresses->count + 1;
    if (addresses->count + 1 != (size_t)values->devices)
        return dtr_fail_at(
            store, "cluster", "addresses", error,
            "addresses: %zu given, but devices = %lld wants %lld: the leader has none",
            addresses->count, (long long)values->devices, (long long)values->devices - 1);
    bool near = true;
    for (size_t i = 0; i < addresses->count; i++)
        near &= is_loopback(addresses->words[i]);
    if (!*values->key_file && !near)
        return dtr_fail_at(store, "cluster", "launch", error, "launch: remote needs a key_file");
    return DTR_OK;
}

static int check_launch(const struct dtr_experiment_store *store, const char *launch,
                        struct dtr_error *error) {
    char text[100];
    const struct dtr_plugin *plugin;
    struct dtr_error cause = {.status = DTR_OK};
    struct dtr_suggestion suggestion = {.word = launch};
    dtr_suggest_offer(&suggestion, "local");
    dtr_suggest_offer(&suggestion, "remote");
    if (!dtr_plugins_get(store->plugins, DTR_TRANSPORT, launch, &plugin, &cause)) {
        if (plugin->caps & DTR_CAP_LAUNCH)
            return DTR_OK;
        return dtr_fail_at(store, "cluster", "launch", error,
                           "launch: the transport '%s' starts no devices", launch);
    }
    if (suggestion.best)
        return dtr_fail_at(store, "cluster", "launch", error, "launch: unknown value '%s'%s",
                           launch, dtr_suggest_text(&suggestion, text, sizeof text));
    return dtr_fail_at(store, "cluster", "launch", error, "launch: neither local nor remote: %s",
                       cause.text);
}

static int make_cluster(struct dtr_experiment_store *store, struct dtr_error *error) {
    const struct dtr_section_cluster *values = store->section[DTR_SECTION_CLUSTER];
    struct dtr_experiment *experiment = &store->experiment;
    const bool remote = !strcmp(values->launch, "remote");
    int status = DTR_OK;
    if (remote)
        status = check_remote(store, error);
    else if (strcmp(values->launch, "local"))
        status = check_launch(store, values->launch, error);
    if (!status)
        status = dtr_file_check(store, "cluster", "key_file", values->key_file, error);
    experiment->devices = (uint32_t)values->devices;
    experiment->launch = values->launch;
    experiment->addresses = values->addresses;
    experiment->key_file = or_null(values->key_file);
    experiment->lost_after_ns = (uint64_t)values->lost_after_ms * 1000000;
    experiment->hung_after_ns = (uint64_t)values->hung_after_ms * 1000000;
    return status;
}

/* --- the devices ------------------------------------------------------------------------------ */

static int check_divisions(const struct dtr_experiment_store *store, uint32_t device,
                           const struct dtr_list *divisions, struct dtr_error *error) {
    char section[32];
    snprintf(section, sizeof section, "device.%u", device);
    const bool own = dtr_ini_find(store->ini, section, "divisions");
    for (size_t i = 0; i < divisions->count; i++) {
        const char *word = divisions->words[i];
        if (strlen(word) > 5 || word[strspn(word, "0123456789")])
            return dtr_fail_at(store, own ? section : "device", "divisions", error,
                               "divisions: '%s' is not a division's number", word);
    }
    return DTR_OK;
}

static int make_device(struct dtr_experiment_store *store, uint32_t device, uint32_t cores,
                       struct dtr_error *error) {
    int status =
        dtr_section_values(store, DTR_SECTION_DEVICE, device, &store->device[device], error);
    if (!status)
        status =
            dtr_section_values(store, DTR_SECTION_KERNEL, device, &store->kernel[device], error);
    if (status)
        return status;
    char section[32];
    const struct dtr_section_device *values = store->device[device];
    const struct dtr_section_kernel *kernel = store->kernel[device];
    snprintf(section, sizeof section, "device.%u", device);
    const uint32_t local =
        strcmp(store->experiment.launch, "remote") ? store->experiment.devices : 1;
    const uint32_t automatic = cores > local ? cores / local : 1;
    store->settings[device] = (struct dtr_device_settings){
        .threads = values->threads ? (uint32_t)values->threads : automatic,
        .memory = values->memory,
        .share = values->share,
        .has_divisions = dtr_ini_find(store->ini, section, "divisions") ||
                         dtr_ini_find(store->ini, "device", "divisions"),
        .divisions = values->divisions,
        .dtype = kernel->dtype,
    };
    status = dtr_cores_read(store, device, &store->settings[device], error);
    return status ? status : check_divisions(store, device, &values->divisions, error);
}

/* Asked for by the experiment, not what comes of more devices than cores. */
static void warn_of_threads(const struct dtr_experiment_store *store, uint32_t cores) {
    uint64_t threads = 0;
    bool asked = false;
    for (uint32_t i = 0; i < store->experiment.devices; i++) {
        threads += store->settings[i].threads;
        const struct dtr_section_device *values = store->device[i];
        asked |= values->threads > 1;
    }
    if (asked && threads > cores && !strcmp(store->experiment.launch, "local") &&
        store->files_checked)
        dtr_log(store->log, DTR_LOG_WARN,
                "%s: [device] threads: the devices on this machine have %llu together, and it has "
                "%u core%s",
                dtr_experiment_origin(&store->experiment, "device", "threads"),
                (unsigned long long)threads, cores, cores == 1 ? "" : "s");
}

static int make_devices(struct dtr_experiment_store *store, struct dtr_error *error) {
    const uint32_t devices = store->experiment.devices, cores = dtr_cores();
    store->device = calloc(devices, sizeof *store->device);
    store->kernel = calloc(devices, sizeof *store->kernel);
    store->settings = calloc(devices, sizeof *store->settings);
    if (!store->device || !store->kernel || !store->settings)
        return dtr_fail_memory(error);
    store->experiment.device = store->settings;
    double shares = 0;
    for (uint32_t i = 0; i < devices; i++) {
        const int status = make_device(store, i, cores, error);
        if (status)
            return status;
        shares += store->settings[i].share;
    }
    if (shares <= 0)
        return dtr_fail_at(store, "device", "share", error, "share: no device has one above zero");
    const int status = dtr_cores_settle(store, error);
    if (!status)
        warn_of_threads(store, cores);
    return status;
}

/* --- the plugins ------------------------------------------------------------------------------ */

/* The names of those that every device must have alike take the place of `auto`. */
static int make_plugins(struct dtr_experiment_store *store, struct dtr_error *error) {
    struct dtr_section_transport *transport = store->section[DTR_SECTION_TRANSPORT];
    struct dtr_section_planner *planner = store->section[DTR_SECTION_PLANNER];
    const struct dtr_section_kernel *kernel = store->section[DTR_SECTION_KERNEL];
    struct dtr_experiment *experiment = &store->experiment;
    int status = dtr_chains_make(store, error);
    if (!status)
        status =
            settle(&transport->plugin, strdup(store->transport_chain[0].plugin[0]->name), error);
    if (!status)
        status = settle(&planner->plugin, strdup(store->planner_chain.plugin[0]->name), error);
    experiment->dtype = kernel->dtype;
    experiment->wire = transport->wire;
    const int32_t ways[] = {transport->all_gather, transport->all_to_all, transport->gather,
                            transport->scatter,    transport->broadcast,  transport->reduce_scatter,
                            transport->all_reduce};
    memcpy(experiment->way, ways, sizeof ways);
    experiment->objective = planner->objective;
    if (!status && planner->profile[0])
        status = dtr_file_check(store, "planner", "profile", planner->profile, error);
    experiment->profile = or_null(planner->profile);
    experiment->transport = transport->plugin;
    experiment->planner = planner->plugin;
    return status;
}

/* Says what was checked and is not used. */
static void note_unused(const struct dtr_experiment_store *store) {
    if (store->experiment.addresses.count && strcmp(store->experiment.launch, "remote"))
        dtr_log(store->log, DTR_LOG_INFO, "%s: [cluster] addresses are not used, launch is %s",
                dtr_experiment_origin(&store->experiment, "cluster", "addresses"),
                store->experiment.launch);
    for (size_t i = 0; i < store->ini->sections_count; i++) {
        const struct dtr_ini_section *section = &store->ini->sections[i];
        uint32_t device;
        if (dtr_device_number(section->name, &device, NULL) && device >= store->experiment.devices)
            dtr_log(store->log, DTR_LOG_INFO, "%s:%u: [%s] is not used, the last device is %u",
                    store->ini->file, section->line, section->name, store->experiment.devices - 1);
        const struct dtr_plugin *plugin;
        if (!dtr_section_check(store, section->name, &plugin, NULL) && plugin &&
            !dtr_plugin_is_used(store, plugin))
            dtr_log(store->log, DTR_LOG_INFO, "%s:%u: [%s] is not used", store->ini->file,
                    section->line, section->name);
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

static int make_experiment(struct dtr_experiment_store *store, struct dtr_error *error) {
    static int (*const steps[])(struct dtr_experiment_store *, struct dtr_error *) = {
        dtr_entries_check, make_sections, make_run,     make_model,   make_input,
        make_cluster,      make_devices,  make_plugins, dtr_grid_make};
    int status = DTR_OK;
    for (size_t i = 0; !status && i < sizeof steps / sizeof steps[0]; i++)
        status = steps[i](store, error);
    if (!status)
        note_unused(store);
    return status;
}

static struct dtr_experiment_store *create(struct dtr_plugins *plugins, const struct dtr_log *log) {
    struct dtr_experiment_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->plugins = plugins;
    store->log = log;
    store->experiment.store = store;
    return store;
}

/* Whatever is wrong with an experiment, it is the experiment that is wrong. */
static int finish(struct dtr_experiment_store *store, int status,
                  struct dtr_experiment **experiment_p, struct dtr_error *error) {
    if (!status) {
        *experiment_p = &store->experiment;
        return DTR_OK;
    }
    dtr_experiment_free(&store->experiment);
    if (status != DTR_E_MEMORY)
        status = DTR_E_CONFIG;
    if (error)
        error->status = status;
    return status;
}

/* The absolute path of the folder that the file is in. */
static char *folder_of(const char *file) {
    const char *slash = strrchr(file, '/');
    if (!slash)
        return realpath(".", NULL);
    char *folder = strndup(file, slash == file ? 1 : (size_t)(slash - file));
    char *absolute = folder ? realpath(folder, NULL) : NULL;
    free(folder);
    return absolute;
}

/* Such a path could not be printed. */
static bool has_control(const char *text) {
    while (*text && (unsigned char)*text >= ' ' && *text != 127)
        text++;
    return *text;
}

static int find_folders(struct dtr_experiment_store *store, const char *file,
                        struct dtr_error *error) {
    store->folder = folder_of(file);
    store->working = realpath(".", NULL);
    if (!store->folder || !store->working)
        return dtr_fail(error, DTR_E_CONFIG, "%s: the folder: %s", file, strerror(errno));
    if (has_control(store->folder) || has_control(store->working))
        return dtr_fail(error, DTR_E_CONFIG, "%s: a folder's name holds a control character", file);
    store->experiment.folder = store->folder;
    store->files_checked = true;
    return DTR_OK;
}

int dtr_experiment_load(const char *file, const struct dtr_setting *settings, size_t settings_count,
                        struct dtr_plugins *plugins, const struct dtr_log *log,
                        struct dtr_experiment **experiment_p, struct dtr_error *error) {
    struct dtr_experiment_store *store = create(plugins, log);
    if (!store)
        return dtr_fail_memory(error);
    int status = dtr_ini_read(file, FILE_MAX_BYTES, &store->ini, error);
    if (!status)
        store->experiment.file = store->ini->file;
    if (!status)
        status = find_folders(store, file, error);
    if (!status)
        status = apply_settings(store, settings, settings_count, error);
    if (!status)
        status = make_experiment(store, error);
    return finish(store, status, experiment_p, error);
}

int dtr_experiment_parse(const char *name, const char *text, size_t length,
                         struct dtr_plugins *plugins, const struct dtr_log *log,
                         struct dtr_experiment **experiment_p, struct dtr_error *error) {
    struct dtr_experiment_store *store = create(plugins, log);
    if (!store)
        return dtr_fail_memory(error);
    int status = dtr_ini_parse(name, text, length, &store->ini, error);
    if (!status) {
        store->experiment.file = store->ini->file;
        store->experiment.folder = "";
        status = make_experiment(store, error);
    }
    return finish(store, status, experiment_p, error);
}

void dtr_experiment_free(struct dtr_experiment *experiment) {
    if (!experiment)
        return;
    struct dtr_experiment_store *store = experiment->store;
    for (uint32_t i = 0; i < experiment->devices; i++) {
        if (store->device)
            dtr_values_free(dtr_section(DTR_SECTION_DEVICE)->table, store->device[i]);
        if (store->kernel)
            dtr_values_free(dtr_section(DTR_SECTION_KERNEL)->table, store->kernel[i]);
        if (store->settings)
            free(store->settings[i].cores.core);
    }
    for (int i = 0; i < DTR_SECTIONS; i++)
        dtr_values_free(dtr_section((enum dtr_section_id)i)->table, store->section[i]);
    dtr_grid_free(store);
    dtr_chains_free(store);
    free(store->device);
    free(store->kernel);
    free(store->settings);
    dtr_topology_free(store->topology);
    free(store->folder);
    free(store->working);
    dtr_ini_free(store->ini);
    free(store);
}

const char *dtr_experiment_origin(const struct dtr_experiment *experiment, const char *section,
                                  const char *key) {
    const struct dtr_ini_entry *entry = dtr_ini_find(experiment->store->ini, section, key);
    return entry ? entry->origin : "default";
}

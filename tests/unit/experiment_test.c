/* SPDX-License-Identifier: MIT
 *
 * experiment_test.c -- an experiment file becomes typed values, chains of plugins and a grid; its
 * print means the same; whatever the file, the answer is an experiment or a sentence.
 */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/topology.h"
#include "config/experiment.h"
#include "config/sections.h"
#include "folder.h"
#include "plugin/registry.h"

struct fixture {
    struct folder *folder;
    struct dtr_plugins *plugins;
    char path[PATH_MAX]; /* of the folder */
    struct dtr_error error;
    struct dtr_log log;
};

static const char small[] = "[model]\nconfig = model.json\nweights = random\n"
                            "[input]\nrandom = yes\n"
                            "[planner.fixed]\nstrategy = tp\n";

static const char full[] =
    "[experiment]\nrequests = 5\nwarmup = 0\nseed = 42\nresults = out\nname = nine lives\n"
    "[model]\nconfig = ./model.json\nweights = random\nvocab = vocab.txt\ncased = yes\n"
    "task = classify\ndebert_division = 4\ndebert_attention = split\n"
    "[input]\ntext = one \\; two\n  three\nsequence_length = 64\nbatch = 2\n"
    "[cluster]\ndevices = 4\nkey_file = vocab.txt\n"
    "[device]\nthreads = 3\nmemory = 2 GiB\n"
    "[kernel]\nplugin = reference\ndtype = bf16\n"
    "[transport]\nplugin = relay\nwire = f16\n"
    "[planner]\nobjective = memory\n"
    "[planner.fixed]\nstrategy = bp+tp bp+sp\n"
    "[transport.relay]\nmbit = 125\ntrace = vocab.txt\n"
    "[kernel.throttle]\ngflops = 31.5\n"
    "[device.2]\nshare = 0.5\nthreads = 1\ndivisions = 0 3\nkernel.plugin = throttle\n"
    "kernel.throttle.gflops = 15\nkernel.throttle.over = reference\nkernel.dtype = int8\n"
    "transport.relay.mbit = 62.5\n"
    "[device.3]\nkernel.plugin = throttle\nkernel.throttle.over = reference\ndivisions =\n"
    "[device.9]\nshare = 3\n"
    "[sweep]\ncluster.devices = 1, 2,4\nmodel.config = model.json,/else.json\n"
    "[series.tensor parallel]\nplanner.fixed.strategy = tp\n"
    "[series.as it is]\n";

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char plugins[1000];
    if (!fixture || folder_make((void **)&fixture->folder) ||
        !realpath(fixture->folder->path, fixture->path))
        return -1;
    snprintf(plugins, sizeof plugins, "%s/tests/plugins/.libs", getenv("DTR_BUILD"));
    fixture->log = (struct dtr_log){.level = DTR_LOG_ERROR, .fd = 2};
    folder_write(fixture->folder, "model.json", "{}", 2);
    folder_write(fixture->folder, "vocab.txt", "[UNK]", 5);
    *state = fixture;
    return dtr_plugins_create(plugins, &fixture->log, &fixture->plugins, NULL);
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    dtr_plugins_free(fixture->plugins);
    const int status = folder_remove((void **)&fixture->folder);
    free(fixture);
    return status;
}

/* The text as the file exp.ini, with up to three settings. */
static int try_load(struct fixture *fixture, const char *text, const char *const *set,
                    struct dtr_experiment **experiment_p) {
    struct dtr_setting settings[3];
    size_t count = 0;
    for (; set && set[count]; count++)
        settings[count] = (struct dtr_setting){.text = set[count]};
    folder_write(fixture->folder, "exp.ini", text, strlen(text));
    fixture->error.status = DTR_OK;
    return dtr_experiment_load(folder_file(fixture->folder, "exp.ini"), settings, count,
                               fixture->plugins, &fixture->log, experiment_p, &fixture->error);
}

static struct dtr_experiment *load(struct fixture *fixture, const char *text, const char *set) {
    struct dtr_experiment *experiment = NULL;
    const char *const settings[] = {set, NULL};
    if (try_load(fixture, text, settings, &experiment))
        print_message("# %s\n", fixture->error.text);
    assert_non_null(experiment);
    return experiment;
}

static void expect_refused(struct fixture *fixture, const char *text, const char *set,
                           const char *ending) {
    struct dtr_experiment *experiment = NULL;
    const char *const settings[] = {set, NULL};
    assert_int_equal(try_load(fixture, text, settings, &experiment), DTR_E_CONFIG);
    const size_t length = strlen(fixture->error.text), wanted = strlen(ending);
    assert_string_equal(fixture->error.text + (length > wanted ? length - wanted : 0), ending);
}

static void expect_path(const struct fixture *fixture, const char *path, const char *name) {
    char wanted[PATH_MAX + 20];
    snprintf(wanted, sizeof wanted, "%s/%s", fixture->path, name);
    assert_string_equal(path, wanted);
}

/* --- values ----------------------------------------------------------------------------------- */

static void values_are_typed(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, NULL);
    assert_string_equal(experiment->name, "nine lives");
    assert_string_equal(experiment->folder, fixture->path);
    assert_int_equal(experiment->requests, 5);
    assert_int_equal(experiment->warmup, 0);
    assert_int_equal(experiment->seed, 42);
    expect_path(fixture, experiment->results, "out");
    expect_path(fixture, experiment->model_config, "model.json");
    assert_null(experiment->model_weights);
    expect_path(fixture, experiment->vocab, "vocab.txt");
    assert_true(experiment->cased);
    assert_int_equal(experiment->task, DTR_TASK_CLASSIFY);
    assert_int_equal(experiment->overrides.division, 4);
    assert_int_equal(experiment->overrides.num_blocks, 0);
    assert_int_equal(experiment->overrides.intermediate_size, 0);
    assert_int_equal(experiment->overrides.attention, 1);
    assert_int_equal(experiment->input, DTR_INPUT_TEXT);
    assert_string_equal(experiment->input_value, "one ; two three");
    assert_int_equal(experiment->sequence_length, 64);
    assert_int_equal(experiment->batch, 2);
    assert_int_equal(experiment->devices, 4);
    assert_string_equal(experiment->launch, "local");
    assert_int_equal(experiment->dtype, DTR_BF16);
    assert_int_equal(experiment->wire, DTR_F16);
    assert_int_equal(experiment->objective, 2);
    assert_string_equal(experiment->transport, "relay");
    assert_string_equal(experiment->planner, "adaptive");
    dtr_experiment_free(experiment);
}

static void defaults_are_sensible(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, small, NULL);
    assert_string_equal(experiment->name, "exp");
    assert_int_equal(experiment->requests, 1);
    assert_int_equal(experiment->warmup, 1);
    assert_non_null(strstr(experiment->results, "/results/exp-"));
    assert_true(experiment->results[0] == '/');
    assert_null(strstr(experiment->results, fixture->path));
    assert_null(experiment->vocab);
    assert_int_equal(experiment->overrides.attention, -1);
    assert_int_equal(experiment->input, DTR_INPUT_RANDOM);
    assert_null(experiment->input_value);
    assert_int_equal(experiment->sequence_length, 128);
    assert_int_equal(experiment->batch, 1);
    assert_int_equal(experiment->devices, 1);
    assert_null(experiment->key_file);
    assert_true(experiment->device[0].threads >= 1);
    assert_true(experiment->device[0].share == 1);
    assert_int_equal(experiment->device[0].memory, 0);
    assert_false(experiment->device[0].has_divisions);
    dtr_experiment_free(experiment);
}

static void devices_differ(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, NULL);
    const struct dtr_device_settings *device = experiment->device;
    assert_int_equal(device[1].threads, 3);
    assert_true(device[1].share == 1);
    assert_int_equal(device[1].dtype, DTR_BF16);
    assert_false(device[1].has_divisions);
    assert_int_equal(device[2].threads, 1);
    assert_true(device[2].share == 0.5);
    assert_int_equal(device[2].memory, (uint64_t)2 << 30);
    assert_int_equal(device[2].dtype, DTR_INT8);
    assert_true(device[2].has_divisions);
    assert_int_equal(device[2].divisions.count, 2);
    assert_string_equal(device[2].divisions.words[1], "3");
    assert_true(device[3].has_divisions);
    assert_int_equal(device[3].divisions.count, 0);
    dtr_experiment_free(experiment);
}

static void cores_are_shared(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *one = load(fixture, small, NULL);
    struct dtr_experiment *many = load(fixture, small, "cluster.devices=4096");
    assert_int_equal(many->device[4095].threads, 1);
    assert_true(one->device[0].threads >= many->device[0].threads);
    dtr_experiment_free(one);
    dtr_experiment_free(many);
}

/* Those of a worker are known to it alone. */
static void cores_give_threads(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment =
        load(fixture,
             "[model]\nconfig = model.json\nweights = random\n[input]\nrandom = yes\n"
             "[planner.fixed]\nstrategy = tp\n[cluster]\nlaunch = remote\n"
             "addresses = 127.0.0.1:7001 127.0.0.1:7002\n"
             "[device.1]\ncores = 65000-65003\n[device.2]\ncores = 7,5\nthreads = 3\n",
             NULL);
    const struct dtr_device_settings *device = experiment->device;
    assert_false(device[0].pinned);
    assert_true(device[1].pinned && device[2].pinned);
    assert_int_equal(device[1].threads, 4);
    assert_int_equal(device[2].threads, 3);
    assert_int_equal(device[2].cores.count, 2);
    assert_int_equal(device[2].cores.core[0], 7);
    assert_null(experiment->topology);
    dtr_experiment_free(experiment);
}

static void expect_dealt(const struct dtr_experiment *experiment) {
    const struct dtr_device_settings *device = experiment->device;
    assert_non_null(experiment->topology);
    assert_int_equal(device[0].threads, 2);
    assert_int_equal(device[0].cores.core[0], 0);
    assert_false(device[1].pinned);
    assert_int_equal(device[2].threads, 1);
    assert_int_equal(device[2].cores.count, 2);
    assert_int_equal(device[2].cores.core[0], 4);
}

/* A made-up machine, shared by the devices on it; a worker comes to the same. */
static void cores_are_dealt_out(void **state) {
    struct fixture *fixture = *state;
    struct dtr_topology *topology;
    struct dtr_experiment *theirs;
    struct dtr_error error = {.status = DTR_OK};
    if (dtr_topology_load(&topology, &error))
        skip_because(error.text);
    dtr_topology_free(topology);
    setenv("HWLOC_SYNTHETIC", "package:2 core:3 pu:2", 1);
    struct dtr_experiment *experiment =
        load(fixture,
             "[model]\nconfig = model.json\nweights = random\n[input]\nrandom = yes\n"
             "[planner.fixed]\nstrategy = tp\n[cluster]\ndevices = 3\n[device]\ncores = auto\n"
             "[device.1]\ncores = any\n[device.2]\nthreads = 1\n",
             NULL);
    expect_dealt(experiment);
    char *text = dtr_experiment_print(experiment);
    assert_int_equal(dtr_experiment_parse("theirs", text, strlen(text), fixture->plugins,
                                          &fixture->log, &theirs, &error),
                     DTR_OK);
    assert_null(theirs->topology);
    assert_int_equal(dtr_experiment_pin(theirs, 2, &error), DTR_OK);
    expect_dealt(theirs);
    unsetenv("HWLOC_SYNTHETIC");
    free(text);
    dtr_experiment_free(theirs);
    dtr_experiment_free(experiment);
}

static void remote_devices_are_counted(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment =
        load(fixture,
             "[model]\nconfig = model.json\nweights = random\n[input]\nrandom = yes\n"
             "[planner.fixed]\nstrategy = tp\n[cluster]\nlaunch = remote\n"
             "addresses = 10.0.0.2:7000 pi:7001 [::1]:7002\nkey_file = vocab.txt\n",
             NULL);
    assert_int_equal(experiment->devices, 4);
    assert_int_equal(experiment->addresses.count, 3);
    assert_string_equal(experiment->addresses.words[2], "[::1]:7002");
    assert_string_equal(experiment->transport, "tcp");
    expect_path(fixture, experiment->key_file, "vocab.txt");
    dtr_experiment_free(experiment);
}

static void launchers_may_be_named(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, small, "cluster.launch=starter");
    assert_string_equal(experiment->launch, "starter");
    assert_string_equal(experiment->transport, "starter");
    dtr_experiment_free(experiment);
}

/* --- settings --------------------------------------------------------------------------------- */

static void settings_win(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = NULL;
    const char *const set[] = {"cluster.devices=3", " device.2.kernel.throttle.gflops = 9 ",
                               "cluster.devices = 4"};
    const char *const settings[] = {set[0], set[1], set[2], NULL};
    assert_int_equal(try_load(fixture, full, settings, &experiment), DTR_OK);
    struct dtr_chain chain;
    assert_int_equal(experiment->devices, 4);
    assert_int_equal(dtr_experiment_chain(experiment, DTR_KERNEL, 2, &chain, NULL), DTR_OK);
    const struct dtr_param *row = dtr_table_find(dtr_plugin_table(chain.plugin[0]), "gflops", NULL);
    assert_true(*(const double *)((const char *)chain.params[0] + row->offset) == 9);
    assert_string_equal(dtr_experiment_origin(experiment, "cluster", "devices"), "--set");
    assert_string_equal(dtr_experiment_origin(experiment, "device.2", "kernel.throttle.gflops"),
                        "--set");
    assert_string_equal(dtr_experiment_origin(experiment, "planner", "plugin"), "default");
    char wanted[100];
    snprintf(wanted, sizeof wanted, "%s/exp.ini:2", fixture->folder->path);
    assert_string_equal(dtr_experiment_origin(experiment, "experiment", "requests"), wanted);
    dtr_experiment_free(experiment);
}

static void settings_start_here(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, small, "experiment.results=out");
    char here[PATH_MAX], wanted[PATH_MAX + 8];
    assert_non_null(realpath(".", here));
    snprintf(wanted, sizeof wanted, "%s/out", here);
    assert_string_equal(experiment->results, wanted);
    dtr_experiment_free(experiment);
}

static void input_is_replaced(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, "input.random=yes");
    assert_int_equal(experiment->input, DTR_INPUT_RANDOM);
    dtr_experiment_free(experiment);
    experiment = load(fixture, full, "input.text=");
    assert_int_equal(experiment->input, DTR_INPUT_TEXT);
    assert_string_equal(experiment->input_value, "");
    dtr_experiment_free(experiment);
    expect_refused(fixture, small, "input.random=no",
                   "exp.ini:4: [input] lacks what goes in; give one of text, file, hidden, random");
}

/* --- plugins ---------------------------------------------------------------------------------- */

static void expect_chain(const struct dtr_experiment *experiment, enum dtr_kind kind,
                         uint32_t device, const char *top, const char *below) {
    struct dtr_chain chain;
    assert_int_equal(dtr_experiment_chain(experiment, kind, device, &chain, NULL), DTR_OK);
    assert_int_equal(chain.count, below ? 2 : 1);
    assert_string_equal(chain.plugin[0]->name, top);
    if (below)
        assert_string_equal(chain.plugin[1]->name, below);
}

static double number_of(const struct dtr_experiment *experiment, enum dtr_kind kind,
                        uint32_t device, const char *key) {
    struct dtr_chain chain;
    assert_int_equal(dtr_experiment_chain(experiment, kind, device, &chain, NULL), DTR_OK);
    const struct dtr_param *row = dtr_table_find(dtr_plugin_table(chain.plugin[0]), key, NULL);
    return *(const double *)((const char *)chain.params[0] + row->offset);
}

static void chains_are_per_device(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, NULL);
    struct dtr_chain chain;
    expect_chain(experiment, DTR_KERNEL, 0, "reference", NULL);
    expect_chain(experiment, DTR_KERNEL, 2, "throttle", "reference");
    assert_true(number_of(experiment, DTR_KERNEL, 2, "gflops") == 15);
    assert_true(number_of(experiment, DTR_KERNEL, 3, "gflops") == 31.5);
    assert_true(number_of(experiment, DTR_TRANSPORT, 0, "mbit") == 125);
    assert_true(number_of(experiment, DTR_TRANSPORT, 2, "mbit") == 62.5);
    expect_chain(experiment, DTR_PLANNER, 0, "adaptive", NULL);
    assert_int_equal(dtr_experiment_chain(experiment, DTR_KERNEL, 4, &chain, NULL), DTR_E_CONFIG);
    dtr_experiment_free(experiment);
}

/* Wrappers, and what launches, are never chosen, however good they say they are. */
static void auto_takes_the_best(void **state) {
    struct fixture *fixture = *state;
    const struct dtr_plugin *best;
    struct dtr_experiment *experiment = load(fixture, small, NULL);
    assert_int_equal(dtr_plugins_best(fixture->plugins, DTR_KERNEL, &best, NULL), DTR_OK);
    expect_chain(experiment, DTR_KERNEL, 0, best->name, NULL);
    assert_int_equal(dtr_plugins_choose(fixture->plugins, DTR_TRANSPORT, 0,
                                        DTR_CAP_WRAPS | DTR_CAP_LAUNCH, &best, NULL),
                     DTR_OK);
    expect_chain(experiment, DTR_TRANSPORT, 0, best->name, NULL);
    assert_string_not_equal(best->name, "starter");
    dtr_experiment_free(experiment);
}

/* The best kernel is of no use where it leaves the experiment's type to the reference. */
static void auto_takes_a_kernel_for_the_type(void **state) {
    struct fixture *fixture = *state;
    static const uint32_t dtypes[] = {DTR_F32, DTR_F16, DTR_BF16, DTR_INT8};
    static const char *const settings[] = {"kernel.dtype=f32", "kernel.dtype=f16",
                                           "kernel.dtype=bf16", "kernel.dtype=int8"};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        const struct dtr_plugin *best;
        struct dtr_experiment *experiment = load(fixture, small, settings[i]);
        assert_int_equal(dtr_plugins_best_kernel(fixture->plugins, dtypes[i], &best, NULL), DTR_OK);
        expect_chain(experiment, DTR_KERNEL, 0, best->name, NULL);
        if (dtypes[i] == DTR_F16)
            assert_string_equal(best->name, "reference"); /* no other plugin has it */
        dtr_experiment_free(experiment);
    }
}

/* The transport below a wrapper is the leader's choice; the others are told. */
static void chosen_transport_is_told(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, NULL);
    struct dtr_chain chain;
    char wanted[100];
    assert_int_equal(dtr_experiment_chain(experiment, DTR_TRANSPORT, 1, &chain, NULL), DTR_OK);
    assert_int_equal(chain.count, 2);
    snprintf(wanted, sizeof wanted, "\n[transport.relay]\nover = %s\n", chain.plugin[1]->name);
    char *text = dtr_experiment_print(experiment);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, "\n[planner]\nplugin = adaptive\n"));
    free(text);
    dtr_experiment_free(experiment);
}

static void required_ones_may_be_the_device_s(void **state) {
    struct fixture *fixture = *state;
    char text[1000];
    snprintf(text, sizeof text,
             "%s[cluster]\ndevices = 2\n[transport]\nplugin = relay\n"
             "[device.0]\ntransport.relay.mbit = 1\n[device.1]\ntransport.relay.mbit = 2\n",
             small);
    struct dtr_experiment *experiment = load(fixture, text, NULL);
    assert_true(number_of(experiment, DTR_TRANSPORT, 1, "mbit") == 2);
    char *print = dtr_experiment_print(experiment);
    struct dtr_experiment *again = NULL;
    assert_int_equal(dtr_experiment_parse("again", print, strlen(print), fixture->plugins, NULL,
                                          &again, &fixture->error),
                     DTR_OK);
    assert_true(number_of(again, DTR_TRANSPORT, 1, "mbit") == 2);
    free(print);
    dtr_experiment_free(again);
    dtr_experiment_free(experiment);
    expect_refused(fixture, text, "cluster.devices=3",
                   "exp.ini: [transport.relay] lacks 'mbit': What has no default");
}

/* --- what is there and not used --------------------------------------------------------------- */

static void unused_parts_are_noted(void **state) {
    struct fixture *fixture = *state;
    char text[1000], line[200];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fixture->log = (struct dtr_log){.level = DTR_LOG_INFO, .fd = ends[1]};
    snprintf(text, sizeof text, "%s%s", small,
             "[cluster]\naddresses = a:1\n[kernel.throttle]\ngflops = 3\n"
             "[device.7]\nthreads = 2\n");
    struct dtr_experiment *experiment = load(fixture, text, NULL);
    close(ends[1]);
    FILE *log = fdopen(ends[0], "r");
    static const char *const wanted[] = {
        "exp.ini:9: [cluster] addresses are not used, launch is local\n",
        "exp.ini:6: [planner.fixed] is not used\n",
        "exp.ini:10: [kernel.throttle] is not used\n",
        "exp.ini:12: [device.7] is not used, the last device is 0\n"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_non_null(fgets(line, sizeof line, log));
        assert_non_null(strstr(line, wanted[i]));
    }
    assert_null(fgets(line, sizeof line, log));
    fclose(log);
    dtr_experiment_free(experiment);
}

static void the_grid_is_kept(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = load(fixture, full, NULL);
    const struct dtr_grid *grid = dtr_experiment_grid(experiment, 0);
    assert_null(grid->series);
    assert_string_equal(grid->key, "cluster.devices");
    assert_int_equal(grid->values.count, 3);
    assert_string_equal(grid->values.words[2], "4");
    grid = dtr_experiment_grid(experiment, 1);
    assert_string_equal(grid->key, "model.config");
    expect_path(fixture, grid->values.words[0], "model.json");
    assert_string_equal(grid->values.words[1], "/else.json");
    grid = dtr_experiment_grid(experiment, 2);
    assert_string_equal(grid->series, "tensor parallel");
    assert_string_equal(grid->key, "planner.fixed.strategy");
    assert_string_equal(grid->values.words[0], "tp");
    grid = dtr_experiment_grid(experiment, 3);
    assert_string_equal(grid->series, "as it is");
    assert_null(grid->key);
    assert_int_equal(grid->values.count, 0);
    assert_null(dtr_experiment_grid(experiment, 4));
    dtr_experiment_free(experiment);
}

/* --- print and parse -------------------------------------------------------------------------- */

/* Prints, parses, prints: the same text, and the same experiment. */
static void expect_round_trip(struct fixture *fixture, const struct dtr_experiment *experiment) {
    struct dtr_experiment *again = NULL;
    char *first = dtr_experiment_print(experiment);
    assert_non_null(first);
    fixture->error.status = DTR_OK;
    if (dtr_experiment_parse("again", first, strlen(first), fixture->plugins, NULL, &again,
                             &fixture->error))
        print_message("# %s\n%s\n", fixture->error.text, first);
    assert_non_null(again);
    char *second = dtr_experiment_print(again);
    assert_string_equal(first, second);
    assert_string_equal(again->name, experiment->name);
    assert_string_equal(again->results, experiment->results);
    assert_string_equal(again->model_config, experiment->model_config);
    assert_int_equal(again->input, experiment->input);
    assert_int_equal(again->requests, experiment->requests);
    if (experiment->input_value)
        assert_string_equal(again->input_value, experiment->input_value);
    assert_int_equal(again->devices, experiment->devices);
    for (uint32_t i = 0; i < again->devices; i++) {
        const struct dtr_device_settings *a = &again->device[i], *b = &experiment->device[i];
        assert_int_equal(a->threads, b->threads);
        assert_int_equal(a->memory, b->memory);
        assert_true(a->share == b->share);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->has_divisions, b->has_divisions);
        assert_int_equal(a->divisions.count, b->divisions.count);
        struct dtr_chain x, y;
        assert_int_equal(dtr_experiment_chain(again, DTR_KERNEL, i, &x, NULL), DTR_OK);
        assert_int_equal(dtr_experiment_chain(experiment, DTR_KERNEL, i, &y, NULL), DTR_OK);
        assert_memory_equal(x.plugin, y.plugin, sizeof x.plugin);
        assert_int_equal(dtr_experiment_chain(again, DTR_TRANSPORT, i, &x, NULL), DTR_OK);
        assert_int_equal(dtr_experiment_chain(experiment, DTR_TRANSPORT, i, &y, NULL), DTR_OK);
        assert_memory_equal(x.plugin, y.plugin, sizeof x.plugin);
    }
    free(first);
    free(second);
    dtr_experiment_free(again);
}

static void print_means_the_same(void **state) {
    struct fixture *fixture = *state;
    static const char *const settings[] = {
        NULL,
        "experiment.name=a ; b # c \\ d\\",
        "input.text= # ; \\; \\\\ [x] = \t y",
        "input.text=",
        "input.file=/dev/null",
        "input.random=yes",
        "device.1.share=0.30000000000000004",
        "device.memory=1000000001",
        "cluster.devices=1",
        "kernel.plugin=auto",
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct dtr_experiment *experiment = load(fixture, full, settings[i]);
        expect_round_trip(fixture, experiment);
        dtr_experiment_free(experiment);
    }
    char set[3000] = "experiment.results=/";
    memset(set + 20, 'x', sizeof set - 21);
    set[sizeof set - 1] = '\0';
    struct dtr_experiment *experiment = load(fixture, small, set);
    assert_int_equal(strlen(experiment->results), sizeof set - 20);
    expect_round_trip(fixture, experiment);
    dtr_experiment_free(experiment);
}

/* What comes over the wire names files that need not be here, and paths are not touched. */
static void parsed_paths_stay(void **state) {
    struct fixture *fixture = *state;
    struct dtr_experiment *experiment = NULL;
    static const char text[] = "[model]\nconfig = no/model.json\nweights = /no/weights\n"
                               "[input]\nhidden = no/hidden\n[planner.fixed]\nstrategy = tp\n";
    assert_int_equal(dtr_experiment_parse("wire", text, strlen(text), fixture->plugins, NULL,
                                          &experiment, &fixture->error),
                     DTR_OK);
    assert_string_equal(experiment->name, "wire");
    assert_string_equal(experiment->model_config, "no/model.json");
    assert_string_equal(experiment->model_weights, "/no/weights");
    assert_string_equal(experiment->input_value, "no/hidden");
    dtr_experiment_free(experiment);
}

/* --- anything --------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bytes changed, lines swapped, doubled and lost. */
static size_t mutate(char *text, size_t length, size_t room, uint32_t *seed) {
    static const char bytes[] = "=[].;#\\\n \t0-9,\x80";
    for (uint32_t changes = 1 + next_random(seed) % 4; changes; changes--) {
        const size_t at = next_random(seed) % length, n = 1 + next_random(seed) % 30;
        switch (next_random(seed) % 4) {
        case 0:
            text[at] = bytes[next_random(seed) % (sizeof bytes - 1)];
            break;
        case 1:
            text[at] = (char)next_random(seed);
            break;
        case 2:
            if (at + n < length && length > 2 * n) {
                memmove(text + at, text + at + n, length - at - n);
                length -= n;
            }
            break;
        default:
            if (at + n < length && length + n < room) {
                memmove(text + at + n, text + at, length - at);
                length += n;
            }
        }
    }
    return length;
}

static void any_file_is_answered(void **state) {
    struct fixture *fixture = *state;
    uint32_t seed = 3;
    size_t good = 0;
    for (int run = 0; run < 400; run++) {
        char text[3000];
        const size_t length =
            mutate(memcpy(text, full, sizeof full), sizeof full - 1, sizeof text, &seed);
        struct dtr_experiment *experiment = NULL;
        fixture->error.status = DTR_OK;
        fixture->error.text[0] = '\0';
        const int status = dtr_experiment_parse("t.ini", text, length, fixture->plugins, NULL,
                                                &experiment, &fixture->error);
        assert_int_equal(status, fixture->error.status);
        if (status) {
            assert_int_equal(status, DTR_E_CONFIG);
            assert_null(experiment);
            assert_int_equal(strncmp(fixture->error.text, "t.ini:", 6), 0);
            continue;
        }
        good++;
        expect_round_trip(fixture, experiment);
        dtr_experiment_free(experiment);
    }
    assert_in_range(good, 10, 390);
}

/* --- the manual page -------------------------------------------------------------------------- */

/* What the page says of a key: "(int, 1..65536 tokens; default 128)". */
static void summary_of(const struct dtr_param *row, char *text, size_t bytes) {
    char type[300], rest[100] = "";
    const char *unit = row->unit ? row->unit : "";
    if (row->type == DTR_ENUM)
        snprintf(type, sizeof type, "%s", row->range);
    else if (row->type == DTR_BOOL)
        snprintf(type, sizeof type, "yes|no");
    else if (row->range)
        snprintf(type, sizeof type, "%s, %s%s%s%s", dtr_param_type_name(row),
                 row->type == DTR_PATH ? "or " : "", row->range, *unit ? " " : "", unit);
    else
        snprintf(type, sizeof type, "%s", dtr_param_type_name(row));
    if (!row->fallback)
        snprintf(rest, sizeof rest, "; required");
    else if (*row->fallback)
        snprintf(rest, sizeof rest, "; default %s", row->fallback);
    snprintf(text, bytes, "(%s%s)", type, rest);
}

/* The next line of the page, without backslashes and the newline. */
static bool next_line(FILE *page, char *line, int bytes) {
    if (!fgets(line, bytes, page))
        return false;
    char *out = line;
    for (const char *p = line; *p; p++)
        if (*p != '\\' && *p != '\n')
            *out++ = *p;
    *out = '\0';
    return true;
}

/* Every section, key, type, range and default, both ways. */
static void page_says_what_tables_say(void **state) {
    (void)state;
    char path[1000], line[500], wanted[500], heading[100];
    snprintf(path, sizeof path, "%s/core/man/detransformer.ini.5", getenv("DTR_SOURCE"));
    FILE *page = fopen(path, "r");
    assert_non_null(page);
    while (next_line(page, line, sizeof line) && strcmp(line, ".SH SECTIONS"))
        continue;
    bool more = next_line(page, line, sizeof line);
    for (int i = 0; i < DTR_SECTIONS; i++) {
        const struct dtr_section *section = dtr_section((enum dtr_section_id)i);
        snprintf(heading, sizeof heading, ".SS [%s]", section->name);
        assert_string_equal(line, heading);
        size_t keys = 0;
        while ((more = next_line(page, line, sizeof line)) && strncmp(line, ".S", 2)) {
            if (strcmp(line, ".TP") && strcmp(line, ".TQ"))
                continue;
            const struct dtr_param *row = dtr_table_row(section->table, keys++);
            assert_non_null(row);
            assert_true(next_line(page, line, sizeof line));
            snprintf(wanted, sizeof wanted, ".B %s", row->key);
            assert_string_equal(line, wanted);
            assert_true(next_line(page, line, sizeof line));
            summary_of(row, wanted, sizeof wanted);
            assert_string_equal(line, wanted);
        }
        assert_int_equal(keys, dtr_table_count(section->table));
    }
    assert_true(more);
    assert_string_equal(line, ".SH PLUGINS");
    fclose(page);
}

#define TEST(_name) cmocka_unit_test_setup_teardown(_name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(values_are_typed),
        TEST(defaults_are_sensible),
        TEST(devices_differ),
        TEST(cores_are_shared),
        TEST(cores_give_threads),
        TEST(cores_are_dealt_out),
        TEST(remote_devices_are_counted),
        TEST(launchers_may_be_named),
        TEST(settings_win),
        TEST(settings_start_here),
        TEST(input_is_replaced),
        TEST(chains_are_per_device),
        TEST(auto_takes_the_best),
        TEST(auto_takes_a_kernel_for_the_type),
        TEST(chosen_transport_is_told),
        TEST(required_ones_may_be_the_device_s),
        TEST(unused_parts_are_noted),
        TEST(the_grid_is_kept),
        TEST(print_means_the_same),
        TEST(parsed_paths_stay),
        TEST(any_file_is_answered),
        TEST(page_says_what_tables_say),
    };
    return cmocka_run_group_tests_name("experiment", tests, NULL, NULL);
}

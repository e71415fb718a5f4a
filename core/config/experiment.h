/* SPDX-License-Identifier: MIT
 *
 * experiment.h -- an experiment file, read and checked.  Everything a run needs to know is here as
 * typed values; every value knows the line it came from, and the whole can be written out again as
 * an INI file that means the same.
 */
#ifndef DTR_CONFIG_EXPERIMENT_H
#define DTR_CONFIG_EXPERIMENT_H

#include <detransformer/kernel.h>
#include <detransformer/plugin.h>
#include <stdbool.h>

#include "base/cores.h"
#include "base/error.h"
#include "base/log.h"

enum dtr_task { DTR_TASK_ENCODE, DTR_TASK_CLASSIFY, DTR_TASK_FILL_MASK, DTR_TASK_ANSWER };
enum dtr_input_kind { DTR_INPUT_TEXT, DTR_INPUT_FILE, DTR_INPUT_HIDDEN, DTR_INPUT_RANDOM };

/* Only with random weights; 0 or -1: not given. */
struct dtr_model_overrides {
    int64_t division, num_blocks, intermediate_size;
    int32_t attention; /* 0 full, 1 split, -1 not given */
};

/* One device's settings: [device] under [device.N]. */
struct dtr_device_settings {
    uint32_t threads;           /* resolved: at least one */
    bool pinned;                /* its compute threads are bound to cores of its machine: */
    struct dtr_core_list cores; /* as given; of `auto` only after dtr_experiment_pin() */
    uint64_t memory;            /* bytes, 0: not limited */
    double share;
    bool has_divisions;        /* placed by hand */
    struct dtr_list divisions; /* words, checked to be numbers */
    int32_t dtype;             /* enum dtr_dtype: [kernel] dtype, or this device's own */
};

/* One key of [sweep] or [series.NAME]; its values are checked, paths absolute. */
struct dtr_grid {
    const char *series; /* NULL: [sweep] */
    const char *key;    /* dotted, as --set takes it; NULL: a series that lays nothing over */
    struct dtr_list values;
};

struct dtr_plugins;  /* plugin/registry.h */
struct dtr_topology; /* base/topology.h */
struct dtr_experiment_store;

/* Belongs to dtr_experiment_load(); constant afterwards. */
struct dtr_experiment {
    const char *file;   /* as given */
    const char *folder; /* absolute, of the file */

    const char *name;
    uint64_t requests; /* 0: one pass over the file */
    uint64_t warmup;
    uint64_t seed;
    const char *results; /* absolute */

    const char *model_config;  /* absolute */
    const char *model_weights; /* absolute, or NULL: random */
    const char *vocab;         /* absolute, or NULL */
    bool cased;
    enum dtr_task task;
    struct dtr_model_overrides overrides;

    enum dtr_input_kind input;
    const char *input_value; /* the text, or the absolute path; NULL for random */
    uint32_t sequence_length, batch;

    uint32_t devices;
    const char *launch;                 /* local, remote, or a transport's name */
    struct dtr_list addresses;          /* of the workers */
    const char *key_file;               /* absolute, or NULL */
    uint64_t lost_after_ns; /* silent for so long: lost */
    uint64_t hung_after_ns; /* at one step for so long: lost; 0: never */
    struct dtr_device_settings *device; /* [devices] */
    /* Of this machine; NULL: no device on it is pinned. */
    const struct dtr_topology *topology;

    int32_t dtype;                   /* enum dtr_dtype, [kernel] dtype */
    int32_t wire;                    /* enum dtr_dtype, [transport] wire */
    int32_t way[7];                  /* [transport] all_gather and so on, in their order */
    int32_t objective;               /* [planner] objective: 0 latency, 1 throughput, 2 memory */
    const char *profile; /* absolute, or NULL */
    const char *transport, *planner; /* outermost plugin names; the kernel's may differ by device */

    struct dtr_experiment_store *store;
};

/* One `--set section.key=value` (or the like, as --text makes). */
struct dtr_setting {
    const char *text;
    bool fallback; /* only where nothing else was said */
};

/* Reads, overlays and checks everything that can be known before a model is opened or a process
 * is started: sections, keys, types, ranges, required keys, files that must exist, plugins that
 * must load, their parameters and those of what they wrap.  Plugins are loaded into `plugins`.
 * On failure `error` says "exp.ini:12: [planner] unknown key 'plugn'; did you mean 'plugin'?". */
int dtr_experiment_load(const char *file, const struct dtr_setting *settings, size_t settings_count,
                        struct dtr_plugins *plugins, const struct dtr_log *log,
                        struct dtr_experiment **experiment_p, struct dtr_error *error);

/* The same from text (a worker is sent the leader's effective experiment); paths are taken as
 * they are and files need not exist. */
int dtr_experiment_parse(const char *name, const char *text, size_t length,
                         struct dtr_plugins *plugins, const struct dtr_log *log,
                         struct dtr_experiment **experiment_p, struct dtr_error *error);
void dtr_experiment_free(struct dtr_experiment *experiment);

/* The effective experiment as an INI file, with every value, paths absolute; the caller frees. */
char *dtr_experiment_print(const struct dtr_experiment *experiment);

/* The same of what is measured alone: without the results folder and the grid, which say where and
 * what else. */
char *dtr_experiment_print_point(const struct dtr_experiment *experiment);

/* Where a key was set, "exp.ini:12" or "--set" or "default", for messages of those who find out
 * later that a value cannot be; static or the experiment's. */
const char *dtr_experiment_origin(const struct dtr_experiment *experiment, const char *section,
                                  const char *key);

/* [sweep] and the series, in the order of the file; NULL from the end on. */
const struct dtr_grid *dtr_experiment_grid(const struct dtr_experiment *experiment, size_t index);

/* A chain of plugins of one kind for one device: the named one, and below it those that it wraps
 * ([transport.emulated] over = shm), outermost first.  `params` are parameter blocks as the plugins
 * defined them, with the device's overrides; both belong to the experiment. */
#define DTR_CHAIN_MAX 8
struct dtr_chain {
    uint32_t count;
    const struct dtr_plugin *plugin[DTR_CHAIN_MAX];
    const void *params[DTR_CHAIN_MAX];
};
int dtr_experiment_chain(const struct dtr_experiment *experiment, enum dtr_kind kind,
                         uint32_t device, struct dtr_chain *chain, struct dtr_error *error);

/* Settles which of this machine's cores a device that is pinned computes on, and with `auto` its
 * default number of threads; refuses what the machine does not have: DTR_E_CONFIG.  Done when an
 * experiment is loaded for the devices on this machine; a worker does it for its own. */
int dtr_experiment_pin(struct dtr_experiment *experiment, uint32_t device, struct dtr_error *error);

/* Refuses an experiment that names files to the device's kernel and transport plugins, other than
 * by default: those of another machine mean nothing here, or what nobody here wanted.
 * DTR_E_CONFIG. */
int dtr_experiment_refuse_paths(const struct dtr_experiment *experiment, uint32_t device,
                                struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * sections.h -- the core's own sections of an experiment file: their keys as tables, like those of
 * plugins, and the structs that the tables describe.
 */
#ifndef DTR_CONFIG_SECTIONS_H
#define DTR_CONFIG_SECTIONS_H

#include <detransformer/plugin.h>

#include "config/params.h"

enum dtr_section_id {
    DTR_SECTION_EXPERIMENT,
    DTR_SECTION_MODEL,
    DTR_SECTION_INPUT,
    DTR_SECTION_CLUSTER,
    DTR_SECTION_DEVICE,
    DTR_SECTION_KERNEL,
    DTR_SECTION_TRANSPORT,
    DTR_SECTION_PLANNER,
    DTR_SECTIONS
};

struct dtr_section {
    const char *name, *help;
    struct dtr_table table;
};

struct dtr_section_experiment {
    const char *name;
    int64_t requests, warmup, seed;
    const char *results;
};

struct dtr_section_model {
    const char *config, *weights, *vocab;
    int32_t cased, task;
    int64_t division, num_blocks, intermediate_size;
    int32_t attention; /* 0: as in the config */
};

struct dtr_section_input {
    const char *text, *file, *hidden;
    int32_t random;
    int64_t sequence_length, batch;
};

struct dtr_section_cluster {
    int64_t devices;
    const char *launch;
    struct dtr_list addresses;
    const char *key_file;
    int64_t lost_after_ms, hung_after_ms;
};

struct dtr_section_device {
    int64_t threads;
    const char *cores;
    uint64_t memory;
    double share;
    struct dtr_list divisions;
};

struct dtr_section_kernel {
    const char *plugin;
    int32_t dtype;
};

struct dtr_section_transport {
    const char *plugin;
    int32_t wire;
    int32_t all_gather, all_to_all, gather, scatter, broadcast, reduce_scatter, all_reduce;
};

struct dtr_section_planner {
    const char *plugin;
    int32_t objective;
    const char *profile;
};

const struct dtr_section *dtr_section(enum dtr_section_id id);

/* NULL when the core has no section of that name. */
const struct dtr_section *dtr_section_find(const char *name);

#endif

/* SPDX-License-Identifier: MIT
 *
 * pinning.c -- [device] cores: read for every device, and settled for those on this machine, whose
 * cores alone are known here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/topology.h"
#include "config/store.h"

/* The section that says so for the device: its own, or the one for all. */
static const char *section_of(const struct dtr_experiment_store *store, uint32_t device, char *own,
                              size_t bytes) {
    snprintf(own, bytes, "device.%u", device);
    return dtr_ini_find(store->ini, own, "cores") ? own : "device";
}

static int fail_cores(const struct dtr_experiment_store *store, uint32_t device,
                      const struct dtr_error *cause, struct dtr_error *error) {
    char own[32];
    return dtr_fail_at(store, section_of(store, device, own, sizeof own), "cores", error,
                       "cores: %s", cause->text);
}

int dtr_cores_read(const struct dtr_experiment_store *store, uint32_t device,
                   struct dtr_device_settings *settings, struct dtr_error *error) {
    const struct dtr_section_device *values = store->device[device];
    struct dtr_error cause = {.status = DTR_OK};
    settings->pinned = strcmp(values->cores, "any") != 0;
    if (!settings->pinned || !strcmp(values->cores, "auto"))
        return DTR_OK;
    if (values->cores[strspn(values->cores, " \t,-0123456789")] || !*values->cores)
        dtr_fail(&cause, DTR_E_CONFIG,
                 "'%.100s' is neither any nor auto nor a list of cores such as 0-3,6",
                 values->cores);
    else
        dtr_core_list_parse(values->cores, &settings->cores, &cause);
    if (cause.status)
        return fail_cores(store, device, &cause, error);
    if (!values->threads)
        settings->threads = settings->cores.count;
    return DTR_OK;
}

/* --- on this machine -------------------------------------------------------------------------- */

static bool is_automatic(const struct dtr_experiment_store *store, uint32_t device) {
    const struct dtr_section_device *values = store->device[device];
    return !strcmp(values->cores, "auto");
}

static void take_part(struct dtr_experiment_store *store, uint32_t device,
                      struct dtr_core_list *part) {
    struct dtr_device_settings *settings = &store->settings[device];
    const struct dtr_section_device *values = store->device[device];
    settings->cores = *part;
    part->core = NULL;
    if (!values->threads)
        settings->threads = part->count;
}

/* Devices on one machine have their parts by their numbers, once and for all. */
static int divide(struct dtr_experiment_store *store, uint32_t device, struct dtr_error *error) {
    const bool alone = !strcmp(store->experiment.launch, "remote");
    const uint32_t parts = alone ? 1 : store->experiment.devices;
    struct dtr_core_list *lists = calloc(parts, sizeof *lists);
    if (!lists)
        return dtr_fail_memory(error);
    const int status = dtr_topology_divide(store->topology, parts, lists, error);
    if (!status && alone)
        take_part(store, device, &lists[0]);
    for (uint32_t i = 0; i < parts && !status && !alone; i++)
        if (is_automatic(store, i))
            take_part(store, i, &lists[i]);
    for (uint32_t i = 0; i < parts; i++)
        free(lists[i].core);
    free(lists);
    return status;
}

static int settle(struct dtr_experiment_store *store, uint32_t device, struct dtr_error *error) {
    int status = DTR_OK;
    if (!store->topology)
        status = dtr_topology_load(&store->topology, error);
    if (!status && !store->settings[device].cores.count)
        status = divide(store, device, error);
    if (!status)
        status = dtr_topology_check(store->topology, &store->settings[device].cores, error);
    store->experiment.topology = store->topology;
    return status;
}

int dtr_experiment_pin(struct dtr_experiment *experiment, uint32_t device,
                       struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    if (!experiment->device[device].pinned || !settle(experiment->store, device, &cause))
        return DTR_OK;
    if (cause.status == DTR_E_CONFIG)
        return fail_cores(experiment->store, device, &cause, error);
    return dtr_fail(error, cause.status, "%s", cause.text);
}

/* --- what is allowed, but hardly meant -------------------------------------------------------- */

static void warn(const struct dtr_experiment_store *store, uint32_t device, const char *text) {
    char own[32];
    const char *section = section_of(store, device, own, sizeof own);
    dtr_log(store->log, DTR_LOG_WARN, "%s: [%s] cores: %s",
            dtr_experiment_origin(&store->experiment, section, "cores"), section, text);
}

/* More threads than cores to bind them to. */
static bool warn_of_crowd(const struct dtr_experiment_store *store, uint32_t device) {
    const struct dtr_device_settings *settings = &store->settings[device];
    char text[100];
    if (!settings->cores.count || settings->threads <= settings->cores.count)
        return false;
    snprintf(text, sizeof text, "device %u has %u threads for %u core%s", device, settings->threads,
             settings->cores.count, settings->cores.count == 1 ? "" : "s");
    warn(store, device, text);
    return true;
}

/* owner[core]: the device that has it, counted from 1; 0: none yet. */
static bool warn_of_overlap(const struct dtr_experiment_store *store, uint32_t device,
                            uint32_t *owner) {
    const struct dtr_core_list *cores = &store->settings[device].cores;
    char text[100];
    for (uint32_t i = 0; i < cores->count; i++) {
        const uint32_t other = owner[cores->core[i]];
        owner[cores->core[i]] = device + 1;
        if (!other)
            continue;
        snprintf(text, sizeof text, "devices %u and %u of this machine share core %u", other - 1,
                 device, cores->core[i]);
        warn(store, device, text);
        return true;
    }
    return false;
}

/* --- all devices ------------------------------------------------------------------------------ */

int dtr_cores_settle(struct dtr_experiment_store *store, struct dtr_error *error) {
    const bool local = !strcmp(store->experiment.launch, "local");
    const uint32_t devices = store->experiment.devices, here = local ? devices : 1;
    /* A worker does this for the device that it is told to be. */
    if (!store->files_checked)
        return DTR_OK;
    int status = DTR_OK;
    for (uint32_t i = 0; i < here && !status; i++)
        status = dtr_experiment_pin(&store->experiment, i, error);
    if (status || !store->topology)
        return status;
    uint32_t *owner = calloc(DTR_CORES_MAX, sizeof *owner);
    if (!owner)
        return dtr_fail_memory(error);
    for (uint32_t i = 0; i < here && !warn_of_overlap(store, i, owner);)
        i++;
    free(owner);
    for (uint32_t i = 0; i < devices && !warn_of_crowd(store, i);)
        i++;
    return DTR_OK;
}

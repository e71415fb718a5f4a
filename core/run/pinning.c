/* SPDX-License-Identifier: MIT */
#include "run/pinning.h"

#include <stdlib.h>

#include "base/topology.h"

static const struct dtr_device_settings *settings_of(const struct dtr_device *device) {
    return &device->experiment->device[device->device];
}

/* Compute threads take the device's cores in turn. */
static int bind_thread(const struct dtr_device *device, uint32_t thread, pthread_t id,
                       struct dtr_error *error) {
    const struct dtr_core_list *cores = &settings_of(device)->cores;
    const struct dtr_core_list one = {.core = &cores->core[thread % cores->count], .count = 1};
    return dtr_topology_bind(device->experiment->topology, id, &one, error);
}

struct binding {
    const struct dtr_device *device;
    struct dtr_error *error;
    int status;
};

static void bind_helper(void *arg, uint32_t thread, pthread_t id) {
    struct binding *binding = arg;
    if (!binding->status)
        binding->status = bind_thread(binding->device, thread, id, binding->error);
}

int dtr_pinning_begin(struct dtr_device *device, struct dtr_error *error) {
    struct binding binding = {.device = device, .error = error};
    const struct dtr_device_settings *settings = settings_of(device);
    if (!settings->pinned)
        return DTR_OK;
    dtr_kernels_threads(device->kernels, bind_helper, &binding);
    if (!binding.status)
        binding.status = bind_thread(device, 0, pthread_self(), error);
    if (binding.status)
        return binding.status;
    device->cores = dtr_core_list_format(&settings->cores);
    if (!device->cores)
        return dtr_fail_memory(error);
    dtr_log(device->log, DTR_LOG_DEBUG, "device %u: compute threads, %u of them, bound to cores %s",
            device->device, settings->threads, device->cores);
    return DTR_OK;
}

static int move_to(const struct dtr_device *device, enum dtr_pinning_place place,
                   struct dtr_error *error) {
    static const struct dtr_core_list all;
    if (place == DTR_PINNING_THREAD)
        return bind_thread(device, 0, pthread_self(), error);
    return dtr_topology_bind(device->experiment->topology, pthread_self(),
                             place == DTR_PINNING_FREE ? &all : &settings_of(device)->cores, error);
}

void dtr_pinning_place(const struct dtr_device *device, enum dtr_pinning_place place) {
    struct dtr_error error = {0};
    if (device->cores && move_to(device, place, &error))
        dtr_log(device->log, DTR_LOG_WARN, "%s", error.text);
}

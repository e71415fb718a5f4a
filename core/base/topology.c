/* SPDX-License-Identifier: MIT */
#include "base/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

struct dtr_topology {
    hwloc_topology_t machine;
    hwloc_bitmap_t allowed;
    hwloc_obj_type_t kind; /* what cores are; their hardware threads where hwloc knows no cores */
};

/* --- opening ---------------------------------------------------------------------------------- */

/* What the administrator leaves this process, and of that what this thread is bound to. */
static int find_allowed(struct dtr_topology *topology) {
    const hwloc_const_bitmap_t all = hwloc_topology_get_allowed_cpuset(topology->machine);
    topology->allowed = hwloc_bitmap_alloc();
    if (!topology->allowed)
        return -1;
    if (hwloc_get_cpubind(topology->machine, topology->allowed, HWLOC_CPUBIND_THREAD) ||
        !hwloc_bitmap_intersects(topology->allowed, all))
        return hwloc_bitmap_copy(topology->allowed, all);
    return hwloc_bitmap_and(topology->allowed, topology->allowed, all);
}

int dtr_topology_load(struct dtr_topology **topology_p, struct dtr_error *error) {
    struct dtr_topology *topology = calloc(1, sizeof *topology);
    if (!topology)
        return dtr_fail_memory(error);
    if (hwloc_topology_init(&topology->machine) || hwloc_topology_load(topology->machine) ||
        find_allowed(topology)) {
        dtr_fail(error, DTR_E_SYSTEM, "hwloc cannot look at this machine: %s", strerror(errno));
        dtr_topology_free(topology);
        return DTR_E_SYSTEM;
    }
    topology->kind = hwloc_get_nbobjs_by_type(topology->machine, HWLOC_OBJ_CORE) > 0
                         ? HWLOC_OBJ_CORE
                         : HWLOC_OBJ_PU;
    *topology_p = topology;
    return DTR_OK;
}

void dtr_topology_free(struct dtr_topology *topology) {
    if (!topology)
        return;
    hwloc_bitmap_free(topology->allowed);
    if (topology->machine)
        hwloc_topology_destroy(topology->machine);
    free(topology);
}

/* --- cores ------------------------------------------------------------------------------------ */

static hwloc_obj_t core_at(const struct dtr_topology *topology, uint32_t core) {
    return hwloc_get_obj_by_type(topology->machine, topology->kind, core);
}

/* The cores that have a part in `set`. */
static int list_of(const struct dtr_topology *topology, hwloc_const_bitmap_t set,
                   struct dtr_core_list *list, struct dtr_error *error) {
    const int cores = hwloc_get_nbobjs_by_type(topology->machine, topology->kind);
    *list = (struct dtr_core_list){.core = calloc((size_t)cores + 1, sizeof *list->core)};
    if (!list->core)
        return dtr_fail_memory(error);
    for (uint32_t i = 0; i < (uint32_t)cores; i++)
        if (hwloc_bitmap_intersects(core_at(topology, i)->cpuset, set))
            list->core[list->count++] = i;
    return DTR_OK;
}

static int fail_core(const struct dtr_topology *topology, uint32_t core, struct dtr_error *error) {
    struct dtr_core_list usable;
    int status = list_of(topology, topology->allowed, &usable, error);
    char *text = status ? NULL : dtr_core_list_format(&usable);
    if (!text)
        status = dtr_fail_memory(error);
    else if (core_at(topology, core))
        status = dtr_fail(error, DTR_E_CONFIG,
                          "core %u is not for this process, which may use %.200s", core, text);
    else
        status = dtr_fail(error, DTR_E_CONFIG,
                          "this machine has no core %u; this process may use %.200s", core, text);
    free(text);
    free(usable.core);
    return status;
}

int dtr_topology_check(const struct dtr_topology *topology, const struct dtr_core_list *list,
                       struct dtr_error *error) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct hwloc_obj *core = core_at(topology, list->core[i]);
        if (!core || !hwloc_bitmap_intersects(core->cpuset, topology->allowed))
            return fail_core(topology, list->core[i], error);
    }
    return DTR_OK;
}

/* hwloc numbers cores so that neighbours share what can be shared: caches, then memory.  Runs of
 * equal length keep that and leave no device behind the others, as hwloc_distrib() would, which
 * divides package by package. */
static int take_run(const struct dtr_core_list *all, uint32_t part, uint32_t parts,
                    struct dtr_core_list *list) {
    const uint32_t first = (uint32_t)((uint64_t)part * all->count / parts);
    const uint32_t end = (uint32_t)((uint64_t)(part + 1) * all->count / parts);
    list->count = end > first ? end - first : 1;
    list->core = malloc(list->count * sizeof *list->core);
    if (!list->core)
        return DTR_E_MEMORY;
    memcpy(list->core, all->core + first, list->count * sizeof *list->core);
    return DTR_OK;
}

int dtr_topology_divide(const struct dtr_topology *topology, uint32_t parts,
                        struct dtr_core_list *lists, struct dtr_error *error) {
    struct dtr_core_list all;
    memset(lists, 0, parts * sizeof *lists);
    int status = list_of(topology, topology->allowed, &all, error);
    for (uint32_t i = 0; i < parts && !status; i++)
        if (take_run(&all, i, parts, &lists[i]))
            status = dtr_fail_memory(error);
    free(all.core);
    return status;
}

/* --- binding ---------------------------------------------------------------------------------- */

static int set_of(const struct dtr_topology *topology, const struct dtr_core_list *list,
                  hwloc_bitmap_t set) {
    if (!list->count)
        return hwloc_bitmap_copy(set, topology->allowed);
    for (uint32_t i = 0; i < list->count; i++)
        if (hwloc_bitmap_or(set, set, core_at(topology, list->core[i])->cpuset))
            return -1;
    return hwloc_bitmap_and(set, set, topology->allowed);
}

int dtr_topology_bind(const struct dtr_topology *topology, pthread_t thread,
                      const struct dtr_core_list *list, struct dtr_error *error) {
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set || set_of(topology, list, set)) {
        hwloc_bitmap_free(set);
        return dtr_fail_memory(error);
    }
    const int failed = hwloc_set_thread_cpubind(topology->machine, thread, set, 0);
    const int code = errno;
    hwloc_bitmap_free(set);
    return failed ? dtr_fail(error, DTR_E_SYSTEM, "cannot bind a thread to its cores: %s",
                             strerror(code))
                  : DTR_OK;
}

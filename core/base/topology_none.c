/* SPDX-License-Identifier: MIT
 *
 * topology_none.c -- topology.h without hwloc: nothing is known of the machine, so that nothing can
 * be bound to its cores.
 */
#include "base/topology.h"

int dtr_topology_load(struct dtr_topology **topology_p, struct dtr_error *error) {
    (void)topology_p;
    return dtr_fail(error, DTR_E_CONFIG,
                    "this program was built without hwloc and can pin nothing; only 'any' works");
}

void dtr_topology_free(struct dtr_topology *topology) {
    (void)topology;
}

int dtr_topology_check(const struct dtr_topology *topology, const struct dtr_core_list *list,
                       struct dtr_error *error) {
    (void)topology, (void)list;
    return dtr_fail(error, DTR_E_UNSUPPORTED, "there is no hwloc");
}

int dtr_topology_divide(const struct dtr_topology *topology, uint32_t parts,
                        struct dtr_core_list *lists, struct dtr_error *error) {
    (void)topology, (void)parts, (void)lists;
    return dtr_fail(error, DTR_E_UNSUPPORTED, "there is no hwloc");
}

int dtr_topology_bind(const struct dtr_topology *topology, pthread_t thread,
                      const struct dtr_core_list *list, struct dtr_error *error) {
    (void)topology, (void)thread, (void)list;
    return dtr_fail(error, DTR_E_UNSUPPORTED, "there is no hwloc");
}

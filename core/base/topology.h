/* SPDX-License-Identifier: MIT
 *
 * topology.h -- the cores of this machine and how they lie to each other, as hwloc sees them: which
 * of them this process may use, how devices share them, and threads bound to them.  A core is one
 * of hwloc's, with all its hardware threads, and has hwloc's logical number.  topology_none.c takes
 * the place of topology.c where the program is built without hwloc.
 */
#ifndef DTR_BASE_TOPOLOGY_H
#define DTR_BASE_TOPOLOGY_H

#include <pthread.h>

#include "base/cores.h"

struct dtr_topology;

/* Looks at the machine.  What the calling thread may use counts as what the process may use.
 * DTR_E_CONFIG where the program is built without hwloc. */
int dtr_topology_load(struct dtr_topology **topology_p, struct dtr_error *error);
void dtr_topology_free(struct dtr_topology *topology); /* NULL is allowed */

/* Refuses a list with cores that the machine does not have or the process may not use;
 * DTR_E_CONFIG, the sentence names the core. */
int dtr_topology_check(const struct dtr_topology *topology, const struct dtr_core_list *list,
                       struct dtr_error *error);

/* Divides the cores that the process may use into `parts` lists of cores that are near each other,
 * none longer by more than one than another; with more parts than cores some have the same one. The
 * caller frees the lists' memory, after a failure as well. */
int dtr_topology_divide(const struct dtr_topology *topology, uint32_t parts,
                        struct dtr_core_list *lists, struct dtr_error *error);

/* From now on the thread, and those that it starts, run on these cores only; an empty list: on all
 * that the process may use.  The list was checked. */
int dtr_topology_bind(const struct dtr_topology *topology, pthread_t thread,
                      const struct dtr_core_list *list, struct dtr_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * cores.h -- the processor's cores: how many this process may use, and lists of them as people
 * write them.
 */
#ifndef DTR_BASE_CORES_H
#define DTR_BASE_CORES_H

#include <stdint.h>

#include "base/error.h"

/* How many logical processors this process may use; at least one. */
uint32_t dtr_cores(void);

/* No machine has more. */
enum { DTR_CORES_MAX = 65536 };

/* Numbers of cores, each once, in the order in which they were written. */
struct dtr_core_list {
    uint32_t *core; /* [count], malloc()ed; NULL: none */
    uint32_t count;
};

/* Reads "0-3,6": numbers and rising ranges, separated by commas or blanks.  The caller frees
 * list->core.  DTR_E_CONFIG with a sentence about the text; DTR_E_MEMORY. */
int dtr_core_list_parse(const char *text, struct dtr_core_list *list, struct dtr_error *error);

/* The list as text that reads back as the same; the caller frees.  NULL: out of memory. */
char *dtr_core_list_format(const struct dtr_core_list *list);

#endif

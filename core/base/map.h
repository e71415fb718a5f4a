/* SPDX-License-Identifier: MIT
 *
 * map.h -- a file as read-only memory.  Nothing is copied; pages that nobody reads are never
 * fetched.
 */
#ifndef DTR_BASE_MAP_H
#define DTR_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dtr_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
};

/* Maps a regular file; the sentence of an error begins with the path.  DTR_E_CONFIG, since a path
 * is something the user named.  The file must not be cut short while it is mapped. */
int dtr_map_open(const char *path, struct dtr_map *map_p, struct dtr_error *error);
/* The whole file as text, zero at its end; the caller frees. */
int dtr_map_text(const char *path, char **text_p, struct dtr_error *error);

void dtr_map_close(struct dtr_map *map);

#endif

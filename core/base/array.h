/* SPDX-License-Identifier: MIT
 *
 * array.h -- arrays that grow by one element at a time.
 */
#ifndef DTR_BASE_ARRAY_H
#define DTR_BASE_ARRAY_H

#include <stdint.h>
#include <stdlib.h>

/* An array of `count` elements of that size with room for one more, moved if need be.  NULL: out of
 * memory; the array is as it was, then. */
static inline void *dtr_array_room(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    const uint32_t larger = *capacity ? 2 * *capacity : 16;
    void *moved = realloc(array, larger * size);
    if (moved)
        *capacity = larger;
    return moved;
}

#endif

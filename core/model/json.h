/* SPDX-License-Identifier: MIT
 *
 * json.h -- JSON from untrusted files, on top of cJSON: limited in size, whole (nothing may follow
 * it), without duplicate keys, and with numbers that are exactly what is written.
 */
#ifndef DTR_MODEL_JSON_H
#define DTR_MODEL_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Text as long as this takes well under 1 GiB as cJSON's tree, whatever it holds. */
#define DTR_JSON_BYTES_MAX ((size_t)16 << 20)

/* An object from text, without duplicate keys at its top level.  `where` (a path) begins the
 * sentence of an error.  The caller frees it with cJSON_Delete().  DTR_E_CONFIG. */
int dtr_json_parse(const char *where, const void *text, size_t length, cJSON **object_p,
                   struct dtr_error *error);
int dtr_json_read(const char *path, cJSON **object_p, struct dtr_error *error);

/* The same for files that may be larger than others: up to `most` bytes. */
int dtr_json_read_large(const char *path, size_t most, cJSON **object_p, struct dtr_error *error);

/* The key that an object has twice, or NULL; "" when there is no memory to find out. */
const char *dtr_json_duplicate(const cJSON *object);

/* True when the item is a whole number below 2^53: a double tells all of these apart. */
bool dtr_json_whole(const cJSON *item, uint64_t *value_p);

/* True when the text can be shown to the user as it is: no control characters. */
bool dtr_text_is_printable(const char *text);

#endif

/* SPDX-License-Identifier: MIT
 *
 * copies.h -- models that a worker has files of: which of them is the leader's is told by the
 * digest, never by a name that came from elsewhere.
 */
#ifndef DTR_RUN_COPIES_H
#define DTR_RUN_COPIES_H

#include "base/log.h"
#include "model/model.h"

/* Looks for weights with that digest, under the source's configuration, in the folder and in the
 * folders right below it: every .safetensors and every .safetensors.index.json.  The caller frees
 * the path; NULL: there are none. */
char *dtr_copies_find(const char *folder, const struct dtr_model_source *source,
                      const uint8_t digest[32], const struct dtr_log *log);

#endif

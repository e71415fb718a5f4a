/* SPDX-License-Identifier: MIT
 *
 * fuzz.h -- what the fuzz targets share.  A target is one function that is handed bytes and must
 * neither crash, leak, hang nor leave anything undefined; libFuzzer makes the bytes up, and
 * replay.c plays those back that are kept.
 */
#ifndef DTR_TESTS_FUZZ_H
#define DTR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program when something is not as it must be. */
void fuzz_need(bool holds, const char *what);

/* A status and its error belong together: none, or one line that can be shown.  Returns whether
 * all went well. */
bool fuzz_sentence(int status, const struct dtr_error *error);

/* Writes the bytes into a file of that name, in a folder of this process that goes with it.  The
 * path is good until the fourth next call. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);

/* The committed models and data: $DTR_TESTS/fixtures/NAME; good like a path of fuzz_file(). */
const char *fuzz_fixture(const char *name);

/* The input as a source of small decisions: takes bytes from its front, zeros at its end. */
struct fuzz_bytes {
    const uint8_t *data;
    size_t size;
};
uint8_t fuzz_byte(struct fuzz_bytes *bytes);

/* Takes up to `most` bytes from the front; *size_p says how many. */
const uint8_t *fuzz_take(struct fuzz_bytes *bytes, size_t most, size_t *size_p);

#endif

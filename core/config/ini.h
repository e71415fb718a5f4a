/* SPDX-License-Identifier: MIT
 *
 * ini.h -- the text of an INI file as a list of entries, each with the place it came from; and
 * back. inih does the parsing; what it would cut off, join or overlook is refused here or made
 * exact.
 *
 * A value that is too long for a line goes on in indented lines, joined by a blank, or by nothing
 * after a line that ends in a backslash.  In front of `\`, `;`, `#`, a blank or a tab a backslash
 * takes away their meaning; any other backslash is one.
 */
#ifndef DTR_CONFIG_INI_H
#define DTR_CONFIG_INI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

struct dtr_ini_section {
    char *name;
    unsigned line;
};

struct dtr_ini_entry {
    char *section, *key, *value;
    char *origin;   /* "exp.ini:12" or "--set" */
    unsigned line;  /* 0: not from a file */
    bool continued; /* over several lines */
};

struct dtr_ini {
    char *file; /* as messages name it */
    struct dtr_ini_section *sections;
    size_t sections_count;
    struct dtr_ini_entry *entries; /* in the order of the file, then what was set */
    size_t entries_count;
};

/* Reads all of it or nothing; DTR_E_CONFIG with "exp.ini:12: ..." when it is no INI file, or one of
 * more than `most` bytes (some MiB). */
int dtr_ini_read(const char *file, size_t most, struct dtr_ini **ini_p, struct dtr_error *error);
int dtr_ini_parse(const char *name, const char *text, size_t length, struct dtr_ini **ini_p,
                  struct dtr_error *error);
void dtr_ini_free(struct dtr_ini *ini);

/* Takes the place of the entry that is there, if any.  Line breaks in the value become blanks. */
int dtr_ini_set(struct dtr_ini *ini, const char *section, const char *key, const char *value,
                struct dtr_error *error);

/* NULL when there is none. */
const struct dtr_ini_entry *dtr_ini_find(const struct dtr_ini *ini, const char *section,
                                         const char *key);
const struct dtr_ini_section *dtr_ini_section(const struct dtr_ini *ini, const char *name);

/* "key = value", over as many lines as it takes, such that it is read back as it was. */
void dtr_ini_write(FILE *file, const char *key, const char *value);

#endif

/* SPDX-License-Identifier: MIT */
#include "base/cores.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t dtr_cores(void) {
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* Of a core's number. */
enum { DIGITS_MAX = 5 };

static const char blanks[] = " \t";

/* The number at *text_p, which is moved behind it; false where there is none. */
static bool read_number(const char **text_p, uint32_t *number_p) {
    const size_t digits = strspn(*text_p, "0123456789");
    if (!digits || digits > DIGITS_MAX)
        return false;
    *number_p = (uint32_t)strtoul(*text_p, NULL, 10);
    *text_p += digits;
    return *number_p < DTR_CORES_MAX;
}

static bool read_range(const char **text_p, uint32_t *first_p, uint32_t *last_p) {
    if (!read_number(text_p, first_p))
        return false;
    *last_p = *first_p;
    if (**text_p != '-')
        return true;
    ++*text_p;
    return read_number(text_p, last_p) && *first_p <= *last_p;
}

/* To the next range, over blanks and one comma at most; false where the text goes on otherwise. */
static bool next_range(const char **text_p) {
    const char *from = *text_p, *at = from + strspn(from, blanks);
    const bool comma = *at == ',';
    if (comma)
        at += 1 + strspn(at + 1, blanks);
    *text_p = at;
    return *at ? at > from : !comma;
}

static int read_list(const char *text, uint8_t *seen, struct dtr_core_list *list,
                     struct dtr_error *error) {
    const char *at = text + strspn(text, blanks);
    do {
        uint32_t first, last;
        if (!read_range(&at, &first, &last) || !next_range(&at))
            return dtr_fail(error, DTR_E_CONFIG,
                            "'%s' is not a list of cores; write it as in 0-3,6", text);
        for (uint32_t core = first; core <= last; core++) {
            if (seen[core]++)
                return dtr_fail(error, DTR_E_CONFIG, "core %u is named twice", core);
            list->core[list->count++] = core;
        }
    } while (*at);
    return DTR_OK;
}

int dtr_core_list_parse(const char *text, struct dtr_core_list *list, struct dtr_error *error) {
    struct dtr_core_list all = {.core = malloc(DTR_CORES_MAX * sizeof *all.core)};
    uint8_t *seen = calloc(DTR_CORES_MAX, sizeof *seen);
    int status = all.core && seen ? DTR_OK : dtr_fail_memory(error);
    if (!status)
        status = read_list(text, seen, &all, error);
    free(seen);
    if (status) {
        free(all.core);
        return status;
    }
    uint32_t *fitting = realloc(all.core, all.count * sizeof *all.core);
    *list = (struct dtr_core_list){fitting ? fitting : all.core, all.count};
    return DTR_OK;
}

char *dtr_core_list_format(const struct dtr_core_list *list) {
    char *text = malloc((size_t)list->count * (2 * DIGITS_MAX + 2) + 1), *end = text;
    if (!text)
        return NULL;
    *end = '\0';
    for (uint32_t i = 0, next; i < list->count; i = next) {
        for (next = i + 1; next < list->count && list->core[next] == list->core[next - 1] + 1;)
            next++;
        end += sprintf(end, "%s%u", i ? "," : "", list->core[i]);
        if (next > i + 1)
            end += sprintf(end, "-%u", list->core[next - 1]);
    }
    return text;
}

/* SPDX-License-Identifier: MIT */
#include "config/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* inih keeps names in 50 bytes and cuts off what is longer. */
#define NAME_MAX_BYTES 49u

/* Characters that a backslash protects.  On their way through inih they are bytes 1, 2, ..., which
 * mean nothing to it and are refused in the file itself. */
static const char protected_characters[] = "\\;# \t";

struct parser {
    struct dtr_ini *ini;
    const char *at, *end;
    unsigned line; /* the one that inih has */
    bool indented;
    bool open; /* the last entry can go on in an indented line */
    bool glue; /* ... without a blank: its line ended in a backslash */
    struct dtr_error *error;
    int status;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *parser, const char *format,
                                                        ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    parser->status =
        dtr_fail(parser->error, DTR_E_CONFIG, "%s:%u: %s", parser->ini->file, parser->line, text);
    return parser->status;
}

static int no_memory(struct parser *parser) {
    parser->status = dtr_fail_memory(parser->error);
    return parser->status;
}

/* --- the list --------------------------------------------------------------------------------- */

const struct dtr_ini_section *dtr_ini_section(const struct dtr_ini *ini, const char *name) {
    for (size_t i = 0; i < ini->sections_count; i++)
        if (!strcmp(ini->sections[i].name, name))
            return &ini->sections[i];
    return NULL;
}

static struct dtr_ini_entry *find(const struct dtr_ini *ini, const char *section, const char *key) {
    for (size_t i = 0; i < ini->entries_count; i++)
        if (!strcmp(ini->entries[i].key, key) && !strcmp(ini->entries[i].section, section))
            return &ini->entries[i];
    return NULL;
}

const struct dtr_ini_entry *dtr_ini_find(const struct dtr_ini *ini, const char *section,
                                         const char *key) {
    return find(ini, section, key);
}

static void free_entry(struct dtr_ini_entry *entry) {
    free(entry->section);
    free(entry->key);
    free(entry->value);
    free(entry->origin);
}

void dtr_ini_free(struct dtr_ini *ini) {
    if (!ini)
        return;
    for (size_t i = 0; i < ini->sections_count; i++)
        free(ini->sections[i].name);
    for (size_t i = 0; i < ini->entries_count; i++)
        free_entry(&ini->entries[i]);
    free(ini->sections);
    free(ini->entries);
    free(ini->file);
    free(ini);
}

/* Room for one more; grows by doubling. */
static void *grow(void *array, size_t count, size_t size) {
    if (count & (count - 1))
        return array;
    return realloc(array, (count ? 2 * count : 1) * size);
}

static int add_section(struct dtr_ini *ini, const char *name, unsigned line) {
    struct dtr_ini_section *more = grow(ini->sections, ini->sections_count, sizeof *more);
    if (!more)
        return DTR_E_MEMORY;
    ini->sections = more;
    more[ini->sections_count] = (struct dtr_ini_section){.name = strdup(name), .line = line};
    if (!more[ini->sections_count].name)
        return DTR_E_MEMORY;
    ini->sections_count++;
    return DTR_OK;
}

/* Takes `origin`. */
static int add_entry(struct dtr_ini *ini, const char *section, const char *key, const char *value,
                     char *origin, unsigned line) {
    struct dtr_ini_entry entry = {.section = strdup(section),
                                  .key = strdup(key),
                                  .value = strdup(value),
                                  .origin = origin,
                                  .line = line};
    struct dtr_ini_entry *more = grow(ini->entries, ini->entries_count, sizeof *more);
    if (more)
        ini->entries = more;
    if (!more || !entry.section || !entry.key || !entry.value || !entry.origin) {
        free_entry(&entry);
        return DTR_E_MEMORY;
    }
    more[ini->entries_count++] = entry;
    return DTR_OK;
}

/* --- what inih is given ----------------------------------------------------------------------- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Notes the header of a section: inih tells only of sections that have keys, and cuts names. */
static int see_section(struct parser *parser, const char *line) {
    const char *close = strchr(line, ']');
    if (!close)
        return refuse(parser, "the section's name lacks its ']'");
    const char *rest = close + 1 + strspn(close + 1, " \t");
    if (*rest != '\n' && *rest != ';' && *rest != '#')
        return refuse(parser, "nothing may follow the section's name but a comment");
    const size_t length = (size_t)(close - line) - 1;
    if (length > NAME_MAX_BYTES)
        return refuse(parser, "the section's name has %zu characters; the longest may have %u",
                      length, NAME_MAX_BYTES);
    char name[NAME_MAX_BYTES + 1];
    memcpy(name, line + 1, length);
    name[length] = '\0';
    const struct dtr_ini_section *first = dtr_ini_section(parser->ini, name);
    if (first)
        return refuse(parser, "section [%s] appears twice, first in line %u", name, first->line);
    parser->open = false;
    return add_section(parser->ini, name, parser->line) ? no_memory(parser) : DTR_OK;
}

/* Copies the line and a newline into `line`, protected characters as bytes of their own. */
static int take_line(struct parser *parser, char *line, size_t room) {
    const char *newline = memchr(parser->at, '\n', (size_t)(parser->end - parser->at));
    const char *p = parser->at, *end = newline ? newline : parser->end;
    parser->at = newline ? newline + 1 : end;
    parser->line++;
    if (end > p && end[-1] == '\r')
        end--;
    /* What a comment holds, and how long it is, is nobody's business. */
    const char *start = p;
    while (start < end && is_blank(*start))
        start++;
    if (start < end && (*start == ';' || *start == '#'))
        p = end;
    if ((size_t)(end - p) + 2 > room)
        return refuse(parser,
                      "the line has %zu bytes, at most %zu can be read; continue on an indented "
                      "line",
                      (size_t)(end - p), room - 2);
    char *out = line;
    bool in_value = p < end && is_blank(*p);
    for (; p < end; p++) {
        const unsigned char c = (unsigned char)*p;
        if ((c < ' ' && c != '\t') || c == 127)
            return refuse(parser, "the line holds the control character %u; is this a text file?",
                          c);
        in_value = in_value || c == '=' || c == ':';
        const char *protected = in_value && c == '\\' && p + 1 < end && p[1]
                                    ? strchr(protected_characters, p[1])
                                    : NULL;
        if (protected) {
            *out++ = (char)(protected - protected_characters + 1);
            p++;
        } else {
            *out++ = *p;
        }
    }
    *out++ = '\n';
    *out = '\0';
    return DTR_OK;
}

/* inih's reader: line by line, like fgets().  A line is parsed before the next is read. */
static char *read_line(char *line, int room, void *user) {
    struct parser *parser = user;
    if (parser->status || parser->at == parser->end || take_line(parser, line, (size_t)room))
        return NULL;
    const char *start = line;
    if (parser->line == 1 && !strncmp(start, "\xEF\xBB\xBF", 3))
        start += 3;
    parser->indented = is_blank(*start);
    start += strspn(start, " \t");
    const bool goes_on = parser->indented && parser->open;
    if (!goes_on && *start == '[' && see_section(parser, start))
        return NULL;
    return line;
}

/* --- what inih finds -------------------------------------------------------------------------- */

static void restore(char *text) {
    for (; *text; text++)
        if ((size_t)(unsigned char)*text < sizeof protected_characters)
            *text = protected_characters[*text - 1];
}

/* Not every version of inih sees comments in continued lines. */
static void cut_comment(char *value) {
    char *p = value;
    while (*p && !(*p == ';' && p > value && is_blank(p[-1])))
        p++;
    *p = '\0';
    while (p > value && is_blank(p[-1]))
        *--p = '\0';
}

static int continue_entry(struct parser *parser, char *value) {
    struct dtr_ini_entry *entry = &parser->ini->entries[parser->ini->entries_count - 1];
    cut_comment(value);
    const size_t before = strlen(entry->value) - parser->glue, more = strlen(value);
    char *joined = realloc(entry->value, before + more + 2);
    if (!joined)
        return no_memory(parser);
    entry->value = joined;
    entry->continued = true;
    joined += before;
    if (!parser->glue && before && more)
        *joined++ = ' ';
    parser->glue = more && value[more - 1] == '\\';
    restore(value);
    memcpy(joined, value, more + 1);
    return DTR_OK;
}

/* An entry of the section that is being read, which are the last. */
static const struct dtr_ini_entry *find_here(const struct dtr_ini *ini, const char *section,
                                             const char *key) {
    for (size_t i = ini->entries_count; i--;) {
        const struct dtr_ini_entry *entry = &ini->entries[i];
        if (strcmp(entry->section, section) != 0)
            return NULL;
        if (strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

static int begin_entry(struct parser *parser, const char *section, const char *key, char *value) {
    if (!*section)
        return refuse(parser, "'%s' stands before the first [section]", key);
    if (!*key)
        return refuse(parser, "there is no key before the '='");
    if (strlen(key) > NAME_MAX_BYTES)
        return refuse(parser, "[%s] the key '%s' has %zu characters; the longest may have %u",
                      section, key, strlen(key), NAME_MAX_BYTES);
    const struct dtr_ini_entry *first = find_here(parser->ini, section, key);
    if (first)
        return refuse(parser, "[%s] '%s' appears twice, first in line %u", section, key,
                      first->line);
    const size_t length = strlen(value);
    parser->glue = length && value[length - 1] == '\\';
    restore(value);
    char *origin;
    if (asprintf(&origin, "%s:%u", parser->ini->file, parser->line) < 0)
        return no_memory(parser);
    if (add_entry(parser->ini, section, key, value, origin, parser->line))
        return no_memory(parser);
    parser->open = true;
    return DTR_OK;
}

/* inih's handler: one call a key, and one for each further line of its value. */
static int take_entry(void *user, const char *section, const char *key, const char *text) {
    struct parser *parser = user;
    if (parser->status)
        return 0;
    char *value = strdup(text);
    if (!value)
        no_memory(parser);
    else if (parser->indented && parser->open)
        continue_entry(parser, value);
    else
        begin_entry(parser, section, key, value);
    free(value);
    return !parser->status;
}

int dtr_ini_parse(const char *name, const char *text, size_t length, struct dtr_ini **ini_p,
                  struct dtr_error *error) {
    struct dtr_ini *ini = calloc(1, sizeof *ini);
    if (!ini || !(ini->file = strdup(name))) {
        free(ini);
        return dtr_fail_memory(error);
    }
    struct parser parser = {.ini = ini, .at = text, .end = text + length, .error = error};
    const int bad_line = ini_parse_stream(read_line, &parser, take_entry, &parser);
    /* inih itself only refuses what is neither of the two, and goes on after it. */
    if (bad_line > 0 && (!parser.status || (unsigned)bad_line < parser.line)) {
        if (error)
            error->status = DTR_OK;
        parser.line = (unsigned)bad_line;
        refuse(&parser, "this is neither a [section] nor a key = value");
    }
    if (!parser.status && bad_line)
        no_memory(&parser);
    if (parser.status) {
        dtr_ini_free(ini);
        return parser.status;
    }
    *ini_p = ini;
    return DTR_OK;
}

int dtr_ini_read(const char *file, size_t most, struct dtr_ini **ini_p, struct dtr_error *error) {
    FILE *stream = fopen(file, "rbe");
    if (!stream)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", file, strerror(errno));
    char *text = malloc(most + 1);
    if (!text) {
        fclose(stream);
        return dtr_fail_memory(error);
    }
    const size_t length = fread(text, 1, most + 1, stream);
    int status = DTR_OK;
    if (ferror(stream))
        status = dtr_fail(error, DTR_E_CONFIG, "%s: %s", file, strerror(errno));
    else if (length > most)
        status = dtr_fail(error, DTR_E_CONFIG, "%s: is larger than %zu MiB; is this an INI file?",
                          file, most >> 20);
    fclose(stream);
    if (!status)
        status = dtr_ini_parse(file, text, length, ini_p, error);
    free(text);
    return status;
}

/* --- setting and writing ---------------------------------------------------------------------- */

int dtr_ini_set(struct dtr_ini *ini, const char *section, const char *key, const char *value,
                struct dtr_error *error) {
    char *copy = strdup(value), *origin = strdup("--set");
    int status = copy && origin ? DTR_OK : dtr_fail_memory(error);
    for (char *p = copy; !status && *p; p++) {
        if (*p == '\n' || *p == '\r')
            *p = ' ';
        else if (((unsigned char)*p < ' ' && *p != '\t') || *p == 127)
            status = dtr_fail(error, DTR_E_CONFIG,
                              "--set: [%s] %s: the value holds the control character %d", section,
                              key, *p);
    }
    struct dtr_ini_entry *entry = find(ini, section, key);
    if (!status && entry) {
        /* It moves to the end, so that what was set last comes last. */
        free_entry(entry);
        ini->entries_count--;
        memmove(entry, entry + 1,
                (size_t)(ini->entries + ini->entries_count - entry) * sizeof *entry);
    }
    if (!status) {
        char *from = copy + strspn(copy, " \t"), *end = from + strlen(from);
        while (end > from && is_blank(end[-1]))
            *--end = '\0';
        if (add_entry(ini, section, key, from, origin, 0))
            status = dtr_fail_memory(error);
        origin = NULL;
    }
    free(origin);
    free(copy);
    return status;
}

/* Lines are broken at a blank when they are longer than this, and anywhere at the other. */
#define SOFT_BYTES 90u
#define HARD_BYTES 180u

void dtr_ini_write(FILE *file, const char *key, const char *value) {
    size_t bytes = (size_t)fprintf(file, "%s = ", key);
    bool first = true; /* of a line: a comment could begin, a blank be lost */
    for (const char *p = value; *p; p++) {
        const bool after_blank = first || is_blank(p[-1]);
        if (bytes > SOFT_BYTES && *p == ' ' && !after_blank && p[1] && !is_blank(p[1])) {
            bytes = (size_t)fprintf(file, "\n    ") - 1;
            first = true;
            continue;
        }
        if (bytes > HARD_BYTES) {
            fprintf(file, "\\\n    ");
            bytes = 4;
            first = true;
        }
        const bool protect = *p == '\\' || (*p == ';' && (first || after_blank)) ||
                             (*p == '#' && first) || (is_blank(*p) && (first || !p[1]));
        if (protect)
            putc('\\', file);
        putc(*p, file);
        bytes += 1u + protect;
        first = false;
    }
    putc('\n', file);
}

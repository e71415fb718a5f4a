/* SPDX-License-Identifier: MIT */
#include "model/words.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include <detransformer/plugin.h>

struct characters {
    struct dtr_character *items;
    size_t count, capacity;
};

struct splitter {
    const struct dtr_words_options *options;
    dtr_word_fn found;
    void *context;
    struct characters raw;   /* of the word, as written */
    struct characters ready; /* the same in lower case, without accents */
    size_t marks;            /* where the combining marks at the end of `ready` begin */
};

enum {
    SMALL_SIGMA = 0x3c3,
    FINAL_SIGMA = 0x3c2,
    CAPITAL_SIGMA = 0x3a3,
    CAPITAL_I_DOT = 0x130,
    DOT_ABOVE = 0x307,
    /* Longer words than this are unknown, however their characters are ordered. */
    LONGEST_RUN = 100
};

struct range {
    int32_t first, last;
};

static bool is_within(int32_t code, const struct range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

static bool is_space(int32_t code) {
    utf8proc_category_t category = utf8proc_category(code);
    return code == '\t' || code == '\n' || code == '\r' || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

/* Not for spaces. */
static bool is_dropped(int32_t code) {
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return code == 0xfffd;
    }
}

static bool is_ideograph(int32_t code) {
    static const struct range ranges[] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf}, {0x2f800, 0x2fa1f},
    };
    return code >= 0x3400 && is_within(code, ranges, sizeof ranges / sizeof *ranges);
}

/* All ASCII that is neither letter nor digit, symbols too, and Unicode's punctuation. */
static bool is_punctuation(int32_t code) {
    if (code < 128)
        return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) ||
               (code >= 91 && code <= 96) || (code >= 123 && code <= 126);
    utf8proc_category_t category = utf8proc_category(code);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* Unicode's Case_Ignorable. */
static bool is_case_ignorable(int32_t code) {
    static const int32_t others[] = {'\'',   '.',    ':',    0xb7,   0x387,  0x55f,
                                     0x5f4,  0x2018, 0x2019, 0x2024, 0x2027, 0xfe13,
                                     0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            if (code == others[i])
                return true;
        return false;
    }
}

/* Unicode's Cased, of what is not Case_Ignorable. */
static bool is_cased(int32_t code) {
    static const struct range others[] = {
        {0xaa, 0xaa},       {0xba, 0xba},       {0x2160, 0x217f},   {0x24b6, 0x24e9},
        {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
    };
    utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT ||
           is_within(code, others, sizeof others / sizeof *others);
}

/* Unicode's condition Final_Sigma: a letter before it in the word and none behind. */
static bool is_final_sigma(const struct dtr_character *text, size_t count, size_t at) {
    size_t before = at, after = at + 1;
    while (before > 0 && is_case_ignorable(text[before - 1].code))
        before--;
    if (before == 0 || !is_cased(text[before - 1].code))
        return false;
    while (after < count && is_case_ignorable(text[after].code))
        after++;
    return after == count || !is_cased(text[after].code);
}

size_t dtr_lower_case(const struct dtr_character *text, size_t count, size_t at, int32_t lower[2]) {
    const int32_t code = text[at].code;
    lower[1] = DOT_ABOVE;
    if (code == CAPITAL_SIGMA)
        lower[0] = is_final_sigma(text, count, at) ? FINAL_SIGMA : SMALL_SIGMA;
    else
        lower[0] = code == CAPITAL_I_DOT ? 'i' : utf8proc_tolower(code);
    return code == CAPITAL_I_DOT ? 2 : 1;
}

static int append(struct characters *to, struct dtr_character character) {
    if (to->count == to->capacity) {
        size_t capacity = to->capacity ? 2 * to->capacity : 64;
        struct dtr_character *items = realloc(to->items, capacity * sizeof *items);
        if (!items)
            return DTR_E_MEMORY;
        to->items = items;
        to->capacity = capacity;
    }
    to->items[to->count++] = character;
    return DTR_OK;
}

/* Marks are put into canonical order: what is left of them after the non-spacing ones were dropped,
 * which some vocabularies hold. */
static int append_ordered(struct splitter *splitter, struct dtr_character character) {
    const utf8proc_property_t *property = utf8proc_get_property(character.code);
    struct characters *ready = &splitter->ready;
    bool starts = property->combining_class == 0;
    if (property->category == UTF8PROC_CATEGORY_MN) {
        if (ready->count && ready->items[ready->count - 1].end < character.end)
            ready->items[ready->count - 1].end = character.end;
        if (starts)
            splitter->marks = ready->count;
        return DTR_OK;
    }
    int status = append(ready, character);
    if (status || starts) {
        splitter->marks = ready->count;
        return status;
    }
    size_t at = ready->count - 1;
    if (at - splitter->marks > LONGEST_RUN)
        return DTR_OK;
    for (; at > splitter->marks; at--) {
        const struct dtr_character *other = &ready->items[at - 1];
        if (utf8proc_get_property(other->code)->combining_class <= property->combining_class)
            break;
        ready->items[at] = *other;
    }
    ready->items[at] = character;
    return DTR_OK;
}

static int append_decomposed(struct splitter *splitter, struct dtr_character character) {
    if (!splitter->options->strip_accents)
        return append(&splitter->ready, character);
    utf8proc_int32_t parts[8];
    utf8proc_ssize_t count = utf8proc_decompose_char(
        character.code, parts, sizeof parts / sizeof *parts, UTF8PROC_DECOMPOSE, NULL);
    int status = DTR_OK;
    for (utf8proc_ssize_t i = 0; !status && i < count && i < 8; i++) {
        character.code = parts[i];
        status = append_ordered(splitter, character);
    }
    return status;
}

static int append_lower(struct splitter *splitter, size_t at) {
    struct dtr_character character = splitter->raw.items[at];
    if (!splitter->options->lower)
        return append_decomposed(splitter, character);
    int32_t lower[2];
    const size_t count = dtr_lower_case(splitter->raw.items, splitter->raw.count, at, lower);
    int status = DTR_OK;
    for (size_t i = 0; i < count && !status; i++) {
        character.code = lower[i];
        status = append_decomposed(splitter, character);
    }
    return status;
}

static int emit(struct splitter *splitter, const struct dtr_character *characters, size_t count) {
    struct dtr_word word = {
        .characters = characters,
        .count = count,
        .begin = characters[0].begin,
        .end = characters[count - 1].end,
    };
    return splitter->found(splitter->context, &word);
}

/* The word is complete. */
static int flush(struct splitter *splitter) {
    const struct characters *ready = &splitter->ready;
    int status = DTR_OK;
    splitter->ready.count = splitter->marks = 0;
    for (size_t i = 0; !status && i < splitter->raw.count; i++)
        status = append_lower(splitter, i);
    splitter->raw.count = 0;
    for (size_t i = 0, end; !status && i < ready->count; i = end) {
        end = i + 1;
        if (!is_punctuation(ready->items[i].code))
            while (end < ready->count && !is_punctuation(ready->items[end].code))
                end++;
        status = emit(splitter, ready->items + i, end - i);
    }
    return status;
}

static size_t match_whole(const struct dtr_words_options *options, const char *text,
                          size_t length) {
    for (size_t i = 0; i < options->whole_count; i++) {
        size_t wanted = strlen(options->whole[i]);
        if (wanted <= length && !memcmp(text, options->whole[i], wanted))
            return wanted;
    }
    return 0;
}

static int take_whole(struct splitter *splitter, uint32_t begin, uint32_t end) {
    int status = flush(splitter);
    struct dtr_word word = {.characters = NULL, .begin = begin, .end = end};
    return status ? status : splitter->found(splitter->context, &word);
}

static int take_character(struct splitter *splitter, struct dtr_character character) {
    if (is_space(character.code))
        return flush(splitter);
    if (is_dropped(character.code))
        return DTR_OK;
    if (!is_ideograph(character.code))
        return append(&splitter->raw, character);
    int status = flush(splitter);
    if (!status)
        status = append(&splitter->raw, character);
    return status ? status : flush(splitter);
}

static int walk(struct splitter *splitter, const char *text, uint32_t length) {
    int status = DTR_OK;
    for (uint32_t at = 0, next; !status && at < length; at = next) {
        size_t whole = match_whole(splitter->options, text + at, length - at);
        if (whole) {
            next = at + (uint32_t)whole;
            status = take_whole(splitter, at, next);
            continue;
        }
        utf8proc_int32_t code;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                 (utf8proc_ssize_t)(length - at), &code);
        next = at + (used > 0 ? (uint32_t)used : 1);
        if (used > 0)
            status = take_character(splitter,
                                    (struct dtr_character){.code = code, .begin = at, .end = next});
    }
    return status ? status : flush(splitter);
}

int dtr_words(const struct dtr_words_options *options, const char *text, uint32_t length,
              dtr_word_fn found, void *context) {
    struct splitter splitter = {.options = options, .found = found, .context = context};
    int status = walk(&splitter, text, length);
    free(splitter.raw.items);
    free(splitter.ready.items);
    return status;
}

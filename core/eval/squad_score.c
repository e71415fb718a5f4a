/* SPDX-License-Identifier: MIT */
#include "eval/squad_score.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/words.h"

/* --- as it is compared ------------------------------------------------------------------------ */

/* What str.split() separates at. */
static bool is_blank(int32_t code) {
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

static bool is_punctuation(int32_t code) {
    return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
           (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
}

/* What \b of Python's regular expressions takes for part of a word. */
static bool is_word(int32_t code) {
    const utf8proc_category_t category = utf8proc_category(code);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_article(const int32_t *codes, size_t count) {
    return (count == 1 && codes[0] == 'a') || (count == 2 && codes[0] == 'a' && codes[1] == 'n') ||
           (count == 3 && codes[0] == 't' && codes[1] == 'h' && codes[2] == 'e');
}

/* In lower case, without punctuation; `codes` has room for twice the characters. */
static size_t lower(const char *text, struct dtr_character *characters, int32_t *codes) {
    const size_t length = strlen(text);
    size_t count = 0, kept = 0;
    for (size_t at = 0; at < length;) {
        utf8proc_int32_t code = 0xfffd;
        const utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                       (utf8proc_ssize_t)(length - at), &code);
        at += used > 0 ? (size_t)used : 1;
        characters[count++].code = used > 0 ? code : 0xfffd;
    }
    for (size_t i = 0; i < count; i++) {
        int32_t lowered[2];
        const size_t became = dtr_lower_case(characters, count, i, lowered);
        for (size_t j = 0; j < became; j++)
            if (!is_punctuation(lowered[j]))
                codes[kept++] = lowered[j];
    }
    return kept;
}

static void blank_articles(int32_t *codes, size_t count) {
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && is_word(codes[end]);)
            end++;
        if (is_article(codes + begin, end - begin))
            for (size_t i = begin; i < end; i++)
                codes[i] = ' ';
        end += end == begin;
    }
}

static void write_words(const int32_t *codes, size_t count, char *text) {
    size_t length = 0;
    bool apart = false;
    for (size_t i = 0; i < count; i++) {
        if (is_blank(codes[i])) {
            apart = length > 0;
            continue;
        }
        if (apart)
            text[length++] = ' ';
        apart = false;
        length += (size_t)utf8proc_encode_char(codes[i], (utf8proc_uint8_t *)text + length);
    }
    text[length] = '\0';
}

char *dtr_squad_normalize(const char *text) {
    const size_t most = strlen(text) + 1;
    struct dtr_character *characters = calloc(most, sizeof *characters);
    int32_t *codes = calloc(2 * most, sizeof *codes);
    char *normal = malloc(4 * 2 * most + 1);
    if (characters && codes && normal) {
        const size_t count = lower(text, characters, codes);
        blank_articles(codes, count);
        write_words(codes, count, normal);
    } else {
        free(normal);
        normal = NULL;
    }
    free(characters);
    free(codes);
    return normal;
}

/* --- what two have in common ------------------------------------------------------------------ */

struct words {
    char *text;
    char **word;
    size_t count;
};

static int compare_words(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int split(const char *text, struct words *words) {
    words->text = strdup(text);
    words->word = calloc(strlen(text) / 2 + 1, sizeof *words->word);
    words->count = 0;
    if (!words->text || !words->word)
        return DTR_E_MEMORY;
    char *rest = NULL;
    for (char *word = strtok_r(words->text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words->word[words->count++] = word;
    qsort(words->word, words->count, sizeof *words->word, compare_words);
    return DTR_OK;
}

static size_t common(const struct words *a, const struct words *b) {
    size_t same = 0;
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        const int order = strcmp(a->word[i], b->word[j]);
        same += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return same;
}

int dtr_squad_compare(const char *answer, const char *right, struct dtr_squad_score *score,
                      struct dtr_error *error) {
    struct words a = {0}, b = {0};
    const bool split_both = !split(answer, &a) && !split(right, &b);
    if (split_both) {
        const size_t same = common(&a, &b);
        const double precision = a.count ? (double)same / (double)a.count : 0;
        const double recall = b.count ? (double)same / (double)b.count : 0;
        score->exact = strcmp(answer, right) == 0;
        score->f1 = same ? 2 * precision * recall / (precision + recall) : 0;
    }
    free(a.text);
    free(a.word);
    free(b.text);
    free(b.word);
    return split_both ? DTR_OK : dtr_fail_memory(error);
}

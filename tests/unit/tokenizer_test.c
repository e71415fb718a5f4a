/* SPDX-License-Identifier: MIT
 *
 * tokenizer_test.c -- BERT's tokenizer: words, pieces, byte offsets, pairs and truncation, hostile
 * texts and vocabularies, and the published cases where the data at hand has them.
 */
#include "unit.h"

#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

#include "model/tokenizer.h"
#include "model/words.h"

enum { ROOM = 4096 };

/* A text that is built up piece by piece. */
struct joined {
    char text[ROOM];
    size_t length;
};

static void join(struct joined *joined, const char *bytes, size_t length) {
    assert_true(joined->length + length + 2 < ROOM);
    if (joined->length)
        joined->text[joined->length++] = ' ';
    memcpy(joined->text + joined->length, bytes, length);
    joined->length += length;
    joined->text[joined->length] = '\0';
}

/* --- words ---------------------------------------------------------------------------------- */

struct seen {
    struct joined joined;
    const char *text;
};

static int see_word(void *context, const struct dtr_word *word) {
    struct seen *seen = context;
    char bytes[ROOM];
    size_t length = 0;
    if (!word->characters) {
        join(&seen->joined, seen->text + word->begin, word->end - word->begin);
        return 0;
    }
    assert_true(word->count > 0);
    for (size_t i = 0; i < word->count; i++)
        length += (size_t)utf8proc_encode_char(word->characters[i].code,
                                               (utf8proc_uint8_t *)bytes + length);
    join(&seen->joined, bytes, length);
    return 0;
}

static void expect_words(bool lower, bool strip, const char *whole, const char *text,
                         const char *wanted) {
    struct seen seen = {.text = text};
    const struct dtr_words_options options = {
        .lower = lower,
        .strip_accents = strip,
        .whole = &whole,
        .whole_count = whole ? 1 : 0,
    };
    assert_int_equal(dtr_words(&options, text, (uint32_t)strlen(text), see_word, &seen), 0);
    assert_string_equal(seen.joined.text, wanted);
}

static void uncased_words(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {" \t\r\n ", ""},
        {"Don't stop--ever.", "don ' t stop - - ever ."},
        {"a$b^c`d|e~f", "a $ b ^ c ` d | e ~ f"},
        /* spaces: no-break, ideographic, line and paragraph separators */
        {"a\u00a0b\u3000c\u2028d\u2029e", "a b c d e"},
        /* controls: vertical tab, next line, soft hyphen, zero-width, private use, unassigned */
        {"a\vb\xc2\x85"
         "c\u00add\u200be\ue000f\U0010ffffg\ufffdh",
         "abcdefgh"},
        {"na\u00efve nai\u0308ve", "naive naive"},
        /* ideographs stand alone; Hangul comes apart into its letters, kana do not */
        {"ab\u535a\u63a8zz", "ab \u535a \u63a8 zz"},
        {"\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"},
        {"\u304c", "\u304b"},
        {"\uf900x", "\u8c48 x"},
        {"\u00bfQu\u00e9?", "\u00bf que ?"},
        /* these become punctuation by decomposition */
        {"a\u037eb\u1fefc", "a ; b ` c"},
        {"\u0130I", "ii"},
        {"\u1e9e", "\u00df"},
        {"\u2160\u24b6", "\u2170\u24d0"},
        /* a sigma that ends a word */
        {"\u039f\u0394\u039f\u03a3 \u03a3\u0391\u03a3.",
         "\u03bf\u03b4\u03bf\u03c2 \u03c3\u03b1\u03c2 ."},
        {"\u03a3 \u0391\u03a3\u0391 \u0391\u03a3'\u0391 1\u03a3",
         "\u03c3 \u03b1\u03c3\u03b1 \u03b1\u03c3 ' \u03b1 1\u03c3"},
        {"\u0391\u0301\u03a3\u0301", "\u03b1\u03c2"},
        {"\u2177\u03a3", "\u2177\u03c2"},
        /* what is left of combining marks is in canonical order: 9 before 216 */
        {"a\U0001d165\u1b44b", "a\u1b44\U0001d165b"},
        {"a\U0001d165\u0301\u1b44b", "a\u1b44\U0001d165b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_words(true, true, NULL, cases[i][0], cases[i][1]);
}

static void other_words(void **state) {
    (void)state;
    expect_words(false, false, NULL, " H\u00e9LLo!e\u0301 \u0391\u03a3",
                 "H\u00e9LLo ! e\u0301 \u0391\u03a3");
    expect_words(false, true, NULL, "H\u00e9LLo", "HeLLo");
    expect_words(true, false, NULL, "H\u00c9LLo \u0130", "h\u00e9llo i\u0307");
    expect_words(true, true, "[X]", "A[X]b [x] [X", "a [X] b [ x ] [ x");
}

/* --- pieces --------------------------------------------------------------------------------- */

static const char small[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##want\n##ed\nnaive\n,\na\n##a\n"
    "aaa\n\u535a\nw\n##a\u0142\n";
enum { UNK = 1, CLS, SEP, MASK, UN, WANT, ED, NAIVE, COMMA, A, AA, AAA, BO, W, AL };

static const char *write_file(const char *text, size_t length) {
    static char path[ROOM];
    snprintf(path, sizeof path, "%s/vocab.txt", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static struct dtr_tokenizer *open_text(const char *text, size_t length, bool cased) {
    struct dtr_tokenizer *tokenizer = NULL;
    struct dtr_error error = {.status = DTR_OK};
    const char *path = write_file(text, length);
    dtr_tokenizer_open(path, cased, &tokenizer, &error);
    unlink(path);
    assert_string_equal(error.text, "");
    assert_non_null(tokenizer);
    return tokenizer;
}

static struct dtr_tokenizer *open_small(void) {
    return open_text(small, sizeof small - 1, false);
}

/* `wanted`: id, begin, end of each token. */
static void expect_tokens(const struct dtr_tokenizer *tokenizer, const char *text, size_t count,
                          const uint32_t (*wanted)[3]) {
    struct dtr_tokens tokens = {.ids = NULL};
    assert_int_equal(dtr_tokenizer_encode(tokenizer, text, strlen(text), &tokens, NULL), 0);
    assert_int_equal(tokens.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tokens.ids[i], wanted[i][0]);
        assert_int_equal(tokens.begin[i], wanted[i][1]);
        assert_int_equal(tokens.end[i], wanted[i][2]);
    }
    dtr_tokens_free(&tokens);
}

#define EXPECT(tokenizer, text, ...)                                               \
    do {                                                                           \
        const uint32_t wanted_[][3] = {__VA_ARGS__};                               \
        expect_tokens(tokenizer, text, sizeof wanted_ / sizeof *wanted_, wanted_); \
    } while (0)

static void pieces_and_offsets(void **state) {
    (void)state;
    struct dtr_tokenizer *tokenizer = open_small();
    EXPECT(tokenizer, "UNwantED,na\u00efve", {UN, 0, 2}, {WANT, 2, 6}, {ED, 6, 8}, {COMMA, 8, 9},
           {NAIVE, 9, 15});
    /* marks go with their letter, and controls stand for nothing */
    EXPECT(tokenizer, "\u200b nai\u0308ve\u0301\u200b", {NAIVE, 4, 13});
    EXPECT(tokenizer, "aaaaa", {AAA, 0, 3}, {AA, 3, 4}, {AA, 4, 5});
    EXPECT(tokenizer, "wa\u0142", {W, 0, 1}, {AL, 1, 4});
    EXPECT(tokenizer, "a\u535aa", {A, 0, 1}, {BO, 1, 4}, {A, 4, 5});
    EXPECT(tokenizer, " unwantedx un", {UNK, 1, 10}, {UN, 11, 13});
    EXPECT(tokenizer, "##want", {UNK, 0, 1}, {UNK, 1, 2}, {UNK, 2, 6});
    dtr_tokenizer_close(tokenizer);
}

static void special_tokens_stay_whole(void **state) {
    (void)state;
    struct dtr_tokenizer *tokenizer = open_small();
    EXPECT(tokenizer, "a[MASK]a[UNK]", {A, 0, 1}, {MASK, 1, 7}, {A, 7, 8}, {UNK, 8, 13});
    EXPECT(tokenizer, "[CLS][SEP][PAD]", {CLS, 0, 5}, {SEP, 5, 10}, {0, 10, 15});
    EXPECT(tokenizer, "[mask]", {UNK, 0, 1}, {UNK, 1, 5}, {UNK, 5, 6});
    dtr_tokenizer_close(tokenizer);
    static const char without[] = "[UNK]\n[CLS]\n[SEP]\nmask\n";
    tokenizer = open_text(without, sizeof without - 1, false);
    EXPECT(tokenizer, "[MASK]", {0, 0, 1}, {3, 1, 5}, {0, 5, 6});
    assert_int_equal(dtr_tokenizer_id(tokenizer, "[MASK]"), -1);
    dtr_tokenizer_close(tokenizer);
}

static void long_words_are_unknown(void **state) {
    (void)state;
    struct dtr_tokenizer *tokenizer = open_small();
    struct dtr_tokens tokens = {.ids = NULL};
    char text[301];
    memset(text, 'a', sizeof text);
    assert_int_equal(dtr_tokenizer_encode(tokenizer, text, 100, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 98);
    assert_int_equal(dtr_tokenizer_encode(tokenizer, text, 101, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 1);
    assert_int_equal(tokens.ids[0], UNK);
    assert_int_equal(tokens.end[0], 101);
    /* characters count, not bytes: a hundred of three bytes each, after the first */
    for (size_t i = 0; i < 300; i += 3)
        memcpy(text + i, "\u1e84", 3);
    assert_int_equal(dtr_tokenizer_encode(tokenizer, text, 300, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 1);
    dtr_tokens_free(&tokens);
    dtr_tokenizer_close(tokenizer);
}

static void bytes_that_are_no_text(void **state) {
    (void)state;
    struct dtr_tokenizer *tokenizer = open_small();
    EXPECT(tokenizer, "\xffun\xc3wan\xe4\xbdted\xf0\x9f", {UN, 1, 3}, {WANT, 4, 10}, {ED, 10, 12});
    EXPECT(tokenizer, "a\xed\xa0\x80\xc0\x80 a", {A, 0, 1}, {A, 7, 8});
    struct dtr_tokens tokens = {.ids = NULL};
    assert_int_equal(dtr_tokenizer_encode(tokenizer, "a\0a", 3, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 1 + 1);
    char text[200];
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)((random = random * 1664525 + 1013904223) >> 24);
        assert_int_equal(dtr_tokenizer_encode(tokenizer, text, sizeof text, &tokens, NULL), 0);
        for (size_t i = 0; i < tokens.count; i++) {
            assert_true(tokens.begin[i] >= (i ? tokens.begin[i - 1] : 0));
            assert_true(tokens.begin[i] < tokens.end[i]);
            assert_true(tokens.end[i] <= sizeof text);
        }
    }
    dtr_tokens_free(&tokens);
    dtr_tokenizer_close(tokenizer);
}

/* Nothing in these is quadratic: each would take minutes. */
static void long_texts(void **state) {
    (void)state;
    static const char *const unit[] = {"\U0001d165\u1b44", "\u03a3'", "'", "a", "[MASK", "\u0301"};
    enum { LENGTH = 1 << 20 };
    struct dtr_tokenizer *tokenizer = open_small();
    struct dtr_tokens tokens = {.ids = NULL};
    char *text = malloc(LENGTH);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        for (size_t at = 0; at < LENGTH; at++)
            text[at] = unit[i][at % strlen(unit[i])];
        assert_int_equal(dtr_tokenizer_encode(tokenizer, text, LENGTH, &tokens, NULL), 0);
    }
    free(text);
    dtr_tokens_free(&tokens);
    dtr_tokenizer_close(tokenizer);
}

/* --- sequences ------------------------------------------------------------------------------ */

struct arrays {
    uint32_t ids[64], types[64], begin[64], end[64];
};

static struct dtr_sequence sequence_in(struct arrays *arrays) {
    return (struct dtr_sequence){
        .ids = arrays->ids,
        .types = arrays->types,
        .begin = arrays->begin,
        .end = arrays->end,
    };
}

static void sequences(void **state) {
    (void)state;
    static const uint32_t ids[] = {CLS, UN, SEP, A, COMMA, SEP}, types[] = {0, 0, 0, 1, 1, 1};
    struct dtr_tokenizer *tokenizer = open_small();
    struct arrays arrays;
    struct dtr_sequence sequence = sequence_in(&arrays);
    assert_int_equal(
        dtr_tokenizer_sequence(tokenizer, "un", 2, " a,", 3, 64, false, &sequence, NULL), 0);
    assert_int_equal(sequence.count, 6);
    assert_int_equal(sequence.second, 3);
    assert_false(sequence.truncated);
    assert_memory_equal(arrays.ids, ids, sizeof ids);
    assert_memory_equal(arrays.types, types, sizeof types);
    assert_int_equal(arrays.begin[3], 1);
    assert_int_equal(arrays.end[3], 2);
    assert_int_equal(arrays.end[2], 0);
    assert_int_equal(dtr_tokenizer_sequence(tokenizer, "", 0, NULL, 0, 2, false, &sequence, NULL),
                     0);
    assert_int_equal(sequence.count, 2);
    assert_int_equal(sequence.second, 2);
    assert_int_equal(dtr_tokenizer_sequence(tokenizer, "", 0, "", 0, 3, false, &sequence, NULL), 0);
    assert_int_equal(sequence.count, 3);
    assert_int_equal(sequence.second, 2);
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_tokenizer_sequence(tokenizer, "", 0, "", 0, 2, false, &sequence, &error),
                     DTR_E_CONFIG);
    assert_string_equal(error.text, "2 tokens leave no room for the 3 special ones of a pair");
    dtr_tokenizer_close(tokenizer);
}

/* BERT's own way, token by token. */
static void truncate_slowly(size_t *first, size_t *second, size_t room, bool keep_first) {
    while (*first + *second > room)
        if (keep_first ? *second == 0 : *first > *second)
            --*first;
        else
            --*second;
}

static void truncation(void **state) {
    (void)state;
    static const char text[] = "a a a a a a a a a";
    struct dtr_tokenizer *tokenizer = open_small();
    for (size_t i = 0; i < 9 * 9 * 18 * 2; i++) {
        size_t first = i % 9, second = i / 9 % 9, room = i / 81 % 18;
        const bool keep_first = i / 81 / 18;
        struct arrays arrays;
        struct dtr_sequence sequence = sequence_in(&arrays);
        assert_int_equal(dtr_tokenizer_sequence(tokenizer, text, 2 * first, text, 2 * second,
                                                (uint32_t)room + 3, keep_first, &sequence, NULL),
                         0);
        assert_int_equal(sequence.truncated, first + second > room);
        truncate_slowly(&first, &second, room, keep_first);
        assert_int_equal(sequence.second, first + 2);
        assert_int_equal(sequence.count, first + second + 3);
    }
    dtr_tokenizer_close(tokenizer);
}

/* --- vocabularies --------------------------------------------------------------------------- */

static void odd_vocabularies(void **state) {
    (void)state;
    /* byte-order mark, CR LF, an empty line, a token twice, no end of line at the end */
    static const char odd[] = "\ufeff[UNK]\r\n[CLS]\r\n[SEP]\r\n\r\nun\na\nun\n\nw";
    struct dtr_tokenizer *tokenizer = open_text(odd, sizeof odd - 1, false);
    assert_int_equal(dtr_tokenizer_size(tokenizer), 9);
    EXPECT(tokenizer, "un a w [UNK]", {6, 0, 2}, {5, 3, 4}, {8, 5, 6}, {0, 7, 12});
    assert_string_equal(dtr_tokenizer_token(tokenizer, 2), "[SEP]");
    assert_string_equal(dtr_tokenizer_token(tokenizer, 3), "");
    assert_string_equal(dtr_tokenizer_token(tokenizer, 4), "un");
    assert_string_equal(dtr_tokenizer_token(tokenizer, 9), "[UNK]");
    assert_int_equal(dtr_tokenizer_id(tokenizer, ""), -1);
    dtr_tokenizer_close(tokenizer);
}

static void expect_refused(const char *text, size_t length, const char *sentence) {
    struct dtr_tokenizer *tokenizer = NULL;
    struct dtr_error error = {.status = DTR_OK};
    const char *path = write_file(text, length);
    assert_int_equal(dtr_tokenizer_open(path, false, &tokenizer, &error), DTR_E_CONFIG);
    unlink(path);
    assert_null(tokenizer);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, sentence));
}

static void refused_vocabularies(void **state) {
    (void)state;
    enum { HUGE = (16 << 20) + 1 };
    expect_refused("", 0, "no line [UNK]");
    expect_refused("[UNK]\n[CLS]\n", 12, "no line [SEP]");
    expect_refused("[UNK]\nb\xff\n", 9, ":2: this line is not UTF-8 text");
    expect_refused("[UNK]\na\n\0\n", 10, ":3: this line is not UTF-8 text");
    char *text = malloc(HUGE);
    assert_non_null(text);
    memset(text, '\n', HUGE);
    expect_refused(text, HUGE, "too large");
    free(text);
    struct dtr_tokenizer *tokenizer = NULL;
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_tokenizer_open("no/such", false, &tokenizer, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, "no/such: cannot be opened: No such file or directory");
    error = (struct dtr_error){.status = DTR_OK};
    assert_int_equal(dtr_tokenizer_open("/", false, &tokenizer, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, "/: cannot be read: Is a directory");
}

/* --- published cases ------------------------------------------------------------------------ */

/* Undoes \\ \t \n \r \uXXXX \UXXXXXXXX in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from;) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        const char what = from[1];
        const char *const plain = strchr("\\\\t\tn\nr\r", what);
        from += 2;
        if (what == 'u' || what == 'U') {
            char digits[9] = "";
            memcpy(digits, from, what == 'u' ? 4 : 8);
            from += what == 'u' ? 4 : 8;
            to += utf8proc_encode_char((int32_t)strtol(digits, NULL, 16), (utf8proc_uint8_t *)to);
        } else {
            assert_non_null(plain);
            *to++ = plain[1];
        }
    }
    *to = '\0';
}

/* The fields of a line, from one TAB to the next. */
static size_t fields_of(char *line, char **fields, size_t most) {
    size_t count = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *field; count < most && (field = strsep(&line, "\t"));)
        fields[count++] = field;
    return count;
}

static void join_id(struct joined *joined, uint32_t id) {
    char digits[16];
    join(joined, digits, (size_t)snprintf(digits, sizeof digits, "%u", id));
}

static struct dtr_tokenizer *open_data(const char *name, bool cased) {
    char which[100];
    snprintf(which, sizeof which, "tokenizer/%s", name);
    char *path = data_file(which);
    struct dtr_tokenizer *tokenizer = NULL;
    struct dtr_error error = {.status = DTR_OK};
    if (!path)
        skip_because("the published cases are not at hand");
    dtr_tokenizer_open(path, cased, &tokenizer, &error);
    free(path);
    assert_string_equal(error.text, "");
    return tokenizer;
}

static FILE *open_cases(const char *which) {
    char *path = data_file(which);
    if (!path)
        skip_because("the published cases are not at hand");
    FILE *file = fopen(path, "r");
    free(path);
    assert_non_null(file);
    return file;
}

static void published_ids(void **state) {
    (void)state;
    FILE *file = open_cases("tokenizer/uncased_cases.tsv");
    struct dtr_tokenizer *tokenizer = open_data("vocab.txt", false);
    struct dtr_tokens tokens = {.ids = NULL};
    char line[ROOM], *fields[2] = {NULL};
    int cases = 0;
    assert_non_null(fgets(line, sizeof line, file));
    for (; fgets(line, sizeof line, file); cases++) {
        assert_int_equal(fields_of(line, fields, 2), 2);
        unescape(fields[0]);
        assert_int_equal(
            dtr_tokenizer_encode(tokenizer, fields[0], strlen(fields[0]), &tokens, NULL), 0);
        struct joined ids = {.length = 0};
        for (size_t i = 0; i < tokens.count; i++)
            join_id(&ids, tokens.ids[i]);
        assert_string_equal(ids.text, fields[1]);
    }
    assert_true(cases >= 23);
    fclose(file);
    dtr_tokens_free(&tokens);
    dtr_tokenizer_close(tokenizer);
}

/* One text, or two around a TAB with the option pair=yes. */
static void expect_published(const char *vocab, const char *options, char *text,
                             const char *wanted_tokens, const char *wanted_ids) {
    struct dtr_tokenizer *tokenizer = open_data(vocab, !strstr(options, "lower"));
    struct dtr_tokens tokens = {.ids = NULL};
    struct arrays arrays;
    struct dtr_sequence sequence = sequence_in(&arrays);
    char *second = strstr(options, "pair=yes") ? strchr(text, '\t') : NULL;
    size_t second_length = 0;
    if (second) {
        *second++ = '\0';
        second_length = strlen(second);
    }
    if (strstr(options, "special")) {
        assert_int_equal(dtr_tokenizer_sequence(tokenizer, text, strlen(text), second,
                                                second_length, 64, false, &sequence, NULL),
                         0);
    } else {
        assert_int_equal(dtr_tokenizer_encode(tokenizer, text, strlen(text), &tokens, NULL), 0);
        sequence.count = (uint32_t)tokens.count;
        sequence.ids = tokens.ids;
    }
    struct joined written = {.length = 0}, ids = {.length = 0};
    for (size_t i = 0; i < sequence.count; i++) {
        const char *token = dtr_tokenizer_token(tokenizer, sequence.ids[i]);
        join(&written, token, strlen(token));
        join_id(&ids, sequence.ids[i]);
    }
    assert_string_equal(written.text, wanted_tokens);
    if (strcmp(wanted_ids, "-"))
        assert_string_equal(ids.text, wanted_ids);
    for (uint32_t i = 0; second && i < sequence.count; i++)
        assert_int_equal(sequence.types[i], i >= sequence.second);
    dtr_tokens_free(&tokens);
    dtr_tokenizer_close(tokenizer);
}

static void published_cases(void **state) {
    (void)state;
    FILE *file = open_cases("tokenizer/wordpiece_cases.tsv");
    char line[ROOM], *fields[7] = {NULL}, vocab[100];
    int cases = 0;
    assert_non_null(fgets(line, sizeof line, file));
    for (; fgets(line, sizeof line, file); cases++) {
        assert_int_equal(fields_of(line, fields, 7), 7);
        const char *options = fields[2], *whole = strstr(options, "never_split=");
        const bool lower = strstr(options, "lower");
        unescape(fields[3]);
        if (!strcmp(fields[1], "basic")) {
            const bool strip = strstr(options, "strip_accents=true") ||
                               (lower && !strstr(options, "strip_accents=false"));
            expect_words(lower, strip, whole ? whole + strlen("never_split=") : NULL, fields[3],
                         fields[4]);
            continue;
        }
        if (!strcmp(fields[1], "bert-base-uncased"))
            strcpy(vocab, "vocab.txt");
        else
            snprintf(vocab, sizeof vocab, "%.50s.vocab", fields[1]);
        expect_published(vocab, options, fields[3], fields[4], fields[5]);
    }
    assert_true(cases >= 25);
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uncased_words),
        cmocka_unit_test(other_words),
        cmocka_unit_test(pieces_and_offsets),
        cmocka_unit_test(special_tokens_stay_whole),
        cmocka_unit_test(long_words_are_unknown),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(sequences),
        cmocka_unit_test(truncation),
        cmocka_unit_test(odd_vocabularies),
        cmocka_unit_test(refused_vocabularies),
        cmocka_unit_test(published_ids),
        cmocka_unit_test(published_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

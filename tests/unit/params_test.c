/* SPDX-License-Identifier: MIT
 *
 * params_test.c -- values are read by their tables, refused with a reason, and written back; tables
 * that cannot be used are refused.
 */
#include "unit.h"

#include <stdbool.h>
#include <string.h>

#include "base/suggest.h"
#include "config/params.h"
#include "config/sections.h"

struct values {
    int64_t whole;
    double real;
    int32_t yes, word;
    uint64_t size;
    const char *text, *path;
    struct dtr_list list;
};

#define ROW(_key, _type, _fallback, _range)                                        \
    {                                                                              \
        .key = #_key, .fallback = (_fallback), .range = (_range), .help = "Help.", \
        .type = (_type), .offset = offsetof(struct values, _key)                   \
    }

static const struct dtr_param rows[] = {
    ROW(whole, DTR_INT, "7", "-5..10"),
    ROW(real, DTR_REAL, "0.1", "0.."),
    ROW(yes, DTR_BOOL, "yes", NULL),
    ROW(word, DTR_ENUM, "b", "a|b|cc"),
    ROW(size, DTR_SIZE, "2 MiB", "..1 TiB"),
    ROW(text, DTR_TEXT, "", NULL),
    ROW(path, DTR_PATH, "", "random"),
    ROW(list, DTR_LIST, "x y", NULL),
    {.key = NULL},
};
static const struct dtr_table table = {
    .rows = rows, .stride = sizeof rows[0], .size = sizeof(struct values)};

static void defaults_are_values(void **state) {
    (void)state;
    void *memory = NULL;
    assert_int_equal(dtr_table_check(table, NULL), DTR_OK);
    assert_int_equal(dtr_values_create(table, "/folder", &memory, NULL), DTR_OK);
    const struct values *values = memory;
    assert_int_equal(values->whole, 7);
    assert_true(values->real == 0.1);
    assert_int_equal(values->yes, 1);
    assert_int_equal(values->word, 1);
    assert_int_equal(values->size, 2097152);
    assert_string_equal(values->text, "");
    assert_string_equal(values->path, "");
    assert_int_equal(values->list.count, 2);
    assert_string_equal(values->list.words[1], "y");
    dtr_values_free(table, memory);
}

/* `written`: as it is given back; NULL: as it was given. */
static const struct {
    const char *key, *text, *written;
} good[] = {
    {"whole", "-5", NULL},
    {"whole", "10", NULL},
    {"real", "0.1", NULL},
    {"real", "1e300", "1e+300"},
    {"real", ".5", "0.5"},
    {"real", "0.30000000000000004", NULL},
    {"yes", "no", NULL},
    {"word", "cc", NULL},
    {"word", "a", NULL},
    {"size", "0", NULL},
    {"size", "1000", NULL},
    {"size", "1024", "1 KiB"},
    {"size", "1.5GiB", "1536 MiB"},
    {"size", "2 GB", "1953125 KiB"},
    {"size", "1 TiB", NULL},
    {"size", "7B", "7"},
    {"text", "a  b ; c", NULL},
    {"path", "/x/y", NULL},
    {"path", "x", "/folder/x"},
    {"path", "./x", "/folder/x"},
    {"path", "../x", "/folder/../x"},
    {"path", "random", NULL},
    {"path", "", NULL},
    {"list", "", NULL},
    {"list", "  a\tb   c ", "a b c"},
};

static void values_come_back(void **state) {
    (void)state;
    void *values;
    assert_int_equal(dtr_values_create(table, "/folder", &values, NULL), DTR_OK);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct dtr_param *row = dtr_table_find(table, good[i].key, NULL);
        const char *wanted = good[i].written ? good[i].written : good[i].text;
        for (int again = 0; again < 2; again++) {
            const char *text = again ? wanted : good[i].text;
            assert_int_equal(dtr_value_parse(row, text, "/folder", values, NULL), DTR_OK);
            char *written = dtr_value_format(row, values);
            assert_string_equal(written, wanted);
            free(written);
        }
    }
    const struct dtr_param *row = dtr_table_find(table, "path", NULL);
    assert_int_equal(dtr_value_parse(row, "x", NULL, values, NULL), DTR_OK);
    assert_string_equal(((struct values *)values)->path, "x");
    dtr_values_free(table, values);
}

static const struct {
    const char *key, *text, *sentence;
} bad[] = {
    {"whole", "", "'' is not a whole number"},
    {"whole", "3.5", "'3.5' is not a whole number"},
    {"whole", "3x", "'3x' is not a whole number"},
    {"whole", " 3", "' 3' is not a whole number"},
    {"whole", "9223372036854775808", "'9223372036854775808' is too large a number"},
    {"whole", "11", "11 is out of range; allowed is -5..10"},
    {"whole", "-6", "-6 is out of range; allowed is -5..10"},
    {"real", "inf", "'inf' is not a number"},
    {"real", "nan", "'nan' is not a number"},
    {"real", "0x10", "'0x10' is not a number"},
    {"real", "1,5", "'1,5' is not a number"},
    {"real", "1e999", "'1e999' is too large a number"},
    {"real", "-1", "-1 is out of range; allowed is 0.."},
    {"yes", "true", "'true' is neither yes nor no"},
    {"yes", "", "'' is neither yes nor no"},
    {"word", "", "unknown value ''; allowed are a, b, cc"},
    {"word", "a|b", "unknown value 'a|b'; allowed are a, b, cc"},
    {"size", "big", "'big' is not a size; write 512 MiB or the like"},
    {"size", "-1", "'-1' is not a size; write 512 MiB or the like"},
    {"size", "1e3", "'1e3' is not a size; write 512 MiB or the like"},
    {"size", "1.2.3", "'1.2.3' is not a size; write 512 MiB or the like"},
    {"size", "1 mb", "'1 mb' is not a size; units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"},
    {"size", "0.5", "'0.5' is not a whole number of bytes"},
    {"size", "99999 TiB", "'99999 TiB' is too large a size"},
    {"size", "2 TiB", "2 TiB is out of range; allowed is ..1 TiB"},
};

static void refusals_say_why(void **state) {
    (void)state;
    void *values;
    assert_int_equal(dtr_values_create(table, NULL, &values, NULL), DTR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct dtr_param *row = dtr_table_find(table, bad[i].key, NULL);
        struct dtr_error error = {.status = DTR_OK};
        char *before = dtr_value_format(row, values);
        assert_int_equal(dtr_value_parse(row, bad[i].text, NULL, values, &error), DTR_E_CONFIG);
        assert_string_equal(error.text, bad[i].sentence);
        char *after = dtr_value_format(row, values);
        assert_string_equal(after, before);
        free(before);
        free(after);
    }
    dtr_values_free(table, values);
}

static void expect_refused(struct dtr_param row, const char *sentence) {
    const struct dtr_param bad_rows[] = {rows[0], row, {.key = NULL}};
    struct dtr_table bad_table = table;
    struct dtr_error error = {.status = DTR_OK};
    bad_table.rows = bad_rows;
    assert_int_equal(dtr_table_check(bad_table, &error), DTR_E_PLUGIN);
    assert_string_equal(error.text, sentence);
}

static void bad_tables_are_refused(void **state) {
    (void)state;
    const struct dtr_param text = rows[5];
    struct dtr_param row = text;
    row.key = "Text";
    expect_refused(row, "its parameter 'Text' is not written [a-z][a-z0-9_]*");
    row.key = "whole";
    expect_refused(row, "its parameter 'whole' appears twice");
    row = text;
    row.type = 99;
    expect_refused(row, "its parameter 'text' has the unknown type 99");
    row = text;
    row.offset = sizeof(struct values);
    expect_refused(row, "its parameter 'text' lies outside the parameter struct");
    row.offset = offsetof(struct values, text) + 1;
    expect_refused(row, "its parameter 'text' lies at the unaligned offset 33");
    row.offset = 0;
    expect_refused(row, "its parameter 'text' overlaps 'whole'");
    row = text;
    row.help = NULL;
    expect_refused(row, "its parameter 'text' has no help text");
    row = rows[3];
    row.range = NULL;
    expect_refused(row, "its parameter 'word' has no words to choose from");
    row = rows[1];
    row.range = "few";
    expect_refused(row, "its parameter 'real' 'few' is not a range");
    row = rows[1];
    row.fallback = "-1";
    expect_refused(row, "its parameter 'real' has an impossible default: -1 is out of range; "
                        "allowed is 0..");
}

static void core_tables_are_good(void **state) {
    (void)state;
    for (int i = 0; i < DTR_SECTIONS; i++) {
        const struct dtr_section *section = dtr_section((enum dtr_section_id)i);
        assert_int_equal(dtr_table_check(section->table, NULL), DTR_OK);
        assert_ptr_equal(dtr_section_find(section->name), section);
        assert_non_null(section->help);
    }
    assert_null(dtr_section_find("sweep"));
}

static void expect_suggestion(const char *word, const char *best) {
    static const char *const known[] = {"plugin", "threads", "share", "wire", "gflops"};
    char text[100], wanted[100] = "";
    struct dtr_suggestion suggestion = {.word = word};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        dtr_suggest_offer(&suggestion, known[i]);
    if (best)
        snprintf(wanted, sizeof wanted, "; did you mean '%s'?", best);
    assert_string_equal(dtr_suggest_text(&suggestion, text, sizeof text), wanted);
}

static void slips_are_understood(void **state) {
    (void)state;
    expect_suggestion("plugn", "plugin");
    expect_suggestion("plguin", "plugin");
    expect_suggestion("Plugins", "plugin");
    expect_suggestion("thread", "threads");
    expect_suggestion("wier", "wire");
    expect_suggestion("weather", NULL);
    expect_suggestion("", NULL);
    expect_suggestion("a_word_that_is_much_longer_than_any_that_a_person_would_have_meant", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_values),  cmocka_unit_test(values_come_back),
        cmocka_unit_test(refusals_say_why),     cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(core_tables_are_good), cmocka_unit_test(slips_are_understood),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * ini_test.c -- what inih would cut, join or overlook is exact, and any value comes back as it was
 * written.
 */
#include "unit.h"

#include <stdbool.h>
#include <string.h>

#include "config/ini.h"

static struct dtr_ini *parse(const char *text) {
    struct dtr_ini *ini = NULL;
    struct dtr_error error = {.status = DTR_OK};
    if (dtr_ini_parse("t.ini", text, strlen(text), &ini, &error))
        print_message("# %s\n", error.text);
    assert_non_null(ini);
    return ini;
}

static void reads(const char *text, const char *value) {
    struct dtr_ini *ini = parse(text);
    const struct dtr_ini_entry *entry = dtr_ini_find(ini, "a", "k");
    assert_non_null(entry);
    assert_string_equal(entry->value, value);
    dtr_ini_free(ini);
}

static void values_are_read(void **state) {
    (void)state;
    reads("[a]\nk = v\n", "v");
    reads("[a]\nk=v", "v");
    reads("[a]\r\nk: v w \t\r\n", "v w");
    reads("[a]\nk =\n", "");
    reads("\xEF\xBB\xBF[a]\nk = v\n", "v");
    reads("[a] ; section\nk = v ; comment\n# k = w\n; k = w\n", "v");
    reads("[a]\nk = v;w #x\n", "v;w #x");
    reads("[a]\n  k = v\n", "v");
    reads("[a]\nk = = v\n", "= v");
}

static void values_go_on(void **state) {
    (void)state;
    reads("[a]\nk = v\n  w\n\tx\n", "v w x");
    reads("[a]\nk = v\n\n  ; comment\n  w ; comment\n", "v w");
    reads("[a]\nk =\n  v\n", "v");
    reads("[a]\nk = v\\\n  w\n", "vw");
    reads("[a]\nk = v \\\n  w\n", "v w");
    reads("[a]\nk = v\\\\\n  w\n", "v\\ w");
    reads("[a]\nk = v\\", "v\\");
    reads("[a]\nk = v\n  [b]\n  j = w\n", "v [b] j = w");
}

static void backslashes_protect(void **state) {
    (void)state;
    reads("[a]\nk = v \\; w\n", "v ; w");
    reads("[a]\nk = v\n  \\# w\n", "v # w");
    reads("[a]\nk = \\ v\\ \n", " v ");
    reads("[a]\nk = \\n \\\\n \\\"\n", "\\n \\n \\\"");
}

static void long_comments_do_no_harm(void **state) {
    (void)state;
    char text[2000] = "[a]\n; ";
    memset(text + 6, 'x', 1500);
    strcpy(text + 1506, "\n  # \x01\nk = v\n");
    reads(text, "v");
}

static void places_are_known(void **state) {
    (void)state;
    struct dtr_ini *ini = parse("; one\n[a]\n\nk = v\n  w\nj = x\n[b]\n[c]\n");
    assert_string_equal(dtr_ini_find(ini, "a", "k")->origin, "t.ini:4");
    assert_true(dtr_ini_find(ini, "a", "k")->continued);
    assert_string_equal(dtr_ini_find(ini, "a", "j")->origin, "t.ini:6");
    assert_false(dtr_ini_find(ini, "a", "j")->continued);
    assert_null(dtr_ini_find(ini, "b", "k"));
    assert_int_equal(dtr_ini_section(ini, "b")->line, 7);
    assert_int_equal(ini->sections_count, 3);
    dtr_ini_free(ini);
}

static void setting_replaces(void **state) {
    (void)state;
    struct dtr_ini *ini = parse("[a]\nk = v\nj = w\n");
    assert_int_equal(dtr_ini_set(ini, "a", "k", " x\ny ", NULL), DTR_OK);
    assert_int_equal(dtr_ini_set(ini, "b", "new", "z", NULL), DTR_OK);
    assert_int_equal(ini->entries_count, 3);
    assert_string_equal(dtr_ini_find(ini, "a", "k")->value, "x y");
    assert_string_equal(dtr_ini_find(ini, "a", "k")->origin, "--set");
    assert_int_equal(dtr_ini_find(ini, "a", "k")->line, 0);
    assert_string_equal(dtr_ini_find(ini, "b", "new")->value, "z");
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_ini_set(ini, "a", "k", "a\x1b[1m", &error), DTR_E_CONFIG);
    assert_string_equal(error.text, "--set: [a] k: the value holds the control character 27");
    assert_string_equal(dtr_ini_find(ini, "a", "k")->value, "x y");
    dtr_ini_free(ini);
}

/* A file refused leaves nothing behind, and says the first thing that is wrong. */
static void refusals_are_whole(void **state) {
    (void)state;
    struct dtr_ini *ini = NULL;
    struct dtr_error error = {.status = DTR_OK};
    static const char text[] = "[a]\nk = v\nnonsense\n[a]\n";
    assert_int_equal(dtr_ini_parse("t.ini", text, strlen(text), &ini, &error), DTR_E_CONFIG);
    assert_null(ini);
    assert_string_equal(error.text, "t.ini:3: this is neither a [section] nor a key = value");
    assert_int_equal(dtr_ini_parse("t.ini", text, strlen(text), &ini, NULL), DTR_E_CONFIG);
    error.status = DTR_OK;
    assert_int_equal(dtr_ini_read("no/such/file", 4096, &ini, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, "no/such/file: No such file or directory");
    error.status = DTR_OK;
    assert_int_equal(dtr_ini_read(".", 4096, &ini, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, ".: Is a directory");
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void expect_round_trip(const char *key, const char *value) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    fputs("[a]\n", file);
    dtr_ini_write(file, key, value);
    dtr_ini_write(file, "last", "x");
    assert_int_equal(fclose(file), 0);
    struct dtr_ini *ini = parse(text);
    assert_int_equal(ini->entries_count, 2);
    assert_string_equal(dtr_ini_find(ini, "a", key)->value, value);
    assert_string_equal(dtr_ini_find(ini, "a", "last")->value, "x");
    dtr_ini_free(ini);
    free(text);
}

/* Blanks, comments, backslashes and brackets at every place, up to many lines. */
static void any_value_comes_back(void **state) {
    (void)state;
    static const char alphabet[] = "ab  \\\\;;##\t[]=:\"'\xC3\xA4";
    uint32_t seed = 1;
    char value[1000];
    for (int run = 0; run < 3000; run++) {
        const size_t length = next_random(&seed) % (run % 10 ? 40 : sizeof value);
        const size_t letters = run % 3 ? sizeof alphabet - 1 : 1 + next_random(&seed) % 14;
        for (size_t i = 0; i < length; i++)
            value[i] = alphabet[next_random(&seed) % letters];
        value[length] = '\0';
        expect_round_trip("k", value);
        expect_round_trip("a_key_of_forty_nine_characters_which_is_the_most_", value);
    }
}

static void long_values_keep_to_lines(void **state) {
    (void)state;
    char value[800];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    expect_round_trip("k", value);
    memset(value, ' ', sizeof value - 1);
    expect_round_trip("k", value);
    memset(value, '#', sizeof value - 1);
    expect_round_trip("k", value);
}

/* Whatever the bytes are, the answer is an INI file or a sentence. */
static void any_bytes_are_answered(void **state) {
    (void)state;
    static const char alphabet[] = "[]=:;#\\\n\n\r \tab.\xEF\xBB\xBF\0\x01";
    uint32_t seed = 2;
    char text[700];
    size_t good = 0;
    for (int run = 0; run < 20000; run++) {
        const size_t length = next_random(&seed) % (run % 20 ? 30 : sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[next_random(&seed) % (run % 2 ? 14 : sizeof alphabet - 1)];
        struct dtr_ini *ini = NULL;
        struct dtr_error error = {.status = DTR_OK};
        const int status = dtr_ini_parse("t.ini", text, length, &ini, &error);
        assert_int_equal(status, error.status);
        if (status) {
            assert_int_equal(status, DTR_E_CONFIG);
            assert_int_equal(strncmp(error.text, "t.ini:", 6), 0);
            assert_null(ini);
        } else {
            good++;
            dtr_ini_free(ini);
        }
    }
    assert_true(good > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),           cmocka_unit_test(values_go_on),
        cmocka_unit_test(backslashes_protect),       cmocka_unit_test(long_comments_do_no_harm),
        cmocka_unit_test(places_are_known),          cmocka_unit_test(setting_replaces),
        cmocka_unit_test(refusals_are_whole),        cmocka_unit_test(any_value_comes_back),
        cmocka_unit_test(long_values_keep_to_lines), cmocka_unit_test(any_bytes_are_answered),
    };
    return cmocka_run_group_tests_name("ini", tests, NULL, NULL);
}

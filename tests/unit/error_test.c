/* SPDX-License-Identifier: MIT
 *
 * error_test.c -- the sentence about what went wrong is written once, is kept, and never overruns.
 */
#include "unit.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"

static void first_sentence_is_kept(void **state) {
    (void)state;
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_fail(&error, DTR_E_CONFIG, "no key '%s'", "plugn"), DTR_E_CONFIG);
    assert_int_equal(dtr_fail(&error, DTR_E_SYSTEM, "later"), DTR_E_SYSTEM);
    assert_int_equal(error.status, DTR_E_CONFIG);
    assert_string_equal(error.text, "no key 'plugn'");
}

static void nobody_listens(void **state) {
    (void)state;
    assert_int_equal(dtr_fail(NULL, DTR_E_PEER, "lost"), DTR_E_PEER);
    assert_int_equal(dtr_fail_memory(NULL), DTR_E_MEMORY);
    dtr_error_prefix(NULL, "unused");
}

static void prefix_goes_in_front(void **state) {
    (void)state;
    struct dtr_error error = {.status = DTR_OK};
    dtr_error_prefix(&error, "nothing happened yet");
    assert_int_equal(error.status, DTR_OK);
    dtr_fail(&error, DTR_E_CONFIG, "unknown key");
    dtr_error_prefix(&error, "%s:%d", "exp.ini", 12);
    assert_string_equal(error.text, "exp.ini:12: unknown key");
}

static void long_sentences_are_cut(void **state) {
    (void)state;
    struct dtr_error error = {.status = DTR_OK};
    char text[2 * sizeof error.text];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dtr_fail(&error, DTR_E_CONFIG, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    dtr_error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_non_null(strstr(error.text, "x: x"));
}

static void control_characters_are_not_shown(void **state) {
    (void)state;
    struct dtr_error error = {.status = DTR_OK};
    dtr_fail(&error, DTR_E_CONFIG, "a\033[2J%c\n\x7f", 8);
    dtr_error_prefix(&error, "\xc2\x9b-\xc3\xa9\xc2\xa0");
    assert_string_equal(error.text, "?\?-\xc3\xa9\xc2\xa0: a?[2J???");
}

static void log_levels_have_names(void **state) {
    (void)state;
    assert_int_equal(dtr_log_level_parse("error"), DTR_LOG_ERROR);
    assert_int_equal(dtr_log_level_parse("trace"), DTR_LOG_TRACE);
    assert_int_equal(dtr_log_level_parse("loud"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_sentence_is_kept),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(prefix_goes_in_front),
        cmocka_unit_test(long_sentences_are_cut),
        cmocka_unit_test(control_characters_are_not_shown),
        cmocka_unit_test(log_levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

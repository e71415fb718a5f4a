/* SPDX-License-Identifier: MIT
 *
 * cores_test.c -- lists of cores as people write them, and what becomes of them on machines that
 * hwloc makes up.
 */
#include "unit.h"

#include <string.h>

#include "base/topology.h"

static struct dtr_core_list read_list(const char *text) {
    struct dtr_core_list list = {.count = 0};
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_core_list_parse(text, &list, &error), DTR_OK);
    return list;
}

static void expect_list(struct dtr_core_list list, const char *wanted) {
    char *text = dtr_core_list_format(&list);
    assert_string_equal(text, wanted);
    free(text);
    free(list.core);
}

static void lists_are_read_and_written(void **state) {
    (void)state;
    expect_list(read_list("0"), "0");
    expect_list(read_list("0-3,6"), "0-3,6");
    expect_list(read_list(" 6 ,\t0-0, 1 2"), "6,0-2");
    expect_list(read_list("65535"), "65535");
    expect_list((struct dtr_core_list){.count = 0}, "");
    struct dtr_core_list list = read_list("4,2-3");
    assert_int_equal(list.count, 3);
    assert_int_equal(list.core[0], 4);
    assert_int_equal(list.core[2], 3);
    free(list.core);
}

static void no_lists_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",     " ",    ",",     "0,", ",0",  "0,,1", "-1", "0-",    "3-1",
        "0--1", "0 -1", "0-1-2", "x",  "0x1", "1.5",  "+1", "65536", "0-99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct dtr_core_list list = {.count = 0};
        struct dtr_error error = {.status = DTR_OK};
        assert_int_equal(dtr_core_list_parse(texts[i], &list, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, "is not a list of cores; write it as in 0-3,6"));
        assert_null(list.core);
    }
    static const char *const twice[] = {"3,3", "0-3,2", "2 0-3"};
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        struct dtr_core_list list = {.count = 0};
        struct dtr_error error = {.status = DTR_OK};
        assert_int_equal(dtr_core_list_parse(twice[i], &list, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, "is named twice"));
    }
}

/* --- made-up machines ------------------------------------------------------------------------- */

static struct dtr_topology *load(const char *machine) {
    struct dtr_topology *topology = NULL;
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(setenv("HWLOC_SYNTHETIC", machine, 1), 0);
    const int status = dtr_topology_load(&topology, &error);
    unsetenv("HWLOC_SYNTHETIC");
    if (status == DTR_E_CONFIG)
        skip_because(error.text);
    assert_int_equal(status, DTR_OK);
    return topology;
}

static void expect_parts(const char *machine, uint32_t parts, const char *wanted) {
    struct dtr_topology *topology = load(machine);
    struct dtr_core_list *lists = calloc(parts, sizeof *lists);
    struct dtr_error error = {.status = DTR_OK};
    char got[200] = "";
    assert_int_equal(dtr_topology_divide(topology, parts, lists, &error), DTR_OK);
    for (uint32_t i = 0; i < parts; i++) {
        char *text = dtr_core_list_format(&lists[i]);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " | " : "", text);
        free(text);
        free(lists[i].core);
    }
    assert_string_equal(got, wanted);
    free(lists);
    dtr_topology_free(topology);
}

static void parts_are_near_each_other(void **state) {
    (void)state;
    expect_parts("core:4 pu:1", 1, "0-3");
    expect_parts("core:4 pu:1", 2, "0-1 | 2-3");
    expect_parts("package:2 core:3 pu:2", 2, "0-2 | 3-5");
    expect_parts("package:2 core:3 pu:1", 3, "0-1 | 2-3 | 4-5");
    expect_parts("package:2 core:2 pu:2", 4, "0 | 1 | 2 | 3");
    /* Hardware threads of one core are not given to two devices while there are cores. */
    expect_parts("core:2 pu:2", 2, "0 | 1");
}

static void no_core_is_lost(void **state) {
    (void)state;
    expect_parts("core:3 pu:1", 2, "0 | 1-2");
    expect_parts("core:2 pu:1", 4, "0 | 0 | 1 | 1");
    expect_parts("core:1 pu:2", 2, "0 | 0");
}

static void cores_must_be_there(void **state) {
    (void)state;
    struct dtr_topology *topology = load("core:4 pu:2");
    struct dtr_core_list list = read_list("0-3");
    struct dtr_error error = {.status = DTR_OK};
    assert_int_equal(dtr_topology_check(topology, &list, &error), DTR_OK);
    free(list.core);
    list = read_list("2,5");
    assert_int_equal(dtr_topology_check(topology, &list, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, "this machine has no core 5; this process may use 0-3");
    free(list.core);
    dtr_topology_free(topology);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read_and_written), cmocka_unit_test(no_lists_are_refused),
        cmocka_unit_test(parts_are_near_each_other),  cmocka_unit_test(no_core_is_lost),
        cmocka_unit_test(cores_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

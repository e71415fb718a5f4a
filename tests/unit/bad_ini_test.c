/* SPDX-License-Identifier: MIT
 *
 * bad_ini_test.c -- each file of tests/bad-ini is wrong in one way and says in its first line what
 * the user is told; lines `; --set section.key=value` may follow.  %FOLDER% is the folder, "..." at
 * the end stands for anything.
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "config/experiment.h"
#include "plugin/registry.h"
#include "unit.h"

#define SETTINGS_MAX 4

struct bad {
    char wanted[1000];
    char set[SETTINGS_MAX][200];
    struct dtr_setting setting[SETTINGS_MAX];
    size_t settings;
};

/* The text with the folder in its place. */
static void fill_in(char *out, size_t bytes, const char *text) {
    char folder[500];
    const char *mark = strstr(text, "%FOLDER%");
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(out, bytes, "%.*s%s%s", mark ? (int)(mark - text) : (int)strlen(text), text,
             mark ? folder : "", mark ? mark + strlen("%FOLDER%") : "");
}

static void read_head(const char *name, struct bad *bad) {
    char line[1000];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    for (size_t i = 0; fgets(line, sizeof line, file) && !strncmp(line, "; ", 2); i++) {
        line[strcspn(line, "\n")] = '\0';
        if (!i) {
            fill_in(bad->wanted, sizeof bad->wanted, line + 2);
            continue;
        }
        assert_int_equal(strncmp(line, "; --set ", 8), 0);
        assert_in_range(bad->settings, 0, SETTINGS_MAX - 1);
        snprintf(bad->set[bad->settings], sizeof bad->set[0], "%.190s", line + 8);
        bad->setting[bad->settings].text = bad->set[bad->settings];
        bad->settings++;
    }
    fclose(file);
}

static void is_refused(void **state) {
    const char *name = *state;
    struct bad bad = {.settings = 0};
    struct dtr_error error = {.status = DTR_OK};
    struct dtr_experiment *experiment = NULL;
    struct dtr_plugins *plugins;
    char path[500];
    read_head(name, &bad);
    snprintf(path, sizeof path, "%s/tests/plugins/.libs", getenv("DTR_BUILD"));
    assert_int_equal(dtr_plugins_create(path, NULL, &plugins, NULL), DTR_OK);
    assert_int_equal(
        dtr_experiment_load(name, bad.setting, bad.settings, plugins, NULL, &experiment, &error),
        DTR_E_CONFIG);
    assert_null(experiment);
    const size_t length = strlen(bad.wanted);
    assert_true(length > 0);
    if (length > 3 && !strcmp(bad.wanted + length - 3, "..."))
        error.text[length - 3] = bad.wanted[length - 3] = '\0';
    assert_string_equal(error.text, bad.wanted);
    assert_int_equal(error.status, DTR_E_CONFIG);
    dtr_plugins_free(plugins);
}

static int is_ini(const struct dirent *entry) {
    const size_t length = strlen(entry->d_name);
    return length > 4 && !strcmp(entry->d_name + length - 4, ".ini");
}

int main(void) {
    struct dirent **entries;
    if (!getenv("DTR_TESTS") || !getenv("DTR_BUILD") || chdir(getenv("DTR_TESTS")) ||
        chdir("bad-ini"))
        return 99;
    const int count = scandir(".", &entries, is_ini, alphasort);
    if (count < 1)
        return 99;
    struct CMUnitTest *tests = calloc((size_t)count, sizeof *tests);
    for (int i = 0; tests && i < count; i++)
        tests[i] = (struct CMUnitTest){.name = entries[i]->d_name,
                                       .test_func = is_refused,
                                       .initial_state = entries[i]->d_name};
    const int failed =
        tests ? _cmocka_run_group_tests("bad-ini", tests, (size_t)count, NULL, NULL) : 99;
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(tests);
    return failed;
}

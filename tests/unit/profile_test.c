/* SPDX-License-Identifier: MIT
 *
 * profile_test.c -- what a message and a round take, told apart; a profile written, read and cut
 * down to some of its devices.
 */
#include "plan/profile.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "folder.h"

static void assert_near(double is, double wanted) {
    assert_true(fabs(is - wanted) < 1e-10);
}

static void fits(uint32_t devices, double straight_s, double sparing_s, double message_s,
                 double round_s) {
    struct dtr_profile profile = {.message_s = 99, .round_s = 99};
    dtr_profile_fit(&profile, devices, (struct dtr_excess){straight_s, sparing_s});
    assert_near(profile.message_s, message_s);
    assert_near(profile.round_s, round_s);
}

static void messages_and_rounds_are_told_apart(void **state) {
    (void)state;
    /* Four devices: 3 messages and a round; 2 rounds of a message. */
    fits(4, 3 * 20e-6 + 5e-6, 2 * (20e-6 + 5e-6), 20e-6, 5e-6);
    fits(4, 3 * 2e-6 + 15e-6, 2 * (2e-6 + 15e-6), 2e-6, 15e-6);
    fits(3, 2 * 4e-6 + 6e-6, 2 * (4e-6 + 6e-6), 4e-6, 6e-6);
    fits(9, 8 * 1e-6 + 3e-6, 4 * (1e-6 + 3e-6), 1e-6, 3e-6);
}

static void what_cannot_be_is_nothing(void **state) {
    (void)state;
    fits(2, 7e-6, 7e-6, 7e-6, 0);
    fits(4, 12e-6, 90e-6, 0, 12e-6); /* messages that give time */
    fits(4, 60e-6, 10e-6, 20e-6, 0); /* rounds that do */
    fits(4, -3e-6, -9e-6, 0, 0);
    fits(2, -3e-6, 5e-6, 0, 0);
}

static struct dtr_profile *made(uint32_t devices) {
    const struct dtr_model_shape model = {.size = sizeof model,
                                          .layers = 2,
                                          .hidden = 8,
                                          .heads = 2,
                                          .intermediate = 16,
                                          .groups = 1,
                                          .group_layers = 2};
    struct dtr_profile *profile;
    struct dtr_error error = {0};
    assert_int_equal(dtr_profile_create(&model, devices, 4, &profile, &error), DTR_OK);
    profile->message_s = 3e-6;
    profile->round_s = 7e-6;
    for (uint32_t i = 0; i < devices * devices; i++)
        profile->link[i] = (struct dtr_link){.latency_s = 1e-6 * (i + 1), .bytes_per_s = 1e9};
    for (uint32_t i = 0; i < devices; i++)
        profile->kernel[i] = strdup("reference");
    for (uint32_t i = 0; i < devices * profile->probes_count; i++)
        profile->seconds[i] = 1e-6;
    return profile;
}

static void a_profile_comes_back(void **state) {
    const char *path = folder_file(*state, "profile.ini");
    struct dtr_profile *written = made(3), *read;
    struct dtr_error error = {0};
    assert_int_equal(dtr_profile_save(written, path, &error), DTR_OK);
    assert_int_equal(dtr_profile_load(path, &read, &error), DTR_OK);
    assert_near(read->message_s, 3e-6);
    assert_near(read->round_s, 7e-6);
    assert_near(read->link[5].latency_s, 6e-6);
    dtr_profile_free(read);
    dtr_profile_free(written);
}

/* It is written beside the old one first, where a folder is in the way here. */
static void a_profile_that_cannot_be_written_leaves_the_old_one(void **state) {
    struct dtr_profile *written = made(3);
    struct dtr_error error = {0};
    char path[400], beside[420], text[8] = "";
    snprintf(path, sizeof path, "%s", folder_file(*state, "profile.ini"));
    snprintf(beside, sizeof beside, "%s.partial", path);
    folder_write(*state, "profile.ini", "old", 3);
    assert_int_equal(mkdir(beside, 0777), 0);
    assert_int_equal(dtr_profile_save(written, path, &error), DTR_E_SYSTEM);
    assert_non_null(strstr(error.text, "profile.ini: cannot be written: "));
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    assert_non_null(fgets(text, sizeof text, in));
    fclose(in);
    assert_string_equal(text, "old");
    assert_int_equal(rmdir(beside), 0);
    error = (struct dtr_error){0};
    assert_int_equal(dtr_profile_save(written, path, &error), DTR_OK);
    assert_int_equal(access(beside, F_OK), -1);
    dtr_profile_free(written);
}

static void one_of_many_devices_comes_back(void **state) {
    const char *path = folder_file(*state, "profile.ini");
    struct dtr_profile *written = made(160), *read;
    struct dtr_error error = {0};
    assert_int_equal(dtr_profile_save(written, path, &error), DTR_OK);
    assert_int_equal(dtr_profile_load(path, &read, &error), DTR_OK);
    assert_near(read->link[159 * 160 + 1].latency_s, 1e-6 * (159 * 160 + 2));
    dtr_profile_free(read);
    dtr_profile_free(written);
}

static void what_no_device_can_be_is_refused(void **state) {
    static const char *const lines[] = {
        "link = 0 inf", "link = nan 1e9",      "link = 0 1e9 7",   "gflops = 1e-320",
        "gflops = inf", "gbyte_s = 4 or more", "link_1st = 0 1e9", "link_2 = 0 1e9",
    };
    const char *path = folder_file(*state, "described.ini");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct dtr_profile *profile;
        struct dtr_error error = {0};
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        fprintf(out, "[profile]\ndevices = 2\n[device]\n%s\n", lines[i]);
        fclose(out);
        assert_int_equal(dtr_profile_load(path, &profile, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, "described.ini:4: "));
    }
}

static void one_of_before_has_no_rounds(void **state) {
    const char *path = folder_file(*state, "profile.ini");
    struct dtr_profile *written = made(3), *read;
    struct dtr_error error = {0};
    char line[4096];
    assert_int_equal(dtr_profile_save(written, path, &error), DTR_OK);
    FILE *in = fopen(path, "r");
    FILE *out = fopen(folder_file(*state, "older.ini"), "w");
    assert_non_null(in);
    assert_non_null(out);
    while (fgets(line, sizeof line, in))
        if (strncmp(line, "round", 5))
            fputs(line, out);
    fclose(in);
    fclose(out);
    assert_int_equal(dtr_profile_load(folder_file(*state, "older.ini"), &read, &error), DTR_OK);
    assert_near(read->message_s, 3e-6);
    assert_near(read->round_s, 0);
    dtr_profile_free(read);
    dtr_profile_free(written);
}

static void some_devices_keep_their_links(void **state) {
    (void)state;
    struct dtr_profile *all = made(3), *some;
    struct dtr_error error = {0};
    assert_int_equal(dtr_profile_select(all, (const uint32_t[]){2, 0}, 2, &some, &error), DTR_OK);
    assert_int_equal(some->devices, 2);
    assert_near(some->link[1].latency_s, 7e-6);
    assert_near(some->link[2].latency_s, 3e-6);
    assert_near(some->message_s, 3e-6);
    assert_near(some->round_s, 7e-6);
    dtr_profile_free(some);
    dtr_profile_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_rounds_are_told_apart),
        cmocka_unit_test(what_cannot_be_is_nothing),
        cmocka_unit_test_setup_teardown(a_profile_comes_back, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_profile_that_cannot_be_written_leaves_the_old_one,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(one_of_many_devices_comes_back, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_no_device_can_be_is_refused, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(one_of_before_has_no_rounds, folder_make, folder_remove),
        cmocka_unit_test(some_devices_keep_their_links),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}

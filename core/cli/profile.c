/* SPDX-License-Identifier: MIT
 *
 * profile.c -- `detransformer profile EXP.ini -o FILE`: measure the devices and their links.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/measure.h"

static const struct dtr_option options[] = {
    {"output", "FILE", "where the profile goes; -o for short", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {NULL, NULL, NULL, false},
};

static void print_profile(const struct dtr_profile *profile) {
    const uint32_t n = profile->devices;
    for (uint32_t i = 0; i < n; i++)
        printf("device %u: %s, %.1f GFLOP/s\n", i, profile->kernel[i],
               dtr_profile_gflops(profile, i));
    for (uint32_t i = 0; i < n * n; i++)
        if (i / n != i % n)
            printf("link %u to %u: %.1f us, %.1f Mbit/s\n", i / n, i % n,
                   profile->link[i].latency_s * 1e6, profile->link[i].bytes_per_s * 8e-6);
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_opened opened = {0};
    struct dtr_progress progress;
    struct dtr_error error = {0};
    const char *file = dtr_argument(&dtr_command_profile, arguments, "output");
    dtr_progress_begin(&progress);
    int status = file ? DTR_OK
                      : dtr_fail(&error, DTR_E_CONFIG,
                                 "profile needs a file for the result: "
                                 "detransformer profile EXP.ini -o FILE");
    if (!status)
        status = dtr_cli_open(&dtr_command_profile, cli, arguments, &opened, &error);
    if (!status)
        status = dtr_cli_profile(cli, &opened, &progress, &error);
    if (!status)
        status = dtr_profile_save(opened.profile, file, &error);
    if (!status)
        print_profile(opened.profile);
    dtr_progress_end(&progress);
    dtr_cli_close(&opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_profile = {
    .name = "profile",
    .summary = "measure the devices' kernels and links",
    .operands = "EXP.ini",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .help = "The result is an INI file; [planner] profile = FILE uses it again.  It is refused as\n"
            "stale once the CPU, a kernel plugin, the model or the number of devices differs.",
    .leads = true,
    .run = run,
};

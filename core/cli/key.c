/* SPDX-License-Identifier: MIT
 *
 * key.c -- `detransformer key new`: the key that the devices of a cluster share.
 */
#include <sodium.h>
#include <stdio.h>

#include "cli/commands.h"
#include "run/key.h"

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    char text[DTR_KEY_TEXT];
    (void)cli;
    (void)arguments;
    if (dtr_key_create(text, &error))
        return dtr_cli_fail(&error);
    puts(text);
    sodium_memzero(text, sizeof text);
    return DTR_EXIT_DONE;
}

static const struct dtr_command key_new = {
    .name = "key new",
    .summary = "print a new one",
    .help = "`(umask 077; detransformer key new >cluster.key)` keeps it to you.",
    .run = run,
};

static const struct dtr_command *const subjects[] = {&key_new, NULL};

const struct dtr_command dtr_command_key = {
    .name = "key",
    .summary = "make the key that the devices of a cluster share",
    .subjects = subjects,
};

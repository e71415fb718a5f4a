/* SPDX-License-Identifier: MIT
 *
 * command.h -- the sub-commands of the program and the options that all of them take.  A
 * sub-command is a file of its own that defines one `const struct dtr_command`; it is added to the
 * list in main.c, to Makefile.include and to detransformer(1).
 */
#ifndef DTR_CLI_COMMAND_H
#define DTR_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "plugin/registry.h"
#include "run/launch.h"

enum dtr_exit { DTR_EXIT_DONE = 0, DTR_EXIT_FAILED = 1, DTR_EXIT_USAGE = 2 };

/* What the common options said. */
struct dtr_cli {
    const char *command;
    struct dtr_launch launch; /* --plugin-path, and who was started with this process */
    struct dtr_log log;       /* --log */
    int argc;                 /* the whole command line */
    char *const *argv;
};

/* One option of a sub-command, `--name` or `--name VALUE`. */
struct dtr_option {
    const char *name;  /* without the dashes */
    const char *value; /* what the value is called in the help; NULL: takes none */
    const char *help;  /* one line; NULL: not for users, and not listed */
    bool repeated;     /* may be given several times */
};

/* The arguments of a sub-command, sorted out by dtr_cli_parse(). */
struct dtr_arguments {
    const char *const *operands; /* what is no option */
    size_t operands_count;
    const char *const *values; /* [options]: the value, or "" of an option without one; NULL: not
                                  given.  Of a repeated option the last. */
    const char *const *all;    /* pairs: name, value of every option, in the order given */
    size_t all_count;
};

struct dtr_command {
    const char *name;     /* a subject's too: "bench kernel" */
    const char *summary;  /* one line */
    const char *operands; /* "EXP.ini", as the usage shows it */
    size_t operands_min, operands_max;
    const struct dtr_option *options; /* ends at a NULL name; may be NULL */
    const char *help;                 /* more about it; may be NULL */
    bool hidden;                      /* not in the list of commands */
    bool leads; /* starts devices: where a launcher has started several processes, one runs it */
    /* Commands of its own, one of which the first argument names; ends at NULL.  One that has
     * subjects has nothing but name and summary besides. */
    const struct dtr_command *const *subjects;
    /* Returns the exit status. */
    int (*run)(const struct dtr_cli *cli, const struct dtr_arguments *arguments);
};

/* The last word of its name: what it is called by. */
const char *dtr_command_word(const struct dtr_command *command);

/* The value of an option by name; NULL when it was not given. */
const char *dtr_argument(const struct dtr_command *command, const struct dtr_arguments *arguments,
                         const char *name);

/* Prints the sentence on standard error, with the program's name in front, and returns the exit
 * status that goes with it: 2 for DTR_E_CONFIG, else 1. */
int dtr_cli_fail(const struct dtr_error *error);

/* The registry that --plugin-path asks for. */
int dtr_cli_plugins(const struct dtr_cli *cli, struct dtr_plugins **plugins_p,
                    struct dtr_error *error);

#endif

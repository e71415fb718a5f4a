/* SPDX-License-Identifier: MIT
 *
 * main.c -- finds the sub-command, sorts its arguments, runs it.
 */
#include "config.h"

#include <fcntl.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "cli/commands.h"

static const struct dtr_command *const commands[] = {
    &dtr_command_check,
    &dtr_command_run,
    &dtr_command_plan,
    &dtr_command_profile,
    &dtr_command_sweep,
    &dtr_command_bench,
    &dtr_command_eval,
    &dtr_command_inspect,
    &dtr_command_plugins,
    &dtr_command_tokenize,
    &dtr_command_worker,
    &dtr_command_key,
    NULL,
};

static const struct dtr_option common_options[] = {
    {"plugin-path", "PATH", "folders with plugins, separated by colons, searched first", false},
    {"log", "LEVEL", "error, warn (the default), info, debug or trace", false},
    {"help", NULL, "this text", false},
    {"version", NULL, "the program's version", false},
    {NULL, NULL, NULL, false},
};

/* --- help ------------------------------------------------------------------------------------- */

static void print_options(const struct dtr_option *options) {
    for (size_t i = 0; options && options[i].name; i++) {
        char left[40];
        if (!options[i].help)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
}

static void print_commands(const struct dtr_command *const *list) {
    for (; *list; list++)
        if (!(*list)->hidden)
            printf("  %-12s %s\n", dtr_command_word(*list), (*list)->summary);
}

static void print_usage(void) {
    puts("Usage: detransformer COMMAND [OPTION]... [ARGUMENT]...\n"
         "Transformer inference distributed over several devices.\n\nCommands");
    print_commands(commands);
    puts("\nOptions of every command");
    print_options(common_options);
    puts("\n`detransformer COMMAND --help` tells more.");
}

static void print_subjects(const struct dtr_command *command) {
    printf("Usage: detransformer %s SUBJECT [OPTION]...\n%s\n\nSubjects\n", command->name,
           command->summary);
    print_commands(command->subjects);
    puts("\nOptions");
    print_options(common_options);
    printf("\n`detransformer %s SUBJECT --help` tells more.\n", command->name);
}

static void print_command(const struct dtr_command *command) {
    printf("Usage: detransformer %s%s%s [OPTION]...\n%s\n", command->name,
           command->operands ? " " : "", command->operands ? command->operands : "",
           command->summary);
    puts("\nOptions");
    print_options(command->options);
    print_options(common_options);
    if (command->help)
        printf("\n%s\n", command->help);
}

/* --- arguments -------------------------------------------------------------------------------- */

static int usage_error(const char *what, const char *word, const char *more) {
    fprintf(stderr, "detransformer: %s '%s'%s\n", what, word, more);
    return DTR_EXIT_USAGE;
}

/* What an option is known by; `index` is its place in the command's own list, or -1. */
struct match {
    const struct dtr_option *option;
    int index;
};

static struct match find_option(const struct dtr_command *command, const char *name,
                                size_t length) {
    const struct dtr_option *lists[] = {command->options, common_options};
    for (int list = 0; list < 2; list++)
        for (int i = 0; lists[list] && lists[list][i].name; i++)
            if (strlen(lists[list][i].name) == length &&
                strncmp(lists[list][i].name, name, length) == 0)
                return (struct match){&lists[list][i], list ? -1 : i};
    return (struct match){NULL, -1};
}

static int unknown_option(const struct dtr_command *command, const char *argument) {
    char text[100];
    struct dtr_suggestion suggestion = {.word = argument + 2};
    for (size_t i = 0; command->options && command->options[i].name; i++)
        dtr_suggest_offer(&suggestion, command->options[i].name);
    for (size_t i = 0; common_options[i].name; i++)
        dtr_suggest_offer(&suggestion, common_options[i].name);
    if (!suggestion.best)
        return usage_error("unknown option", argument, "");
    snprintf(text, sizeof text, "; did you mean '--%s'?", suggestion.best);
    return usage_error("unknown option", argument, text);
}

/* The memory of the arguments of one call: no array can be longer than argv. */
struct sorted {
    const char **operands, **values, **all;
    struct dtr_arguments arguments;
};

static int take_common(struct dtr_cli *cli, const char *name, const char *value) {
    if (strcmp(name, "plugin-path") == 0) {
        cli->launch.plugin_path = value;
        return DTR_EXIT_DONE;
    }
    const int level = dtr_log_level_parse(value);
    if (level < 0)
        return usage_error("unknown log level", value,
                           "; there are error, warn, info, debug and trace");
    cli->log.level = (enum dtr_log_level)level;
    return DTR_EXIT_DONE;
}

static int take_option(const struct dtr_command *command, char **argv, int *at, struct dtr_cli *cli,
                       struct sorted *sorted) {
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    const size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct match match = find_option(command, name, length);
    if (!match.option)
        return unknown_option(command, argv[*at]);
    if (equals && !match.option->value)
        return usage_error("no value goes with", argv[*at], "");
    const char *value = equals ? equals + 1 : match.option->value ? argv[++*at] : "";
    if (!value)
        return usage_error("a value is missing after", argv[*at - 1], "");
    if (match.index < 0)
        return take_common(cli, match.option->name, value);
    if (sorted->values[match.index] && !match.option->repeated)
        return usage_error("given twice:", match.option->name, "");
    sorted->values[match.index] = value;
    sorted->all[sorted->arguments.all_count++] = match.option->name;
    sorted->all[sorted->arguments.all_count++] = value;
    return DTR_EXIT_DONE;
}

static int sort_arguments(const struct dtr_command *command, char **argv, struct dtr_cli *cli,
                          struct sorted *sorted) {
    bool only_operands = false;
    for (int at = 0; argv[at]; at++) {
        if (!only_operands && strcmp(argv[at], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argv[at], "--", 2) == 0) {
            const int status = take_option(command, argv, &at, cli, sorted);
            if (status)
                return status;
        } else if (!only_operands && argv[at][0] == '-' && argv[at][1]) {
            /* The one short option; a lone dash is an operand. */
            if (strcmp(argv[at], "-o") != 0 || !find_option(command, "output", 6).option)
                return usage_error("unknown option", argv[at], "");
            static char long_form[] = "--output";
            argv[at--] = long_form;
        } else {
            sorted->operands[sorted->arguments.operands_count++] = argv[at];
        }
    }
    const size_t count = sorted->arguments.operands_count;
    if (count >= command->operands_min && count <= command->operands_max)
        return DTR_EXIT_DONE;
    fprintf(stderr, "detransformer: usage: detransformer %s %s; see detransformer %s --help\n",
            command->name, command->operands ? command->operands : "", command->name);
    return DTR_EXIT_USAGE;
}

/* Answers --help and --version, wherever they stand. */
static bool answer(const struct dtr_command *command, char **argv) {
    for (int i = 0; argv[i] && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (command->subjects ? print_subjects : print_command)(command);
            return true;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts(PACKAGE_STRING);
            return true;
        }
    return false;
}

/* Runs a command that starts devices, or serves the process that runs it: where a launcher has
 * started several, only one reads the experiment, prints and writes. */
static int run_leader(const struct dtr_command *command, struct dtr_cli *cli,
                      const struct dtr_arguments *arguments) {
    struct dtr_error error = {.status = DTR_OK};
    struct dtr_plugins *plugins = NULL;
    struct dtr_world *world = NULL;
    int status = dtr_cli_plugins(cli, &plugins, &error);
    if (!status)
        status = dtr_world_open(plugins, &cli->log, &world, &error);
    if (!status && world && dtr_world_rank(world))
        status = dtr_world_serve(world, &error);
    int exit_status = status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
    if (!status && (!world || !dtr_world_rank(world))) {
        cli->launch.world = world;
        exit_status = command->run(cli, arguments);
    }
    dtr_world_close(world);
    dtr_plugins_free(plugins);
    return exit_status;
}

/* The arguments begin at argv[first]. */
static int run_command(const struct dtr_command *command, int argc, char **argv, int first) {
    if (answer(command, argv + first))
        return DTR_EXIT_DONE;
    if (command->subjects) {
        fprintf(stderr, "detransformer: a subject is missing; see detransformer %s --help\n",
                command->name);
        return DTR_EXIT_USAGE;
    }
    size_t options = 0;
    while (command->options && command->options[options].name)
        options++;
    const size_t most = (size_t)argc + 1;
    const char **memory = calloc(most + options + 1 + 2 * most, sizeof *memory);
    if (!memory) {
        fputs("detransformer: out of memory\n", stderr);
        return DTR_EXIT_FAILED;
    }
    struct sorted sorted = {memory, memory + most, memory + most + options + 1, {0}};
    struct dtr_cli cli = {
        .command = command->name,
        .log = {.level = DTR_LOG_WARN, .fd = 2},
        .argc = argc,
        .argv = argv,
    };
    cli.launch.log = &cli.log;
    int status = sort_arguments(command, argv + first, &cli, &sorted);
    sorted.arguments.operands = sorted.operands;
    sorted.arguments.values = sorted.values;
    sorted.arguments.all = sorted.all;
    if (!status)
        status = command->leads ? run_leader(command, &cli, &sorted.arguments)
                                : command->run(&cli, &sorted.arguments);
    free(memory);
    return status;
}

/* Runs the command, or subject of a command, that argv[at] names. */
static int dispatch(const struct dtr_command *const *list, const char *what, int argc, char **argv,
                    int at) {
    char text[100];
    struct dtr_suggestion suggestion = {.word = argv[at]};
    for (; *list; list++) {
        const char *word = dtr_command_word(*list);
        const bool found = strcmp(argv[at], word) == 0;
        if (found && (*list)->subjects && argv[at + 1] && argv[at + 1][0] != '-')
            return dispatch((*list)->subjects, "subject", argc, argv, at + 1);
        if (found)
            return run_command(*list, argc, argv, at + 1);
        dtr_suggest_offer(&suggestion, word);
    }
    char unknown[40];
    snprintf(unknown, sizeof unknown, "unknown %s", what);
    return usage_error(unknown, argv[at], dtr_suggest_text(&suggestion, text, sizeof text));
}

/* What is read of a mapped file that was cut short is not there any more. */
static void file_shrank(int signal_number, siginfo_t *info, void *context) {
    static const char sentence[] =
        "detransformer: a file that was in use, such as the model's weights, was cut short\n";
    (void)context;
    if (info->si_code != BUS_ADRERR) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    const ssize_t written = write(STDERR_FILENO, sentence, sizeof sentence - 1);
    (void)written;
    _exit(DTR_EXIT_FAILED);
}

/* Else the next file or socket would be given the number of a closed one, and text would go there.
 * Opened the wrong way round, so that writing still fails. */
static void occupy_standard_descriptors(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

static int answer_or_dispatch(int argc, char **argv) {
    if (strcmp(argv[1], "--version") == 0) {
        puts(PACKAGE_STRING);
        return DTR_EXIT_DONE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage();
        return DTR_EXIT_DONE;
    }
    return dispatch(commands, "command", argc, argv, 1);
}

int main(int argc, char **argv) {
    const struct sigaction on_bus = {.sa_sigaction = file_shrank, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &on_bus, NULL);
    occupy_standard_descriptors();
    if (argc < 2) {
        fputs("detransformer: a command is missing; see detransformer --help\n", stderr);
        return DTR_EXIT_USAGE;
    }
    const int status = answer_or_dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fputs("detransformer: standard output could not be written\n", stderr);
    return status ? status : DTR_EXIT_FAILED;
}

/* SPDX-License-Identifier: MIT
 *
 * worker.c -- `detransformer worker`: waits for leaders on a device of its own; and the process of
 * one session, which a leader on the same machine starts, or the one that waits.
 */
#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "config/params.h"
#include "run/cache.h"
#include "run/launch.h"
#include "run/listener.h"
#include "run/worker.h"

static const struct dtr_option options[] = {
    {"listen", "ADDR:PORT", "where to wait for leaders; port 0 is any that is free", false},
    {"key-file", "FILE", "the key that the cluster shares; needed but on the loopback interface",
     false},
    {"models", "FOLDER", "models of its own, in the folder or in those below it", false},
    {"cache", "FOLDER", "keeps the weights that leaders send for the next time", false},
    {"cache-size", "SIZE", "the most that the cache holds (default 4 GiB)", false},
    {"control", "FD", NULL, false}, /* a session's process: its stream */
    {"keys", "FD", NULL, false},    /* and where the stream's keys are read */
    {NULL, NULL, NULL, false},
};

static const char *option(const struct dtr_arguments *arguments, const char *name) {
    return dtr_argument(&dtr_command_worker, arguments, name);
}

/* --- one session ------------------------------------------------------------------------------ */

static int read_descriptor(const char *text, int *fd_p, struct dtr_error *error) {
    char *end;
    const long fd = strtol(text, &end, 10);
    if (fd < 3 || fd > 1 << 20 || *end)
        return dtr_fail(error, DTR_E_CONFIG, "'%s' is no descriptor; leaders start sessions", text);
    *fd_p = (int)fd;
    return DTR_OK;
}

static int read_size(const struct dtr_arguments *arguments, uint64_t *bytes_p,
                     struct dtr_error *error) {
    static const struct dtr_param row = {.key = "cache-size", .type = DTR_SIZE};
    const char *text = option(arguments, "cache-size");
    const int status = dtr_value_parse(&row, text ? text : "4 GiB", NULL, bytes_p, error);
    if (status)
        dtr_error_prefix(error, "--cache-size");
    return status;
}

static int serve_session(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    struct dtr_worker_options own = {
        .models = option(arguments, "models"),
        .cache = option(arguments, "cache"),
    };
    struct dtr_plugins *plugins;
    struct dtr_channel_keys keys;
    const char *sealed = option(arguments, "keys");
    int fd = -1, keys_fd = -1;
    int status = read_descriptor(option(arguments, "control"), &fd, &error);
    if (!status && sealed)
        status = read_descriptor(sealed, &keys_fd, &error);
    if (!status && sealed)
        status = dtr_launch_read_keys(keys_fd, &keys, &error);
    if (!status)
        status = read_size(arguments, &own.cache_bytes, &error);
    if (!status)
        status = dtr_cli_plugins(cli, &plugins, &error);
    if (status)
        return dtr_cli_fail(&error);
    own.keys = sealed ? &keys : NULL;
    status = dtr_worker_serve(fd, &own, plugins, &cli->log, &error);
    sodium_memzero(&keys, sizeof keys);
    dtr_plugins_free(plugins);
    /* The leader was told, and tells the user. */
    return status ? DTR_EXIT_FAILED : DTR_EXIT_DONE;
}

/* --- waiting for leaders ---------------------------------------------------------------------- */

static int listen_for_leaders(const struct dtr_cli *cli, struct dtr_listener_options *how,
                              struct dtr_error *error) {
    struct dtr_listener *listener;
    int status = dtr_listener_open(how, &listener, error);
    if (status)
        return status;
    /* Who started this reads it to know that leaders may come. */
    printf("listening at %s\n", dtr_listener_address(listener));
    fflush(stdout);
    if (!how->has_key)
        dtr_log(&cli->log, DTR_LOG_INFO, "without a key everybody on this machine is let in");
    status = dtr_listener_serve(listener, error);
    dtr_listener_close(listener);
    return status;
}

static int check_models(const char *folder, struct dtr_error *error) {
    DIR *dir = opendir(folder);
    if (!dir)
        return dtr_fail(error, DTR_E_CONFIG, "--models: %s: %s", folder, strerror(errno));
    closedir(dir);
    return DTR_OK;
}

/* What a session would stumble over is found before the first leader comes. */
static int check_folders(const struct dtr_arguments *arguments, struct dtr_error *error) {
    const char *models = option(arguments, "models"), *cache = option(arguments, "cache");
    uint64_t ignored;
    int status = read_size(arguments, &ignored, error);
    if (!status && option(arguments, "cache-size") && !cache)
        status = dtr_fail(error, DTR_E_CONFIG, "--cache-size: there is no --cache");
    if (!status && models)
        status = check_models(models, error);
    if (!status && cache && (status = dtr_cache_check(cache, error)))
        dtr_error_prefix(error, "--cache");
    return status;
}

/* What a session's process is told besides its stream; it works in the same folder. */
enum { MORE = 12 };

static void pass_on(const struct dtr_cli *cli, const struct dtr_arguments *arguments,
                    const char *more[MORE]) {
    static const char *const names[][2] = {
        {"models", "--models"}, {"cache", "--cache"}, {"cache-size", "--cache-size"}};
    size_t count = 0;
    more[count++] = "--log";
    more[count++] = dtr_log_level_name(cli->log.level);
    if (cli->launch.plugin_path) {
        more[count++] = "--plugin-path";
        more[count++] = cli->launch.plugin_path;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (option(arguments, names[i][0])) {
            more[count++] = names[i][1];
            more[count++] = option(arguments, names[i][0]);
        }
    more[count] = NULL;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    const char *key_file = option(arguments, "key-file");
    const char *more[MORE];
    struct dtr_listener_options how = {
        .address = option(arguments, "listen"),
        .has_key = key_file != NULL,
        .arguments = more,
        .log = &cli->log,
    };
    if (option(arguments, "control"))
        return serve_session(cli, arguments);
    if (!how.address) {
        dtr_fail(&error, DTR_E_CONFIG, "worker needs --listen ADDR:PORT");
        return dtr_cli_fail(&error);
    }
    pass_on(cli, arguments, more);
    int status = check_folders(arguments, &error);
    if (!status && (status = dtr_key_read(key_file, &cli->log, how.key, &error)))
        dtr_error_prefix(&error, "--key-file");
    if (!status)
        status = listen_for_leaders(cli, &how, &error);
    sodium_memzero(how.key, sizeof how.key);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_worker = {
    .name = "worker",
    .summary = "wait for leaders, as one of their devices",
    .options = options,
    .help = "Serves one leader at a time, session after session, until SIGTERM or SIGINT.  An\n"
            "experiment reaches it with launch = remote and its address in [cluster].",
    .run = run,
};

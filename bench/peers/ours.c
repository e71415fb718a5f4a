/* SPDX-License-Identifier: MIT
 *
 * ours.c -- DeTransformer as a peer of the comparison in this folder: runs requests when it is told
 * to, and says how long each took.  Lines on standard input: a number runs so many requests and is
 * answered by their milliseconds; `dump FILE` writes the last one's hidden states, floats as they
 * lie in memory.
 *
 *     ours EXP.ini [--set K=V]...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/input.h"
#include "run/launch.h"
#include "run/session.h"

struct peer {
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment;
    struct dtr_input *input;
    struct dtr_session *session;
    struct dtr_response response;
};

static int run(struct peer *peer, int requests, struct dtr_error *error) {
    for (int i = 0; i < requests; i++) {
        struct dtr_request request;
        int status = dtr_input_request(peer->input, 0, &request, error);
        if (!status)
            status = dtr_session_run(peer->session, &request, &peer->response, error);
        if (status)
            return status;
        printf("%s%.6f", i ? " " : "", (double)peer->response.latency_ns * 1e-6);
    }
    puts("");
    return DTR_OK;
}

static int dump(const struct peer *peer, const char *path, struct dtr_error *error) {
    const struct dtr_model *model = dtr_session_model(peer->session);
    const size_t count = (size_t)peer->response.rows * model->shape.hidden;
    FILE *file = fopen(path, "wb");
    const bool whole = file && fwrite(peer->response.hidden, sizeof(float), count, file) == count;
    if (!file || fclose(file) || !whole)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot write %s", path);
    puts("dumped");
    return DTR_OK;
}

static int serve(struct peer *peer, struct dtr_error *error) {
    char line[4096];
    int status = DTR_OK;
    puts("ready");
    fflush(stdout);
    while (!status && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "dump ", 5) == 0)
            status = dump(peer, line + 5, error);
        else
            status = run(peer, atoi(line), error);
        fflush(stdout);
    }
    return status;
}

static int open_peer(struct peer *peer, int argc, char **argv, const struct dtr_log *log,
                     struct dtr_error *error) {
    struct dtr_setting settings[64] = {{0}};
    struct dtr_session_options options = {.all_rows = true};
    const struct dtr_launch launch = {.log = log};
    size_t count = 0;
    for (int i = 3; i < argc && count < 64; i += 2)
        settings[count++].text = argv[i];
    int status = dtr_plugins_create(NULL, log, &peer->plugins, error);
    if (!status)
        status = dtr_experiment_load(argv[1], settings, count, peer->plugins, log,
                                     &peer->experiment, error);
    if (!status)
        status = dtr_input_open(peer->experiment, true, &peer->input, error);
    if (status)
        return status;
    dtr_input_largest(peer->input, &options.sequences_max, &options.length_max);
    status = dtr_session_open(peer->experiment, peer->plugins, &launch, &options, log, NULL,
                              &peer->session, error);
    return status ? status : dtr_input_check(peer->input, dtr_session_model(peer->session), error);
}

int main(int argc, char **argv) {
    const struct dtr_log log = {.level = DTR_LOG_WARN, .fd = 2};
    struct dtr_error error = {0};
    struct peer peer = {0};
    if (argc < 2) {
        fputs("usage: ours EXP.ini [--set K=V]...\n", stderr);
        return 2;
    }
    int status = open_peer(&peer, argc, argv, &log, &error);
    if (!status)
        status = serve(&peer, &error);
    if (status)
        fprintf(stderr, "ours: %s\n", error.text);
    dtr_session_close(peer.session);
    dtr_input_close(peer.input);
    dtr_experiment_free(peer.experiment);
    dtr_plugins_free(peer.plugins);
    return status != DTR_OK;
}

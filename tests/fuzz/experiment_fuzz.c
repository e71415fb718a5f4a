/* SPDX-License-Identifier: MIT
 *
 * experiment_fuzz.c -- the experiment file, with plugins and their parameters.  What is accepted
 * prints as an experiment that is accepted too, and prints the same.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "config/experiment.h"
#include "plugin/registry.h"

/* The files that seeds name. */
static struct dtr_plugins *open_plugins(const struct dtr_log *log) {
    struct dtr_plugins *plugins;
    struct dtr_error error = {0};
    fuzz_file("m.json", (const uint8_t *)"{}", 2);
    fuzz_file("v.txt", (const uint8_t *)"a\n", 2);
    fuzz_need(!dtr_plugins_create(NULL, log, &plugins, &error), "no plugins");
    return plugins;
}

static void read_back(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                      const struct dtr_log *log) {
    struct dtr_experiment *again = NULL;
    struct dtr_error error = {0};
    char *text = dtr_experiment_print(experiment);
    fuzz_need(text != NULL, "the experiment cannot be printed");
    if (dtr_experiment_parse("printed", text, strlen(text), plugins, log, &again, &error))
        fuzz_need(false, error.text);
    char *twice = dtr_experiment_print(again);
    fuzz_need(twice && strcmp(text, twice) == 0, "it prints otherwise the second time");
    dtr_experiment_free(again);
    free(text);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct dtr_log log = {.level = DTR_LOG_ERROR, .fd = 2};
    static struct dtr_plugins *plugins;
    struct dtr_experiment *experiment;
    struct dtr_error error = {0};
    if (!plugins)
        plugins = open_plugins(&log);
    const char *path = fuzz_file("exp.ini", data, size);
    if (!fuzz_sentence(dtr_experiment_load(path, NULL, 0, plugins, &log, &experiment, &error),
                       &error))
        return 0;
    for (size_t i = 0; dtr_experiment_grid(experiment, i); i++)
        ;
    read_back(experiment, plugins, &log);
    dtr_experiment_free(experiment);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "plugin/registry.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "config/experiment.h"
#include "config/params.h"
#include "plugin/host.h"
#include "plugin/load.h"

struct loaded {
    char *file; /* as realpath() gives it */
    const struct dtr_plugin *plugin;
};

struct dtr_plugins {
    const struct dtr_log *log;
    char *path;
    struct loaded *loaded;
    size_t count;
};

/* --- the search path -------------------------------------------------------------------------- */

/* The folder that holds the program, or NULL. */
static char *program_folder(void) {
    char *program = realpath("/proc/self/exe", NULL);
    char *slash = program ? strrchr(program, '/') : NULL;
    if (slash)
        *slash = '\0';
    return program;
}

/* That folder of those below the program's if it is there, else NULL. */
static char *folder_below(const char *program, const char *name) {
    char *folder;
    if (!program || asprintf(&folder, "%s/%s", program, name) < 0)
        return NULL;
    if (access(folder, X_OK) == 0)
        return folder;
    free(folder);
    return NULL;
}

/* An installation that was moved as a whole has its plugins where they were, seen from bin/. */
static char *installed_folder(const char *program) {
    char *folder = NULL;
#ifdef DTR_PLUGIN_FOLDER_FROM_BIN
    const char *name = program ? strrchr(program, '/') : NULL;
    if (name && strcmp(name, "/bin") == 0)
        folder = folder_below(program, DTR_PLUGIN_FOLDER_FROM_BIN);
#else
    (void)program;
#endif
    return folder ? folder : strdup(DTR_PLUGIN_FOLDER);
}

int dtr_plugins_create(const char *path, const struct dtr_log *log, struct dtr_plugins **plugins_p,
                       struct dtr_error *error) {
    struct dtr_plugins *plugins = calloc(1, sizeof *plugins);
    if (!plugins)
        return dtr_fail_memory(error);
    plugins->log = log;
    const char *variable = getenv("DTR_PLUGIN_PATH");
    char *program = program_folder();
    char *build = folder_below(program, "modules/.libs");
    char *installed = installed_folder(program);
    const int length = asprintf(&plugins->path, "%s%s%s%s%s%s%s", path ? path : "", path ? ":" : "",
                                variable ? variable : "", variable ? ":" : "", build ? build : "",
                                build ? ":" : "", installed ? installed : "");
    free(program);
    free(build);
    free(installed);
    if (length < 0) {
        free(plugins);
        return dtr_fail_memory(error);
    }
    *plugins_p = plugins;
    return DTR_OK;
}

void dtr_plugins_free(struct dtr_plugins *plugins) {
    if (!plugins)
        return;
    for (size_t i = 0; i < plugins->count; i++)
        free(plugins->loaded[i].file);
    free(plugins->loaded);
    free(plugins->path);
    free(plugins);
}

const char *dtr_plugins_path(const struct dtr_plugins *plugins) {
    return plugins->path;
}

/* The next folder of the path, in a buffer that the caller frees; NULL at the end.  Empty parts
 * are passed over: they do not stand for the working directory. */
static char *next_folder(const char **at) {
    while (**at == ':')
        ++*at;
    const size_t length = strcspn(*at, ":");
    if (!length)
        return NULL;
    char *folder = strndup(*at, length);
    *at += length;
    return folder;
}

/* --- loading ---------------------------------------------------------------------------------- */

int dtr_plugins_load_file(struct dtr_plugins *plugins, const char *file,
                          const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    char *real = realpath(file, NULL);
    if (!real)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", file, strerror(errno));
    for (size_t i = 0; i < plugins->count; i++) {
        if (strcmp(plugins->loaded[i].file, real))
            continue;
        free(real);
        *plugin_p = plugins->loaded[i].plugin;
        return DTR_OK;
    }
    struct loaded *more = realloc(plugins->loaded, (plugins->count + 1) * sizeof *more);
    if (!more) {
        free(real);
        return dtr_fail_memory(error);
    }
    plugins->loaded = more;
    const struct dtr_plugin *plugin;
    const int status = dtr_plugin_load(real, &plugin, error);
    if (status) {
        free(real);
        return status;
    }
    plugins->loaded[plugins->count++] = (struct loaded){.file = real, .plugin = plugin};
    dtr_log(plugins->log, DTR_LOG_DEBUG, "%s %s %s from %s", dtr_kind_name(plugin->kind),
            plugin->name, plugin->version, real);
    *plugin_p = plugin;
    return DTR_OK;
}

const char *dtr_plugins_file(const struct dtr_plugins *plugins, const struct dtr_plugin *plugin) {
    for (size_t i = 0; i < plugins->count; i++)
        if (plugins->loaded[i].plugin == plugin)
            return plugins->loaded[i].file;
    return NULL;
}

/* The first file on the path that is called NAME.so; *file_p is NULL when there is none. */
static int find_file(const struct dtr_plugins *plugins, const char *name, char **file_p,
                     struct dtr_error *error) {
    const char *at = plugins->path;
    char *folder, *file = NULL;
    while (!file && (folder = next_folder(&at))) {
        const int length = asprintf(&file, "%s/%s.so", folder, name);
        free(folder);
        if (length < 0)
            return dtr_fail_memory(error);
        if (access(file, F_OK)) {
            free(file);
            file = NULL;
        }
    }
    *file_p = file;
    return DTR_OK;
}

/* The names of all plugins are the caller's to free: what is suggested is one of them. */
static int suggest(struct dtr_plugins *plugins, struct dtr_suggestion *suggestion, char ***names_p,
                   size_t *count_p, struct dtr_error *error) {
    const int status = dtr_plugins_list(plugins, names_p, count_p, error);
    for (size_t i = 0; !status && i < *count_p; i++)
        dtr_suggest_offer(suggestion, (*names_p)[i]);
    return status;
}

static int fail_unknown(struct dtr_plugins *plugins, enum dtr_kind kind, const char *name,
                        struct dtr_error *error) {
    char **names, text[100];
    size_t count;
    struct dtr_suggestion suggestion = {.word = name};
    int status = suggest(plugins, &suggestion, &names, &count, error);
    if (status)
        return status;
    const struct dtr_plugin *plugin;
    if (suggestion.best && !dtr_plugins_get(plugins, kind, suggestion.best, &plugin, NULL))
        status = dtr_fail(error, DTR_E_CONFIG, "unknown %s plugin '%s'%s", dtr_kind_name(kind),
                          name, dtr_suggest_text(&suggestion, text, sizeof text));
    else
        status = dtr_fail(error, DTR_E_CONFIG, "unknown %s plugin '%s'; searched %s",
                          dtr_kind_name(kind), name, plugins->path);
    dtr_plugins_names_free(names, count);
    return status;
}

int dtr_plugins_get(struct dtr_plugins *plugins, enum dtr_kind kind, const char *name,
                    const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    char *file = NULL;
    const struct dtr_plugin *plugin;
    /* What is not a word is no file name either: no path comes in this way. */
    const bool word = name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0' && *name;
    int status = word ? find_file(plugins, name, &file, error) : DTR_OK;
    if (status)
        return status;
    if (!file)
        return fail_unknown(plugins, kind, name, error);
    status = dtr_plugins_load_file(plugins, file, &plugin, error);
    if (!status && plugin->kind != kind)
        status = dtr_fail(error, DTR_E_CONFIG, "%s: is a %s plugin, wanted is a %s", file,
                          dtr_kind_name(plugin->kind), dtr_kind_name(kind));
    free(file);
    if (!status)
        *plugin_p = plugin;
    return status;
}

/* --- looking at all of them ------------------------------------------------------------------- */

struct names {
    char **name;
    size_t count;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes `name`. */
static int add_name(struct names *names, char *name) {
    char **more = realloc(names->name, (names->count + 1) * sizeof *more);
    if (!more) {
        free(name);
        return DTR_E_MEMORY;
    }
    names->name = more;
    names->name[names->count++] = name;
    return DTR_OK;
}

/* A folder that is not there holds no plugins. */
static int list_folder(const char *folder, struct names *names) {
    DIR *dir = opendir(folder);
    if (!dir)
        return DTR_OK;
    int status = DTR_OK;
    const struct dirent *entry;
    while (!status && (entry = readdir(dir))) {
        char *stem = dtr_plugin_stem(entry->d_name);
        if (stem)
            status = add_name(names, stem);
    }
    closedir(dir);
    return status;
}

void dtr_plugins_names_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static void sort_unique(struct names *names) {
    if (!names->count)
        return;
    qsort(names->name, names->count, sizeof *names->name, compare_names);
    size_t kept = 1;
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->name[i], names->name[kept - 1]))
            names->name[kept++] = names->name[i];
        else
            free(names->name[i]);
    }
    names->count = kept;
}

int dtr_plugins_list(struct dtr_plugins *plugins, char ***names_p, size_t *count_p,
                     struct dtr_error *error) {
    struct names names = {.count = 0};
    const char *at = plugins->path;
    char *folder;
    int status = DTR_OK;
    while (!status && (folder = next_folder(&at))) {
        status = list_folder(folder, &names);
        free(folder);
    }
    if (status) {
        dtr_plugins_names_free(names.name, names.count);
        return dtr_fail_memory(error);
    }
    sort_unique(&names);
    *names_p = names.name;
    *count_p = names.count;
    return DTR_OK;
}

/* Of whatever kind. */
static int fail_missing(struct dtr_plugins *plugins, const char *name, struct dtr_error *error) {
    char **names, text[100];
    size_t count;
    struct dtr_suggestion suggestion = {.word = name};
    int status = suggest(plugins, &suggestion, &names, &count, error);
    if (status)
        return status;
    if (suggestion.best)
        status = dtr_fail(error, DTR_E_CONFIG, "unknown plugin '%s'%s", name,
                          dtr_suggest_text(&suggestion, text, sizeof text));
    else
        status =
            dtr_fail(error, DTR_E_CONFIG, "unknown plugin '%s'; searched %s", name, plugins->path);
    dtr_plugins_names_free(names, count);
    return status;
}

int dtr_plugins_find(struct dtr_plugins *plugins, const char *name,
                     const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    char *file = NULL;
    int status = strchr(name, '/') ? DTR_OK : find_file(plugins, name, &file, error);
    if (!status && !file)
        status = fail_missing(plugins, name, error);
    else if (!status)
        status = dtr_plugins_load_file(plugins, file, plugin_p, error);
    free(file);
    return status;
}

int dtr_plugins_probe(struct dtr_plugins *plugins, const struct dtr_plugin *plugin, int *score_p,
                      struct dtr_error *error) {
    struct dtr_services services;
    struct dtr_error cause = {.status = DTR_OK};
    dtr_services_init(&services, plugin->name, plugins->log, NULL);
    const int score = plugin->probe(&services.host, &cause);
    if (score <= 0)
        return dtr_fail(error, DTR_E_CONFIG, "the %s plugin '%s' cannot run here: %s",
                        dtr_kind_name(plugin->kind), plugin->name,
                        cause.status ? cause.text : "it does not say why");
    *score_p = score;
    return DTR_OK;
}

/* Whom to choose from. */
struct wanted {
    enum dtr_kind kind;
    uint64_t with, without; /* capabilities */
    uint32_t dtype;         /* of kernels: they have to multiply in it */
};

/* True when the kernel, opened with its defaults, does an ordinary linear layer in that type. */
static bool multiplies(const struct dtr_plugins *plugins, const struct dtr_plugin *plugin,
                       uint32_t dtype) {
    const struct dtr_linear linear = {
        .size = sizeof linear, .out = 768, .in = 768, .rows_max = 128, .dtype = dtype};
    const struct dtr_op_shape shape = {
        .size = sizeof shape, .op = DTR_OP_LINEAR, .linear = &linear};
    struct dtr_open_chain *open = NULL;
    void *params;
    if (dtr_params_defaults(plugin, &params, NULL))
        return false;
    const struct dtr_chain chain = {.count = 1, .plugin = {plugin}, .params = {params}};
    bool does = false;
    if (!dtr_chain_open(&chain, plugins->log, 1, 0, 1, &open, NULL)) {
        const struct dtr_instance *instance = dtr_chain_top(open);
        const struct dtr_kernel_ops *ops = plugin->ops;
        does = ops->supports(instance->self, &shape) > 0;
    }
    dtr_chain_close(open);
    dtr_params_free(plugin, params);
    return does;
}

/* The plugin's score, or 0 when it is not wanted or cannot run. */
static int score_of(struct dtr_plugins *plugins, const char *name, const struct wanted *wanted,
                    int best_score, const struct dtr_plugin **plugin_p) {
    const struct dtr_plugin *plugin;
    struct dtr_error cause = {.status = DTR_OK};
    int score;
    if (dtr_plugins_find(plugins, name, &plugin, &cause)) {
        dtr_log(plugins->log, DTR_LOG_WARN, "%s", cause.text);
        return 0;
    }
    if (plugin->kind != wanted->kind || (plugin->caps & wanted->with) != wanted->with ||
        plugin->caps & wanted->without)
        return 0;
    if (dtr_plugins_probe(plugins, plugin, &score, &cause)) {
        dtr_log(plugins->log, DTR_LOG_DEBUG, "%s", cause.text);
        return 0;
    }
    if (score <= best_score ||
        (wanted->dtype != DTR_F32 && !multiplies(plugins, plugin, wanted->dtype)))
        return 0;
    *plugin_p = plugin;
    return score;
}

static int choose(struct dtr_plugins *plugins, const struct wanted *wanted,
                  const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    char **names;
    size_t count;
    const int status = dtr_plugins_list(plugins, &names, &count, error);
    if (status)
        return status;
    int best_score = 0;
    for (size_t i = 0; i < count; i++) {
        const int score = score_of(plugins, names[i], wanted, best_score, plugin_p);
        best_score = score > best_score ? score : best_score;
    }
    dtr_plugins_names_free(names, count);
    if (!best_score)
        return dtr_fail(error, DTR_E_CONFIG, "no %s plugin can run here; searched %s",
                        dtr_kind_name(wanted->kind), plugins->path);
    return DTR_OK;
}

int dtr_plugins_choose(struct dtr_plugins *plugins, enum dtr_kind kind, uint64_t with,
                       uint64_t without, const struct dtr_plugin **plugin_p,
                       struct dtr_error *error) {
    const struct wanted wanted = {.kind = kind, .with = with, .without = without};
    return choose(plugins, &wanted, plugin_p, error);
}

int dtr_plugins_best_kernel(struct dtr_plugins *plugins, uint32_t dtype,
                            const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    const struct wanted wanted = {.kind = DTR_KERNEL, .without = DTR_CAP_WRAPS, .dtype = dtype};
    return choose(plugins, &wanted, plugin_p, error);
}

int dtr_plugins_best(struct dtr_plugins *plugins, enum dtr_kind kind,
                     const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    return dtr_plugins_choose(plugins, kind, 0, DTR_CAP_WRAPS, plugin_p, error);
}

/* --- defaults --------------------------------------------------------------------------------- */

int dtr_params_defaults(const struct dtr_plugin *plugin, void **params_p, struct dtr_error *error) {
    return dtr_values_create(dtr_plugin_table(plugin), NULL, params_p, error);
}

void dtr_params_free(const struct dtr_plugin *plugin, void *params) {
    dtr_values_free(dtr_plugin_table(plugin), params);
}

/* SPDX-License-Identifier: MIT */
#include "plugin/load.h"

#include <detransformer/kernel.h>
#include <detransformer/planner.h>
#include <detransformer/transport.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/params.h"

typedef const struct dtr_plugin *(*entry_fn)(void);

/* An operation that the core calls without asking whether it is there, or that a capability
 * promises. */
struct op {
    size_t offset;
    const char *name;
    uint64_t cap; /* the promise that it belongs to; 0: mandatory */
};

#define OP(_type, _member, _cap) \
    { .offset = offsetof(struct _type, _member), .name = #_member, .cap = (_cap) }

static const struct op kernel_operations[] = {
    OP(dtr_kernel_ops, supports, 0),
    {.name = NULL},
};

/* A packed weight is of use only to those who have all four. */
static const struct op kernel_linear[] = {
    OP(dtr_kernel_ops, prepare, 0),
    OP(dtr_kernel_ops, unprepare, 0),
    OP(dtr_kernel_ops, packed_bytes, 0),
    OP(dtr_kernel_ops, linear, 0),
    {.name = NULL},
};

static const struct op transport_operations[] = {
    OP(dtr_transport_ops, address, 0),
    OP(dtr_transport_ops, join, 0),
    OP(dtr_transport_ops, leave, 0),
    OP(dtr_transport_ops, isend, 0),
    OP(dtr_transport_ops, irecv, 0),
    OP(dtr_transport_ops, test, 0),
    OP(dtr_transport_ops, wait, 0),
    OP(dtr_transport_ops, cancel, 0),
    OP(dtr_transport_ops, wake, 0),
    OP(dtr_transport_ops, abort, 0),
    OP(dtr_transport_ops, lost_peer, DTR_CAP_SURVIVES_PEER_LOSS),
    OP(dtr_transport_ops, world, DTR_CAP_LAUNCH),
    OP(dtr_transport_ops, control, DTR_CAP_LAUNCH),
    {.name = NULL},
};

static const struct op planner_operations[] = {
    OP(dtr_planner_ops, plan, 0),
    OP(dtr_planner_ops, observe, DTR_CAP_ADAPTIVE),
    OP(dtr_planner_ops, replan, DTR_CAP_ADAPTIVE),
    {.name = NULL},
};

static const struct {
    const char *name;
    uint64_t caps; /* known bits of this kind */
    const struct op *operations;
} kinds[] = {
    [DTR_KERNEL] = {"kernel", 0, kernel_operations},
    [DTR_TRANSPORT] = {"transport",
                       DTR_CAP_SURVIVES_PEER_LOSS | DTR_CAP_LAUNCH | DTR_CAP_REMOTE |
                           DTR_CAP_COLLIDES,
                       transport_operations},
    [DTR_PLANNER] = {"planner", DTR_CAP_ADAPTIVE | DTR_CAP_PREDICTS, planner_operations},
};

static const struct {
    uint64_t cap;
    uint32_t kind; /* 0: all */
    const char *name;
} cap_names[] = {
    {DTR_CAP_WRAPS, 0, "DTR_CAP_WRAPS"},
    {DTR_CAP_SURVIVES_PEER_LOSS, DTR_TRANSPORT, "DTR_CAP_SURVIVES_PEER_LOSS"},
    {DTR_CAP_LAUNCH, DTR_TRANSPORT, "DTR_CAP_LAUNCH"},
    {DTR_CAP_REMOTE, DTR_TRANSPORT, "DTR_CAP_REMOTE"},
    {DTR_CAP_COLLIDES, DTR_TRANSPORT, "DTR_CAP_COLLIDES"},
    {DTR_CAP_ADAPTIVE, DTR_PLANNER, "DTR_CAP_ADAPTIVE"},
    {DTR_CAP_PREDICTS, DTR_PLANNER, "DTR_CAP_PREDICTS"},
};

/* Bits from 48 on are the plugin's own. */
#define COMMON_CAPS ((UINT64_C(1) << 48) - 1)

static bool kind_is_known(uint32_t kind) {
    return kind >= DTR_KERNEL && kind <= DTR_PLANNER;
}

const char *dtr_kind_name(uint32_t kind) {
    return kind_is_known(kind) ? kinds[kind].name : "unknown";
}

static const char *cap_name(uint32_t kind, uint64_t cap) {
    for (size_t i = 0; i < sizeof cap_names / sizeof cap_names[0]; i++)
        if (cap_names[i].cap == cap && (!cap_names[i].kind || cap_names[i].kind == kind))
            return cap_names[i].name;
    return "a capability";
}

/* Only the first words may be read before they have been found right. */
static int check_abi(const struct dtr_plugin *plugin, struct dtr_error *error) {
    if (plugin->abi_major != DTR_ABI_MAJOR || plugin->abi_minor > DTR_ABI_MINOR)
        return dtr_fail(error, DTR_E_PLUGIN,
                        "was built for plugin ABI %u.%u, this program has %u.%u", plugin->abi_major,
                        plugin->abi_minor, DTR_ABI_MAJOR, DTR_ABI_MINOR);
    if (plugin->size < sizeof *plugin)
        return dtr_fail(error, DTR_E_PLUGIN, "describes itself in %zu bytes, ABI %u.%u has %zu",
                        plugin->size, plugin->abi_major, plugin->abi_minor, sizeof *plugin);
    return DTR_OK;
}

static int check_description(const struct dtr_plugin *plugin, const char *stem,
                             struct dtr_error *error) {
    if (!kind_is_known(plugin->kind))
        return dtr_fail(error, DTR_E_PLUGIN, "is of the unknown kind %u", plugin->kind);
    if (!plugin->name || strcmp(plugin->name, stem))
        return dtr_fail(error, DTR_E_PLUGIN, "calls itself '%.50s', its file says '%s'",
                        plugin->name ? plugin->name : "", stem);
    if (!plugin->version || !plugin->version[0] || !plugin->summary || !plugin->summary[0])
        return dtr_fail(error, DTR_E_PLUGIN, "lacks a version or a summary");
    const char *missing = !plugin->probe   ? "probe"
                          : !plugin->open  ? "open"
                          : !plugin->close ? "close"
                          : !plugin->ops   ? "ops"
                                           : NULL;
    if (missing)
        return dtr_fail(error, DTR_E_PLUGIN, "lacks '%s', which every plugin has", missing);
    return DTR_OK;
}

static bool has_op(const void *ops, const struct op *op) {
    size_t size;
    void (*function)(void);
    memcpy(&size, ops, sizeof size);
    if (size < op->offset + sizeof function)
        return false;
    memcpy(&function, (const char *)ops + op->offset, sizeof function);
    return function != NULL;
}

static int check_operations(const struct dtr_plugin *plugin, struct dtr_error *error) {
    for (const struct op *op = kinds[plugin->kind].operations; op->name; op++) {
        if (has_op(plugin->ops, op))
            continue;
        if (!op->cap)
            return dtr_fail(error, DTR_E_PLUGIN, "lacks the operation '%s', which every %s has",
                            op->name, dtr_kind_name(plugin->kind));
        if (plugin->caps & op->cap)
            return dtr_fail(error, DTR_E_PLUGIN, "promises %s, but lacks the operation '%s'",
                            cap_name(plugin->kind, op->cap), op->name);
    }
    if (plugin->kind != DTR_KERNEL)
        return DTR_OK;
    const struct op *have = NULL, *lack = NULL;
    for (const struct op *op = kernel_linear; op->name; op++)
        *(has_op(plugin->ops, op) ? &have : &lack) = op;
    if (have && lack)
        return dtr_fail(error, DTR_E_PLUGIN,
                        "has the operation '%s', but lacks '%s', which belongs to it", have->name,
                        lack->name);
    return DTR_OK;
}

static int check_caps(const struct dtr_plugin *plugin, struct dtr_error *error) {
    const uint64_t unknown =
        plugin->caps & COMMON_CAPS & ~(kinds[plugin->kind].caps | DTR_CAP_WRAPS);
    for (unsigned bit = 0; bit < 48; bit++)
        if (unknown >> bit & 1)
            return dtr_fail(error, DTR_E_PLUGIN,
                            "promises capability bit %u, which is not known for a %s", bit,
                            dtr_kind_name(plugin->kind));
    return DTR_OK;
}

/* A wrapper's section says what it wraps. */
static int check_wrapper(const struct dtr_plugin *plugin, struct dtr_error *error) {
    if (!(plugin->caps & DTR_CAP_WRAPS))
        return DTR_OK;
    const struct dtr_param *over = dtr_table_find(dtr_plugin_table(plugin), "over", NULL);
    if (!over || over->type != DTR_TEXT)
        return dtr_fail(error, DTR_E_PLUGIN,
                        "promises DTR_CAP_WRAPS, but lacks the text parameter 'over'");
    return DTR_OK;
}

int dtr_plugin_check(const struct dtr_plugin *plugin, const char *stem, struct dtr_error *error) {
    int status = check_abi(plugin, error);
    if (!status)
        status = check_description(plugin, stem, error);
    if (!status)
        status = check_caps(plugin, error);
    if (!status)
        status = check_operations(plugin, error);
    if (!status)
        status = dtr_table_check(dtr_plugin_table(plugin), error);
    if (!status)
        status = check_wrapper(plugin, error);
    return status;
}

char *dtr_plugin_stem(const char *file) {
    const char *name = strrchr(file, '/');
    name = name ? name + 1 : file;
    const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (!length || name[0] < 'a' || name[0] > 'z' || strcmp(name + length, ".so"))
        return NULL;
    return strndup(name, length);
}

/* The symbol must be the file's own: dlsym() would also find that of a library it depends on. */
static int find_entry(void *library, const char *file, entry_fn *entry_p, struct dtr_error *error) {
    void *symbol = dlsym(library, "dtr_plugin");
    if (!symbol)
        return dtr_fail(error, DTR_E_PLUGIN, "is not a plugin: it exports no dtr_plugin()");
    Dl_info info;
    char *from = dladdr(symbol, &info) && info.dli_fname ? realpath(info.dli_fname, NULL) : NULL;
    const bool own = from && !strcmp(from, file);
    int status = DTR_OK;
    if (!own)
        status = dtr_fail(error, DTR_E_PLUGIN,
                          "is not a plugin: the dtr_plugin() that it leads to is that of %s",
                          from ? from : "something else");
    else
        memcpy(entry_p, &symbol, sizeof symbol);
    free(from);
    return status;
}

/* Loads a library.  Signals stay the program's: constructors of some libraries install handlers
 * that end the process in a way of their own. */
static void *load_library(const char *file) {
    struct sigaction kept[NSIG];
    bool known[NSIG] = {false};
    for (int i = 1; i < NSIG; i++)
        known[i] = !sigaction(i, NULL, &kept[i]);
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (int i = 1; i < NSIG; i++)
        if (known[i])
            sigaction(i, &kept[i], NULL);
    return library;
}

int dtr_plugin_load(const char *file, const struct dtr_plugin **plugin_p, struct dtr_error *error) {
    struct dtr_error cause = {.status = DTR_OK};
    char *stem = dtr_plugin_stem(file);
    if (!stem)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: is not named like a plugin, which is [a-z][a-z0-9_]*.so", file);
    const struct dtr_plugin *plugin = NULL;
    entry_fn entry = NULL;
    void *library = load_library(file);
    int status;
    if (!library)
        status = dtr_fail(&cause, DTR_E_PLUGIN, "cannot be loaded: %s; ldd shows what it needs",
                          dlerror());
    else
        status = find_entry(library, file, &entry, &cause);
    if (!status && !(plugin = entry()))
        status =
            dtr_fail(&cause, DTR_E_PLUGIN, "is not a plugin: its dtr_plugin() returns nothing");
    if (!status)
        status = dtr_plugin_check(plugin, stem, &cause);
    free(stem);
    if (status)
        return dtr_fail(error, status, "%s: %s", file, cause.text);
    *plugin_p = plugin;
    return DTR_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * plugin.h -- what a plugin says about itself and what the core lends it.  A plugin is a shared
 * object with one exported function, dtr_plugin(), that returns a constant description; it links
 * against nothing of ours.  See detransformer-plugin(7).
 */
#ifndef DETRANSFORMER_PLUGIN_H
#define DETRANSFORMER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The major number changes when a member moves, goes or changes its sense; the minor number when
 * a member is appended.  A core loads plugins of its own major and of its own minor or an older. */
#define DTR_ABI_MAJOR 1u
#define DTR_ABI_MINOR 4u

enum dtr_kind { DTR_KERNEL = 1, DTR_TRANSPORT = 2, DTR_PLANNER = 3 };

/* Outcomes.  Zero is success, errors are negative and grouped by the largest thing that broke, so
 * that a caller knows what to rebuild.  Only functions that say so return positive values. */
enum dtr_status {
    DTR_OK = 0,
    DTR_E_CONFIG = -1,      /* the experiment asks for something impossible: tell the user  */
    DTR_E_UNSUPPORTED = -2, /* this plugin cannot do this operation; another may            */
    DTR_E_MEMORY = -3,      /* out of memory                                                */
    DTR_E_SYSTEM = -4,      /* the operating system refused                                 */
    DTR_E_TIMEOUT = -5,     /* the deadline passed; nothing else is wrong                   */
    DTR_E_CANCELLED = -6,   /* the request was cancelled by its owner                       */
    DTR_E_CORRUPT = -7,     /* data arrived that cannot be right                            */
    DTR_E_PEER = -8,        /* one peer is lost: drop it                                    */
    DTR_E_ABORTED = -9,     /* the group was aborted: re-form it                            */
    DTR_E_PLUGIN = -10      /* the plugin broke a promise: close it                         */
};

enum dtr_log_level {
    DTR_LOG_ERROR,
    DTR_LOG_WARN,
    DTR_LOG_INFO,  /* once per run     */
    DTR_LOG_DEBUG, /* once per object  */
    DTR_LOG_TRACE  /* once per message */
};

/* Holds one sentence; written once, by whoever first knows the cause, through dtr_host.fail(). */
struct dtr_error;

/* The services the core lends to one instance of a plugin, valid during probe() and from open()
 * until close() returns.  Every function takes the table it was called from. */
struct dtr_host {
    size_t size; /* sizeof(struct dtr_host) in the core */
    uint32_t abi_major, abi_minor;

    /* Memory aligned to `align` (a power of two); NULL when there is none.  release(NULL) is
     * allowed. */
    void *(*allocate)(const struct dtr_host *host, size_t align, size_t bytes);
    void (*release)(const struct dtr_host *host, void *memory);

    /* A monotonic clock, in nanoseconds, and a sleep until an absolute time on it. */
    uint64_t (*now_ns)(const struct dtr_host *host);
    void (*sleep_until)(const struct dtr_host *host, uint64_t deadline_ns);

    /* Lower case, no full stop, no newline.  Any thread. */
    void (*log)(const struct dtr_host *host, enum dtr_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

    /* Stores the sentence in `error` (which may be NULL) and returns `status`. */
    int (*fail)(struct dtr_error *error, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

    /* Runs body(arg, i) for every i in [0, count) on the device's threads and returns when all
     * have returned.  The caller takes part.  Not from within a body. */
    void (*parallel)(const struct dtr_host *host, void (*body)(void *arg, uint32_t index),
                     void *arg, uint32_t count);
};

/* How the text of a parameter is read and what is stored in the plugin's parameter struct. */
enum dtr_param_type {
    DTR_INT,  /* int64_t                                                                    */
    DTR_REAL, /* double                                                                     */
    DTR_BOOL, /* bool as int32_t: yes | no                                                  */
    DTR_ENUM, /* int32_t, the index of the word in `range`, which is written a|b|c           */
    DTR_SIZE, /* uint64_t, bytes; KiB, MiB, GiB and kB, MB, GB are understood               */
    DTR_TEXT, /* const char *                                                               */
    DTR_PATH, /* const char *, made absolute against the folder of the file that names it   */
    DTR_LIST  /* struct dtr_list, words separated by blanks                                 */
};

struct dtr_list {
    size_t count;
    const char *const *words;
};

/* One INI key.  The core parses, checks, stores, prints and frees it.  A table ends at a row
 * whose key is NULL. */
struct dtr_param {
    const char *key;
    const char *fallback; /* the default, as a user would write it; NULL: the key is required,
                             "" with DTR_TEXT, DTR_PATH, DTR_LIST: empty                    */
    const char *unit;     /* "Mbit/s", "us", or NULL                                        */
    const char *range;    /* "1..65535" (either end may be missing), "a|b|c", or NULL       */
    const char *help;     /* one sentence                                                   */
    uint32_t type;        /* enum dtr_param_type                                            */
    size_t offset;        /* of the value in the plugin's own parameter struct              */
};

struct dtr_plugin;

/* An open plugin. */
struct dtr_instance {
    const struct dtr_plugin *plugin;
    void *self;
};

/* What open() is given. */
struct dtr_open {
    size_t size;                      /* sizeof(struct dtr_open) in the core                 */
    const void *params;               /* the parameter struct; constant, outlives close()    */
    const struct dtr_instance *lower; /* the instance to wrap, with DTR_CAP_WRAPS; else NULL */
    uint32_t threads;                 /* the device's compute threads, at least one          */
    uint32_t device, devices;         /* this device's rank, and how many there are          */
};

/* Capability bits: 0-31 belong to the kind, 32-47 to all kinds, 48-63 to the plugin. */
#define DTR_CAP_WRAPS (UINT64_C(1) << 32) /* is opened over another instance of its kind     */

/* What a plugin says about itself: static, constant, readable without side effects. */
struct dtr_plugin {
    uint32_t abi_major, abi_minor; /* never move: the first eight bytes */
    size_t size;                   /* sizeof(struct dtr_plugin)         */
    uint32_t kind;                 /* enum dtr_kind                     */
    const char *name;              /* [a-z][a-z0-9_]*, the stem of the file */
    const char *version;
    const char *summary; /* one sentence */
    uint64_t caps;       /* each bit is a promise, checked at load */
    const struct dtr_param *params; /* may be NULL: no parameters */
    size_t param_stride;            /* sizeof(struct dtr_param), as built */
    size_t params_size;             /* size of the plugin's parameter struct */

    /* Zero: cannot run here, with the reason in `error`.  Otherwise a score, at least 1; the
     * larger suits this machine better.  May look at the machine, keeps nothing. */
    int (*probe)(const struct dtr_host *host, struct dtr_error *error);

    /* Makes an instance.  On failure nothing is left behind and *self_p is untouched. */
    int (*open)(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                struct dtr_error *error);
    void (*close)(void *self);

    /* struct dtr_kernel_ops, dtr_transport_ops or dtr_planner_ops */
    const void *ops;
};

/* True when the operations table is new enough to hold the member and the member is set. */
#define DTR_HAS(_ops, _type, _member)                                                              \
    ((_ops)->size >= offsetof(_type, _member) + sizeof((_ops)->_member) && (_ops)->_member != NULL)

/* Heads the definition of the one function that a plugin exports:
 *     DTR_PLUGIN_ENTRY { return &my_plugin; }                                                   */
#define DTR_PLUGIN_ENTRY                                                                           \
    __attribute__((visibility("default"))) const struct dtr_plugin *dtr_plugin(void);              \
    const struct dtr_plugin *dtr_plugin(void)

#ifdef __cplusplus
}
#endif

#endif

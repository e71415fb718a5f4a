/* SPDX-License-Identifier: MIT */
#include "library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The fastest first; the last one may be an alias of any of them, or the slow original. */
static const char *const known[] = {"libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2",
                                    "libmkl_rt.so",     "libblis.so.4",   "libcblas.so.3",
                                    "libblas.so.3"};

/* A variable that the library reads while it is loaded.  What the user has set stays. */
struct setting {
    const char *name, *value;
    bool ours;
};

static void apply(struct setting *setting) {
    setting->ours =
        setting->value && !getenv(setting->name) && setenv(setting->name, setting->value, 0) == 0;
}

static void undo(const struct setting *setting) {
    if (setting->ours)
        unsetenv(setting->name);
}

/* What OpenBLAS's kernels for AVX-512 are compiled for; asks CPUID, and whether the system keeps
 * the registers. */
static bool has_avx512(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* POSIX lets dlsym() return functions; C has no cast for it. */
static void *symbol(void *handle, const char *name, void *function_p) {
    void *address = dlsym(handle, name);
    memcpy(function_p, &address, sizeof address);
    return address;
}

/* The device's threads call the library, each for its own columns, so it shall have none itself.
 * True when it is a library that we know. */
static bool use_one_thread(void *handle) {
    void (*set_int)(int);
    void (*set_long)(long);
    if (symbol(handle, "openblas_set_num_threads", &set_int) ||
        symbol(handle, "MKL_Set_Num_Threads", &set_int)) {
        set_int(1);
        return true;
    }
    if (symbol(handle, "bli_thread_set_num_threads", &set_long)) {
        set_long(1);
        return true;
    }
    return false;
}

/* Says which kernels OpenBLAS took.  It may have been loaded before us, with others. */
static void report_core(const struct dtr_host *host, const char *name, void *handle) {
    char *(*corename)(void);
    if (!symbol(handle, "openblas_get_corename", &corename))
        return;
    const char *core = corename();
    const bool slow = has_avx512() && !getenv("OPENBLAS_CORETYPE") &&
                      (!strcmp(core, "Haswell") || !strcmp(core, "Zen"));
    if (slow)
        host->log(host, DTR_LOG_WARN, "%s runs its kernels for %s although there is AVX-512", name,
                  core);
    else
        host->log(host, DTR_LOG_DEBUG, "%s runs its kernels for %s", name, core);
}

static void *load(const char *name) {
    /* OpenBLAS 0.3.21 takes processors that it does not know for Haswell, which halves its speed
     * where there is AVX-512, and starts a thread for each core. */
    struct setting settings[] = {
        {.name = "OPENBLAS_CORETYPE", .value = has_avx512() ? "SKYLAKEX" : NULL},
        {.name = "OPENBLAS_NUM_THREADS", .value = "1"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        apply(&settings[i]);
    /* Unloading OpenBLAS has crashed and hung; NODELETE makes dlclose() harmless. */
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        undo(&settings[i]);
    return handle;
}

static int try_library(const struct dtr_host *host, const char *name,
                       struct blas_library *library) {
    void *handle = load(name);
    if (!handle)
        return DTR_E_SYSTEM;
    blas_sgemm_fn *sgemm;
    if (!symbol(handle, "cblas_sgemm", &sgemm)) {
        dlclose(handle);
        return DTR_E_UNSUPPORTED;
    }
    *library =
        (struct blas_library){.handle = handle, .sgemm = sgemm, .tuned = use_one_thread(handle)};
    report_core(host, name, handle);
    return DTR_OK;
}

int blas_library_open(const struct dtr_host *host, const char *name, struct blas_library *library,
                      struct dtr_error *error) {
    if (*name) {
        const int status = try_library(host, name, library);
        if (status == DTR_E_UNSUPPORTED)
            return host->fail(error, DTR_E_CONFIG, "the library %s has no function cblas_sgemm",
                              name);
        if (status) {
            const char *reason = dlerror();
            return host->fail(error, DTR_E_CONFIG, "cannot load the BLAS library %s: %s", name,
                              reason ? reason : "unknown reason");
        }
        return DTR_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (try_library(host, known[i], library) == DTR_OK)
            return DTR_OK;
    return host->fail(error, DTR_E_UNSUPPORTED,
                      "there is no BLAS library with a C interface (OpenBLAS is in Debian's "
                      "package libopenblas0)");
}

void blas_library_close(struct blas_library *library) {
    dlclose(library->handle);
}

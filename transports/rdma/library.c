/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "rdma/library.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

static const char name[] = "libfabric.so.1";

/* Signals stay the program's: the constructor of libinfinipath installs handlers that end the
 * process in a way of their own. */
static void *load(void) {
    struct sigaction kept[NSIG];
    bool known[NSIG] = {false};
    for (int i = 1; i < NSIG; i++)
        known[i] = !sigaction(i, NULL, &kept[i]);
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (int i = 1; i < NSIG; i++)
        if (known[i])
            sigaction(i, &kept[i], NULL);
    return handle;
}

/* Into the function pointer at `function_p`; ISO C does not convert between the two. */
static bool find(void *handle, const char *symbol, void *function_p) {
    void *found = dlsym(handle, symbol);
    memcpy(function_p, &found, sizeof found);
    return found != NULL;
}

int fabric_library_open(const struct dtr_host *host, struct fabric_library *library,
                        struct dtr_error *error) {
    void *handle = load();
    if (handle && find(handle, "fi_getinfo", &library->getinfo) &&
        find(handle, "fi_freeinfo", &library->freeinfo) &&
        find(handle, "fi_dupinfo", &library->dupinfo) &&
        find(handle, "fi_fabric", &library->fabric) &&
        find(handle, "fi_strerror", &library->strerror))
        return DTR_OK;
    const char *cause = dlerror();
    return host->fail(error, DTR_E_UNSUPPORTED,
                      "cannot load libfabric (in Debian's package libfabric1): %s",
                      cause ? cause : "unknown reason");
}

/* SPDX-License-Identifier: MIT */
#include "plugin/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"

#define NS_PER_S UINT64_C(1000000000)

static const struct dtr_services *services_of(const struct dtr_host *host) {
    return (const struct dtr_services *)host;
}

static void *host_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    (void)host;
    void *memory;
    if (align < sizeof(void *))
        align = sizeof(void *);
    return posix_memalign(&memory, align, bytes ? bytes : 1) ? NULL : memory;
}

static void host_release(const struct dtr_host *host, void *memory) {
    (void)host;
    free(memory);
}

static uint64_t host_now_ns(const struct dtr_host *host) {
    (void)host;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void host_sleep_until(const struct dtr_host *host, uint64_t deadline_ns) {
    (void)host;
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                   .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

__attribute__((format(printf, 3, 4))) static void
host_log(const struct dtr_host *host, enum dtr_log_level level, const char *format, ...) {
    const struct dtr_services *services = services_of(host);
    if (!services->log || level > services->log->level)
        return;
    const int saved = errno;
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dtr_log(services->log, level, "%s: %s", services->who, text);
    errno = saved;
}

static void host_parallel(const struct dtr_host *host, void (*body)(void *arg, uint32_t index),
                          void *arg, uint32_t count) {
    struct dtr_pool *pool = services_of(host)->pool;
    if (pool) {
        dtr_pool_run(pool, body, arg, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        body(arg, i);
}

void dtr_services_init(struct dtr_services *services, const char *who, const struct dtr_log *log,
                       struct dtr_pool *pool) {
    *services = (struct dtr_services){
        .host = {.size = sizeof(struct dtr_host),
                 .abi_major = DTR_ABI_MAJOR,
                 .abi_minor = DTR_ABI_MINOR,
                 .allocate = host_allocate,
                 .release = host_release,
                 .now_ns = host_now_ns,
                 .sleep_until = host_sleep_until,
                 .log = host_log,
                 .fail = dtr_fail,
                 .parallel = host_parallel},
        .who = who,
        .log = log,
        .pool = pool,
    };
}

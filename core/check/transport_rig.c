/* SPDX-License-Identifier: MIT */
#include "check/transport_rig.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE (30 * CREW_NS)
#define JOIN_SECONDS 30.0
#define JOIN_SECONDS_FAULTS 3.0

void dtr_pause_ns(long ns) {
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* --- the transport of one member --- */

static void *counting_allocate(const struct dtr_host *host, size_t align, size_t bytes) {
    struct member_host *counting = (struct member_host *)(uintptr_t)host;
    void *memory = NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, bytes ? bytes : 1))
        return NULL;
    atomic_fetch_add(&counting->allocations, 1);
    atomic_fetch_add(&counting->live, 1);
    return memory;
}

static void counting_release(const struct dtr_host *host, void *memory) {
    struct member_host *counting = (struct member_host *)(uintptr_t)host;
    if (memory)
        atomic_fetch_sub(&counting->live, 1);
    free(memory);
}

static int open_one(struct member *member, uint32_t index, struct dtr_error *error) {
    const struct dtr_chain *chain = member->chain;
    const struct dtr_plugin *plugin = chain->plugin[index];
    struct member_host *host = &member->host[member->count];
    dtr_services_init(&host->services, plugin->name, &member->crew->log, NULL);
    host->services.host.allocate = counting_allocate;
    host->services.host.release = counting_release;
    atomic_init(&host->allocations, 0);
    atomic_init(&host->live, 0);
    const struct dtr_open how = {.size = sizeof how,
                                 .params = chain->params[index],
                                 .lower =
                                     member->count ? &member->instance[member->count - 1] : NULL,
                                 .threads = 1,
                                 .device = member->device,
                                 .devices = member->devices};
    void *self = NULL;
    const int status = plugin->open(&host->services.host, &how, &self, error);
    if (status)
        return dtr_fail(error, status, "it does not open and does not say why");
    member->instance[member->count++] = (struct dtr_instance){.plugin = plugin, .self = self};
    return DTR_OK;
}

static void member_open(struct member *member) {
    struct dtr_error error = {.status = DTR_OK};
    for (uint32_t i = member->chain->count; i-- > 0;)
        dtr_member_must(member, !open_one(member, i, &error), "open(): %s", error.text);
    member->ops = member->chain->plugin[0]->ops;
    member->self = member->instance[member->count - 1].self;
    char *address = member->crew->address[member->device];
    const int status =
        member->ops->address(member->self, "127.0.0.1", address, DTR_ADDRESS_MAX, &error);
    dtr_member_must(member, !status, "address(): %s", error.text);
    const size_t length = strnlen(address, DTR_ADDRESS_MAX);
    dtr_member_must(member, length > 0 && length < DTR_ADDRESS_MAX, "address() gave no text");
    for (size_t i = 0; i < length; i++)
        dtr_member_must(member, address[i] > ' ' && address[i] < 127,
                        "address() gave text with a blank or a character that does not print");
}

static void member_close(struct member *member) {
    for (uint32_t i = member->count; i-- > 0;)
        member->instance[i].plugin->close(member->instance[i].self);
    for (uint32_t i = 0; i < member->count; i++) {
        const int64_t live = (int64_t)atomic_load(&member->host[i].live);
        dtr_member_must(member, live == 0, "close() left %lld pieces of memory", (long long)live);
    }
}

static uint32_t descriptors(void) {
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* --- members --- */

struct member_memory {
    struct member_memory *next;
    max_align_t data[];
};

static void member_end(struct member *member) __attribute__((noreturn));
static void member_end(struct member *member) {
    const bool launched = member->launched;
    member_close(member);
    const uint32_t after = descriptors();
    dtr_member_must(member, launched || after <= member->descriptors,
                    "close() left %u file descriptors", after - member->descriptors);
    while (member->memory) {
        struct member_memory *memory = member->memory;
        member->memory = memory->next;
        free(memory);
    }
    free(member);
    /* A library that launched the process has to hear of its end. */
    if (launched)
        exit(0);
    _exit(0);
}

void dtr_member_main(struct crew *crew, const struct dtr_chain *chain, uint32_t device,
                     bool launched, member_fn body) {
    struct member *member = calloc(1, sizeof *member);
    if (!member)
        _exit(CREW_BROKEN);
    member->crew = crew;
    member->chain = chain;
    member->launched = launched;
    member->device = device;
    member->devices = crew->devices;
    for (uint32_t i = 0; i < crew->devices; i++)
        member->addresses[i] = crew->address[i];
    member->descriptors = descriptors();
    member_open(member);
    dtr_member_meet(member, false);
    body(member);
    member_end(member);
}

static void member_break(struct member *member, const char *format, va_list args) {
    struct crew *crew = member->crew;
    if (!atomic_exchange(&crew->broken, 1)) {
        const int used = snprintf(crew->why, sizeof crew->why, "device %u: ", member->device);
        vsnprintf(crew->why + used, sizeof crew->why - (size_t)used, format, args);
    }
    _exit(CREW_BROKEN);
}

void dtr_member_must(struct member *member, bool good, const char *format, ...) {
    if (good)
        return;
    va_list args;
    va_start(args, format);
    member_break(member, format, args);
    va_end(args);
}

/* A device that meets a fault ends here and now, without going back: the transport may hold
 * buffers that are on the stack of the case. */
void dtr_member_expect(struct member *member, bool good, const char *format, ...) {
    if (good)
        return;
    if (member->crew->faults) {
        atomic_store(&member->crew->gave_up, 1);
        if (member->joined)
            dtr_member_leave(member);
        member_end(member);
    }
    va_list args;
    va_start(args, format);
    member_break(member, format, args);
    va_end(args);
}

void dtr_member_meet(struct member *member, bool joined) {
    struct crew *crew = member->crew;
    const uint32_t alive = member->devices - (atomic_load(&crew->victim) >= 0);
    const uint64_t end = dtr_member_now(member) + PATIENCE;
    atomic_fetch_add(&crew->arrived, 1);
    member->meetings += alive;
    while (atomic_load(&crew->arrived) < member->meetings) {
        if (joined)
            member->ops->wait(member->self, 0);
        dtr_pause_ns(200000);
        dtr_member_expect(member, !atomic_load(&crew->gave_up), "another gave up");
        dtr_member_must(member, dtr_member_now(member) < end, "the others do not come");
    }
}

void dtr_member_die(struct member *member) {
    atomic_store(&member->crew->victim, (int)member->device);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

uint64_t dtr_member_now(const struct member *member) {
    (void)member;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CREW_NS + (uint64_t)now.tv_nsec;
}

uint64_t dtr_member_allocations(const struct member *member) {
    uint64_t allocations = 0;
    for (uint32_t i = 0; i < member->count; i++)
        allocations += atomic_load(&member->host[i].allocations);
    return allocations;
}

int dtr_member_join(struct member *member, uint64_t epoch, double seconds,
                    struct dtr_error *error) {
    static const uint8_t key[32] = "a key that only this group holds";
    member->group = (struct dtr_group){.size = sizeof member->group,
                                       .devices = member->devices,
                                       .device = member->device,
                                       .addresses = member->addresses,
                                       .epoch = epoch,
                                       .key = member->key ? member->key : key};
    const uint64_t deadline = dtr_member_now(member) + (uint64_t)(seconds * (double)CREW_NS);
    const int status = member->ops->join(member->self, &member->group, deadline, error);
    member->joined = !status;
    return status;
}

void dtr_member_join_all(struct member *member, uint64_t epoch) {
    struct dtr_error error = {.status = DTR_OK};
    const double seconds = member->crew->faults ? JOIN_SECONDS_FAULTS : JOIN_SECONDS;
    const int status = dtr_member_join(member, epoch, seconds, &error);
    dtr_member_expect(member, !status, "join() returned %d: %s", status, error.text);
}

void dtr_member_leave(struct member *member) {
    member->joined = false;
    member->ops->leave(member->self);
}

struct dtr_transfer *dtr_member_send(struct member *member, uint32_t peer, uint32_t tag,
                                    const void *buffer, size_t bytes) {
    struct dtr_transfer *request = NULL;
    const int status = member->ops->isend(member->self, peer, tag, buffer, bytes, &request);
    dtr_member_expect(member, !status, "isend() of %zu bytes to device %u returned %d", bytes, peer,
                      status);
    return request;
}

struct dtr_transfer *dtr_member_receive(struct member *member, uint32_t peer, uint32_t tag,
                                       void *buffer, size_t bytes) {
    struct dtr_transfer *request = NULL;
    const int status = member->ops->irecv(member->self, peer, tag, buffer, bytes, &request);
    dtr_member_expect(member, !status, "irecv() of %zu bytes from device %u returned %d", bytes,
                      peer, status);
    return request;
}

/* What may become of a request when the network is to blame. */
static bool is_clean(int status) {
    return status == 1 || status == DTR_E_PEER || status == DTR_E_ABORTED ||
           status == DTR_E_CORRUPT;
}

int dtr_member_finish(struct member *member, struct dtr_transfer *request, size_t *bytes_p) {
    const uint64_t end = dtr_member_now(member) + PATIENCE;
    for (;;) {
        const int done = member->ops->test(member->self, request, bytes_p);
        if (done) {
            dtr_member_must(member, is_clean(done), "a request ended with %d", done);
            return done;
        }
        const int status = member->ops->wait(member->self, end);
        dtr_member_must(member, status != DTR_E_TIMEOUT, "a request is not done after 30 seconds");
        dtr_member_must(member, !status || status == DTR_E_ABORTED, "wait() returned %d", status);
    }
}

void dtr_member_sent(struct member *member, struct dtr_transfer *request) {
    const int status = dtr_member_finish(member, request, NULL);
    dtr_member_expect(member, status == 1, "sending failed with %d", status);
}

void dtr_member_received(struct member *member, struct dtr_transfer *request, size_t bytes) {
    size_t got = SIZE_MAX;
    const int status = dtr_member_finish(member, request, &got);
    dtr_member_expect(member, status == 1, "receiving failed with %d", status);
    dtr_member_expect(member, got == bytes, "received %zu bytes for a message of %zu", got, bytes);
}

/* --- contents --- */

void *dtr_member_memory(struct member *member, size_t bytes) {
    struct member_memory *memory = malloc(sizeof *memory + bytes + 1);
    dtr_member_must(member, memory != NULL, "out of memory");
    memory->next = member->memory;
    member->memory = memory;
    return memory->data;
}

static uint8_t content(uint64_t seed, size_t at) {
    return (uint8_t)(seed * 31 + at * 7 + (at >> 8) * 13 + (at >> 16) * 5);
}

void dtr_member_fill(void *buffer, size_t bytes, uint64_t seed) {
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buffer)[i] = content(seed, i);
}

void dtr_member_verify(struct member *member, const void *buffer, size_t bytes, uint64_t seed) {
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)buffer)[i] != content(seed, i))
            dtr_member_must(member, false, "byte %zu of %zu is wrong", i, bytes);
}

/* SPDX-License-Identifier: MIT
 *
 * transport_crew.c -- the parent of the processes of a case: it starts them, as its own children or
 * through the launcher of the transport, waits for them, and says what came of it.
 */
#include "config.h"

#include "check/transport_rig.h"
#include "plugin/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 90 /* only a case that hangs takes so long */
#define GRACE_MS 2000   /* for a launcher to end what it started */

/* A crew under way. */
struct watch {
    struct crew *crew;
    uint32_t processes;
    pid_t pid[CREW_MAX];
    bool launched; /* one process, the launcher, which leads a group of its own */
    char text[100];
};

static const char *verdict(struct watch *watch, uint32_t device, int state) {
    struct crew *crew = watch->crew;
    if (WIFEXITED(state) && !WEXITSTATUS(state))
        return NULL;
    if (WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL &&
        atomic_load(&crew->victim) == (int)device)
        return NULL;
    if (atomic_load(&crew->broken))
        return crew->why;
    const char *who = watch->launched ? "the launcher" : "device";
    if (WIFSIGNALED(state))
        snprintf(watch->text, sizeof watch->text, "%s %u: ended by signal %d", who, device,
                 WTERMSIG(state));
    else
        snprintf(watch->text, sizeof watch->text, "%s %u: exit status %d", who, device,
                 WEXITSTATUS(state));
    return watch->text;
}

static void end_all(const struct watch *watch, int signal) {
    for (uint32_t i = 0; i < watch->processes; i++)
        if (watch->pid[i])
            kill(watch->launched ? -watch->pid[i] : watch->pid[i], signal);
}

/* Waits for all; the first that fails, or the limit, ends the others. */
static const char *reap(struct watch *watch) {
    const char *why = NULL;
    uint64_t ended = 0;
    uint32_t left = watch->processes;
    for (uint64_t ms = 0; left; ms++) {
        for (uint32_t i = 0; i < watch->processes; i++) {
            int state;
            if (!watch->pid[i] || waitpid(watch->pid[i], &state, WNOHANG) != watch->pid[i])
                continue;
            watch->pid[i] = 0;
            left--;
            if (!why)
                why = verdict(watch, i, state);
        }
        if (!why && ms >= (uint64_t)CASE_SECONDS * 1000)
            why = "it hangs";
        if (why && !ended) {
            end_all(watch, watch->launched ? SIGTERM : SIGKILL);
            ended = ms + 1;
        }
        if (ended && ms == ended + GRACE_MS)
            end_all(watch, SIGKILL);
        if (left)
            dtr_pause_ns(1000000);
    }
    return why;
}

/* --- children --- */

static void child_main(struct crew *crew, const struct crew_order *order, uint32_t device,
                       pid_t parent, member_fn body) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        dtr_member_main(crew, order->chain, device, false, body);
    _exit(0);
}

static const char *start_children(struct watch *watch, const struct crew_order *order,
                                  member_fn body) {
    const pid_t parent = getpid();
    while (watch->processes < watch->crew->devices) {
        const uint32_t device = watch->processes;
        const pid_t pid = fork();
        if (!pid)
            child_main(watch->crew, order, device, parent, body);
        if (pid < 0)
            return strerror(errno);
        watch->pid[watch->processes++] = pid;
    }
    return NULL;
}

/* --- a launcher --- */

/* The launcher, how many, and this program as it was called, with the way to the crew's memory. */
static void launcher_main(const struct crew_order *order, uint32_t devices, int fd, pid_t parent) {
    enum { WORDS = 64 };
    char script[512], program[512], path[64];
    char *words[WORDS + 8] = {(char[]){"sh"}, (char[]){"-c"}, script, (char[]){"sh"}, program};
    size_t count = 5;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (getppid() != parent || length < 0)
        _exit(CREW_BROKEN);
    program[length] = '\0';
    snprintf(script, sizeof script, "exec %s %u \"$@\"", order->launch, devices);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)parent, fd);
    for (size_t i = 1; order->argv[i] && count < WORDS; i++)
        words[count++] = order->argv[i];
    words[count++] = (char[]){"--member"};
    words[count] = path;
    execv("/bin/sh", words);
    _exit(CREW_BROKEN);
}

static const char *start_launcher(struct watch *watch, const struct crew_order *order, int fd) {
    const pid_t parent = getpid(), pid = fork();
    if (!pid)
        launcher_main(order, watch->crew->devices, fd, parent);
    if (pid < 0)
        return strerror(errno);
    watch->launched = true;
    watch->pid[watch->processes++] = pid;
    return NULL;
}

int dtr_crew_member(const struct dtr_chain *chain, const char *path, struct dtr_error *error) {
    const struct dtr_transport_ops *ops = chain->plugin[0]->ops;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct crew *crew = MAP_FAILED;
    if (fd >= 0)
        crew = mmap(NULL, sizeof *crew, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (crew == MAP_FAILED)
        return dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    close(fd);
    struct dtr_open_chain *open_chain;
    uint32_t rank = 0, size = 0;
    int status = dtr_chain_open(chain, &crew->log, 1, 0, 1, &open_chain, error);
    if (status)
        return status;
    if (chain->plugin[0]->caps & DTR_CAP_LAUNCH)
        status = ops->world(dtr_chain_top(open_chain)->self, &rank, &size, error);
    dtr_chain_close(open_chain);
    if (status)
        return status;
    if (size != crew->devices)
        return dtr_fail(error, DTR_E_PLUGIN, "world() says %u processes, there are %u", size,
                        crew->devices);
    const struct transport_case *one = dtr_transport_case(crew->case_index);
    if (!one)
        return dtr_fail(error, DTR_E_CONFIG, "%s: there is no such case", path);
    dtr_member_main(crew, chain, rank, true, one->body);
    return DTR_OK;
}

/* --- both --- */

static const char *run(struct crew *crew, const struct crew_order *order, int fd, member_fn body,
                       char *text, size_t bytes) {
    struct watch watch = {.crew = crew};
    fflush(NULL);
    const char *failed =
        order->launch ? start_launcher(&watch, order, fd) : start_children(&watch, order, body);
    if (failed)
        end_all(&watch, SIGKILL);
    const char *why = reap(&watch);
    if (failed)
        why = failed;
    if (!why)
        return NULL;
    snprintf(text, bytes, "%s", why);
    return text;
}

void dtr_crew_run(const struct crew_order *order, uint32_t devices, uint32_t index) {
    const struct transport_case *one = dtr_transport_case(index);
    char text[sizeof((struct crew *)NULL)->why];
    struct crew *crew = MAP_FAILED;
    const int fd = memfd_create("detransformer-check", MFD_CLOEXEC);
    if (fd >= 0 && !ftruncate(fd, sizeof *crew))
        crew = mmap(NULL, sizeof *crew, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const char *why = strerror(errno);
    if (crew != MAP_FAILED) {
        crew->faults = order->faults;
        crew->log = (struct dtr_log){.fd = STDERR_FILENO};
        /* Peers are lost here on purpose. */
        if (order->log && order->log->level > DTR_LOG_WARN)
            crew->log.level = order->log->level;
        crew->devices = devices;
        crew->case_index = index;
        atomic_store(&crew->victim, -1);
        why = run(crew, order, fd, one->body, text, sizeof text);
        munmap(crew, sizeof *crew);
    }
    if (fd >= 0)
        close(fd);
    dtr_check_case(order->check, why, "%s, %u devices", one->name, devices);
}

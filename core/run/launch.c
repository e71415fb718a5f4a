/* SPDX-License-Identifier: MIT */
#include "run/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* --- a process on this machine ---------------------------------------------------------------- */

/* In the new process until exec: only what is safe after fork(). */
static void become_worker(const char *program, int fd, const char *plugin_path, pid_t leader) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The leader may have gone before the line above. */
    if (getppid() != leader || fcntl(fd, F_SETFD, 0) < 0)
        _exit(127);
    if (plugin_path)
        execl(program, "detransformer", "worker", "--control", number, "--plugin-path", plugin_path,
              (char *)NULL);
    else
        execl(program, "detransformer", "worker", "--control", number, (char *)NULL);
    _exit(127);
}

/* Starts this program again as `detransformer worker --control N`. */
static int start_process(const char *plugin_path, struct dtr_worker_process *process,
                         struct dtr_error *error) {
    char program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot find this program's file: %s",
                        strerror(errno));
    program[length] = '\0';
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot make a socket pair: %s", strerror(errno));
    const pid_t leader = getpid(), pid = fork();
    if (pid == 0)
        become_worker(program, ends[1], plugin_path, leader);
    const int failure = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start a process: %s", strerror(failure));
    }
    *process = (struct dtr_worker_process){pid, ends[0]};
    return DTR_OK;
}

/* --- which way -------------------------------------------------------------------------------- */

static bool is(const struct dtr_experiment *experiment, const char *launch) {
    return strcmp(experiment->launch, launch) == 0;
}

/* In a world every process is a device, and every device one of its processes. */
static int check_world(const struct dtr_world *world, const struct dtr_experiment *experiment,
                       struct dtr_error *error) {
    const char *name = dtr_world_launcher(world);
    const uint32_t size = dtr_world_size(world);
    if (!is(experiment, name))
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: [cluster] launch: '%s' has started this program as %u processes, "
                        "which launch = %s does not use",
                        dtr_experiment_origin(experiment, "cluster", "launch"), name, size,
                        experiment->launch);
    if (size != experiment->devices)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: [cluster] devices: %u are asked for, but '%s' has started %u "
                        "processes",
                        dtr_experiment_origin(experiment, "cluster", "devices"),
                        experiment->devices, name, size);
    return DTR_OK;
}

int dtr_launch_check(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                     struct dtr_error *error) {
    if (launch->world)
        return check_world(launch->world, experiment, error);
    if (experiment->devices < 2 || !is(experiment, "remote"))
        return DTR_OK;
    return dtr_fail(error, DTR_E_CONFIG,
                    "%s: [cluster] launch: 'remote' is not known to `run`, which starts its "
                    "workers on this machine (launch = local)",
                    dtr_experiment_origin(experiment, "cluster", "launch"));
}

static int call_rank(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                     uint32_t device, uint64_t deadline_ns, struct dtr_worker_process *process,
                     struct dtr_error *error) {
    int fd;
    if (!launch->world)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: [cluster] launch: '%s' has not started this program as %u processes; "
                        "see detransformer-%s(7)",
                        dtr_experiment_origin(experiment, "cluster", "launch"), experiment->launch,
                        experiment->devices, experiment->launch);
    const int status = dtr_world_call(launch->world, device, deadline_ns, &fd, error);
    if (!status)
        *process = (struct dtr_worker_process){.fd = fd};
    return status;
}

int dtr_launch_worker(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                      uint32_t device, uint64_t deadline_ns, struct dtr_worker_process *process,
                      struct dtr_error *error) {
    return is(experiment, "local")
               ? start_process(launch->plugin_path, process, error)
               : call_rank(launch, experiment, device, deadline_ns, process, error);
}

/* --- the end ---------------------------------------------------------------------------------- */

void dtr_launch_reap(pid_t pid, uint64_t deadline_ns, char *how, size_t bytes) {
    const struct timespec moment = {.tv_nsec = 2000000};
    bool killed = false;
    int status;
    pid_t got;
    how[0] = '\0';
    while ((got = waitpid(pid, &status, killed ? 0 : WNOHANG)) != pid) {
        if (got < 0 && errno != EINTR)
            return;
        if (!killed && dtr_now_ns() >= deadline_ns) {
            kill(pid, SIGKILL);
            killed = true;
        } else if (!killed) {
            nanosleep(&moment, NULL);
        }
    }
    if (killed)
        snprintf(how, bytes, "did not end and was killed");
    else if (WIFSIGNALED(status))
        snprintf(how, bytes, "was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(how, bytes, "ended with status %d", WEXITSTATUS(status));
}

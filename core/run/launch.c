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

int dtr_launch_local(const char *plugin_path, struct dtr_worker_process *process,
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

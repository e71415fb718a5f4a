/* SPDX-License-Identifier: MIT */
#include "run/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "run/handshake.h"
#include "run/key.h"
#include "run/stream.h"

/* --- a process on this machine ---------------------------------------------------------------- */

enum { ARGUMENTS = 24 };

/* In the new process until exec: only what is safe after fork(). */
static void become_worker(const char *program, const char *const *arguments, int fd, int keys,
                          pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have gone before the line above. */
    if (getppid() != parent || fcntl(fd, F_SETFD, 0) < 0 ||
        (keys >= 0 && fcntl(keys, F_SETFD, 0) < 0) || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        _exit(127);
    execv(program, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static int start_child(const char *const *arguments, int fd, int keys, pid_t *pid_p,
                       struct dtr_error *error) {
    char program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot find this program's file: %s",
                        strerror(errno));
    program[length] = '\0';
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_worker(program, arguments, fd, keys, parent);
    if (pid < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start a process: %s", strerror(errno));
    *pid_p = pid;
    return DTR_OK;
}

/* They wait in a pipe, which has room for them: nobody else can look into that. */
static int make_keys_pipe(const struct dtr_channel_keys *keys, int *fd_p, struct dtr_error *error) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot make a pipe: %s", strerror(errno));
    const bool written = write(ends[1], keys, sizeof *keys) == sizeof *keys;
    close(ends[1]);
    if (!written) {
        close(ends[0]);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot write to a pipe: %s", strerror(errno));
    }
    *fd_p = ends[0];
    return DTR_OK;
}

int dtr_launch_read_keys(int fd, struct dtr_channel_keys *keys, struct dtr_error *error) {
    const bool whole = read(fd, keys, sizeof *keys) == sizeof *keys;
    close(fd);
    return whole ? DTR_OK
                 : dtr_fail(error, DTR_E_CONFIG, "no keys can be read at descriptor %d", fd);
}

int dtr_launch_child(int fd, const struct dtr_channel_keys *keys, const char *const *more,
                     pid_t *pid_p, struct dtr_error *error) {
    char control[16], secret[16];
    int keys_fd = -1;
    const char *arguments[ARGUMENTS] = {"detransformer", "worker", "--control", control};
    size_t count = 4;
    int status = keys ? make_keys_pipe(keys, &keys_fd, error) : DTR_OK;
    if (status)
        return status;
    snprintf(control, sizeof control, "%d", fd);
    snprintf(secret, sizeof secret, "%d", keys_fd);
    if (keys) {
        arguments[count++] = "--keys";
        arguments[count++] = secret;
    }
    while (*more && count < ARGUMENTS - 1)
        arguments[count++] = *more++;
    status = start_child(arguments, fd, keys_fd, pid_p, error);
    if (keys_fd >= 0)
        close(keys_fd);
    return status;
}

static int start_local(const struct dtr_launch *launch, struct dtr_worker_process *worker,
                       struct dtr_error *error) {
    const char *const more[] = {launch->plugin_path ? "--plugin-path" : NULL, launch->plugin_path,
                                NULL};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "cannot make a socket pair: %s", strerror(errno));
    const int status = dtr_launch_child(ends[1], NULL, more, &worker->pid, error);
    close(ends[1]);
    if (status)
        close(ends[0]);
    else
        worker->fd = ends[0];
    return status;
}

/* --- a process that listens elsewhere --------------------------------------------------------- */

/* For a connection and the handshake on it. */
enum { REACH_S = 5 };

struct call {
    const char *address;
    uint8_t key[DTR_KEY_BYTES];
    bool has_key;
    uint64_t deadline_ns;
};

/* A worker with another key says nothing: it cannot be told from a stranger. */
static int hung_up(const struct call *call, struct dtr_error *error) {
    if (call->has_key)
        return dtr_fail(error, DTR_E_PEER,
                        "the worker at %s hung up on this leader: its key is another, or it is no "
                        "worker",
                        call->address);
    return dtr_fail(error, DTR_E_PEER,
                    "the worker at %s hung up on this leader, which was given no [cluster] "
                    "key_file: it has one, or it is no worker",
                    call->address);
}

static int confirm_to(const struct call *call, struct dtr_handshake *handshake,
                      const uint8_t answer[DTR_ANSWER_BYTES], uint8_t confirm[DTR_CONFIRM_BYTES],
                      struct dtr_channel_keys *keys, struct dtr_error *error) {
    struct dtr_error cause = {0};
    const int status = dtr_handshake_confirm(handshake, answer, confirm, keys, &cause);
    if (status == DTR_E_PEER)
        return dtr_fail(error, status, "what listens at %s is no worker, or of another version%s",
                        call->address, call->has_key ? ", or holds another key" : "");
    return status ? dtr_fail(error, status, "the worker at %s: %s", call->address, cause.text)
                  : DTR_OK;
}

static int shake_hands(const struct call *call, struct dtr_worker_process *worker,
                       struct dtr_error *error) {
    struct dtr_handshake handshake;
    uint8_t hello[DTR_HELLO_BYTES], answer[DTR_ANSWER_BYTES], confirm[DTR_CONFIRM_BYTES];
    dtr_handshake_call(&handshake, call->key, hello);
    int status = dtr_stream_send(worker->fd, hello, sizeof hello, call->deadline_ns);
    if (!status)
        status = dtr_stream_receive(worker->fd, answer, sizeof answer, call->deadline_ns);
    if (status == DTR_E_TIMEOUT)
        dtr_fail(error, DTR_E_PEER, "what listens at %s does not answer; is it a worker?",
                 call->address);
    else if (status)
        hung_up(call, error);
    else
        status = confirm_to(call, &handshake, answer, confirm, &worker->keys, error);
    if (!status && dtr_stream_send(worker->fd, confirm, sizeof confirm, call->deadline_ns))
        status = dtr_fail(error, DTR_E_PEER, "the worker at %s hung up", call->address);
    dtr_handshake_wipe(&handshake);
    worker->sealed = true;
    return status;
}

static int reach(const struct call *call, struct dtr_worker_process *worker,
                 struct dtr_error *error) {
    struct dtr_error cause = {0};
    int status = dtr_stream_connect(call->address, call->deadline_ns, &worker->fd, &cause);
    if (status)
        return dtr_fail(error, status, "the worker at %s %s", call->address, cause.text);
    dtr_stream_tune(worker->fd);
    status = shake_hands(call, worker, error);
    /* Nobody waits on it but the channel, whose sending blocks. */
    if (!status && fcntl(worker->fd, F_SETFL, 0) < 0)
        status =
            dtr_fail(error, DTR_E_SYSTEM, "the worker at %s: %s", call->address, strerror(errno));
    if (status)
        close(worker->fd);
    return status;
}

static int call_worker(const struct dtr_launch *launch, const struct dtr_experiment *experiment,
                       uint32_t device, struct dtr_worker_process *worker,
                       struct dtr_error *error) {
    struct call call = {
        .address = experiment->addresses.words[device - 1],
        .has_key = experiment->key_file,
        .deadline_ns = dtr_now_ns() + REACH_S * DTR_SECOND_NS,
    };
    struct dtr_error cause = {0};
    /* It is read for every device, and warned of once. */
    int status =
        dtr_key_read(experiment->key_file, device == 1 ? launch->log : NULL, call.key, &cause);
    if (status)
        return dtr_fail(error, status, "%s: [cluster] key_file: %s",
                        dtr_experiment_origin(experiment, "cluster", "key_file"), cause.text);
    status = reach(&call, worker, &cause);
    sodium_memzero(call.key, sizeof call.key);
    if (!status)
        return DTR_OK;
    /* Nothing of it is another device's fault: not DTR_E_PEER. */
    return dtr_fail(error, cause.status == DTR_E_CONFIG ? DTR_E_CONFIG : DTR_E_SYSTEM,
                    "device %u: %s", device, cause.text);
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
    return DTR_OK;
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
    struct dtr_worker_process started = {.fd = -1};
    int status;
    if (is(experiment, "local"))
        status = start_local(launch, &started, error);
    else if (is(experiment, "remote"))
        status = call_worker(launch, experiment, device, &started, error);
    else
        status = call_rank(launch, experiment, device, deadline_ns, &started, error);
    if (!status)
        *process = started;
    sodium_memzero(&started, sizeof started);
    return status;
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

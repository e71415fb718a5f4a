/* SPDX-License-Identifier: MIT
 *
 * One thread and one poll.  A connection has a few seconds and the fixed bytes of a handshake; when
 * strangers hold all places, the oldest gives way, so that a leader needs no more than luck for the
 * time of two round trips.
 */
#include "run/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "run/frame.h"
#include "run/handshake.h"
#include "run/launch.h"
#include "run/message.h"
#include "run/protocol.h"
#include "run/stream.h"

enum { GUESTS = 64, ACCEPTS = 64, FIXED = 3 };

#define HANDSHAKE_NS (3 * DTR_SECOND_NS)
/* A leader that begins at once after another: the other's session is still ending. */
#define OVERLAP_NS DTR_SECOND_NS
/* For a session whose leader is gone, and for one that is told to end. */
#define GRACE_NS (3 * DTR_SECOND_NS)
/* Between two lines about strangers. */
#define COUNT_NS (10 * DTR_SECOND_NS)

enum phase { FREE, HELLO, CONFIRM, READY };

/* A connection that is no session yet. */
struct guest {
    enum phase phase;
    int fd;
    uint64_t deadline_ns;
    struct dtr_handshake handshake;
    struct dtr_channel_keys keys;
    uint8_t in[DTR_HELLO_BYTES];
    size_t have;
};

struct dtr_listener {
    const struct dtr_listener_options *options;
    const struct dtr_log *log;
    int fd, signals;
    sigset_t before; /* the signals that were blocked */
    char address[DTR_STREAM_ADDRESS_MAX];
    struct guest guests[GUESTS];
    pid_t child; /* the session's process; 0: none */
    int leader;  /* the session's stream, to see its end; -1: none, or ended */
    char who[DTR_STREAM_ADDRESS_MAX];
    uint64_t kill_ns; /* when the child has had its time; 0: not known yet */
    uint64_t told_ns, strangers;
    bool stopping;
};

/* --- opening ---------------------------------------------------------------------------------- */

static int catch_signals(struct dtr_listener *listener, struct dtr_error *error) {
    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGCHLD);
    sigprocmask(SIG_BLOCK, &caught, &listener->before);
    listener->signals = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    return listener->signals < 0
               ? dtr_fail(error, DTR_E_SYSTEM, "cannot wait for signals: %s", strerror(errno))
               : DTR_OK;
}

int dtr_listener_open(const struct dtr_listener_options *options, struct dtr_listener **listener_p,
                      struct dtr_error *error) {
    struct dtr_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return dtr_fail_memory(error);
    listener->options = options;
    listener->log = options->log;
    listener->leader = listener->fd = listener->signals = -1;
    int status = catch_signals(listener, error);
    if (!status)
        status = dtr_stream_listen(options->address, !options->has_key, &listener->fd, error);
    if (status) {
        dtr_listener_close(listener);
        return status;
    }
    dtr_stream_here(listener->fd, listener->address);
    *listener_p = listener;
    return DTR_OK;
}

const char *dtr_listener_address(const struct dtr_listener *listener) {
    return listener->address;
}

/* --- guests ----------------------------------------------------------------------------------- */

static void dismiss(struct guest *guest) {
    close(guest->fd);
    sodium_memzero(guest, sizeof *guest);
    guest->fd = -1;
}

/* Strangers may come in thousands: they are counted, and told of now and then. */
static void refuse(struct dtr_listener *listener, struct guest *guest) {
    const uint64_t now = dtr_now_ns();
    char who[DTR_STREAM_ADDRESS_MAX];
    dtr_stream_there(guest->fd, who);
    dismiss(guest);
    listener->strangers++;
    if (listener->told_ns && now - listener->told_ns < COUNT_NS)
        return;
    dtr_log(listener->log, DTR_LOG_WARN,
            "refused a connection from %s, which does not hold the key (%llu so far)", who,
            (unsigned long long)listener->strangers);
    listener->told_ns = now;
}

static struct guest *place_for_guest(struct dtr_listener *listener) {
    struct guest *oldest = NULL;
    for (int i = 0; i < GUESTS; i++) {
        struct guest *guest = &listener->guests[i];
        if (guest->phase == FREE)
            return guest;
        if (guest->phase != READY && (!oldest || guest->deadline_ns < oldest->deadline_ns))
            oldest = guest;
    }
    if (oldest)
        dismiss(oldest);
    return oldest;
}

static void accept_some(struct dtr_listener *listener) {
    for (int i = 0; i < ACCEPTS; i++) {
        const int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct guest *guest = place_for_guest(listener);
        if (!guest) {
            close(fd);
            continue;
        }
        *guest =
            (struct guest){.phase = HELLO, .fd = fd, .deadline_ns = dtr_now_ns() + HANDSHAKE_NS};
    }
}

/* 1: all that was due is there; 0: not yet; -1: it hung up. */
static int fill(struct guest *guest, size_t wanted) {
    const ssize_t got = recv(guest->fd, guest->in + guest->have, wanted - guest->have, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    guest->have += (size_t)got;
    return got == 0 ? -1 : guest->have == wanted;
}

static void hear_hello(struct dtr_listener *listener, struct guest *guest) {
    uint8_t answer[DTR_ANSWER_BYTES];
    const int got = fill(guest, DTR_HELLO_BYTES);
    if (got == 0)
        return;
    /* It fits into the empty buffer of a new socket. */
    if (got < 0 ||
        !dtr_handshake_answer(&guest->handshake, listener->options->key, guest->in, answer) ||
        send(guest->fd, answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) {
        refuse(listener, guest);
        return;
    }
    guest->have = 0;
    guest->phase = CONFIRM;
}

static void hear_confirm(struct dtr_listener *listener, struct guest *guest) {
    const int got = fill(guest, DTR_CONFIRM_BYTES);
    if (got == 0)
        return;
    if (got < 0 || !dtr_handshake_finish(&guest->handshake, guest->in, &guest->keys)) {
        refuse(listener, guest);
        return;
    }
    guest->phase = READY;
    guest->deadline_ns = dtr_now_ns() + OVERLAP_NS;
}

static void hear(struct dtr_listener *listener, struct guest *guest) {
    if (guest->phase == HELLO)
        hear_hello(listener, guest);
    else if (guest->phase == CONFIRM)
        hear_confirm(listener, guest);
    else if (guest->phase == READY)
        dismiss(guest); /* it waits for a session, and has nothing to say but that it hung up */
}

/* --- the session ------------------------------------------------------------------------------ */

static bool write_all(void *arg, const void *bytes, size_t length, bool more) {
    (void)more;
    return send(*(const int *)arg, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void say_failure(struct guest *guest, const struct dtr_error *failure) {
    struct dtr_writer writer = {0};
    struct dtr_seal seal = {.counter = 0};
    memcpy(seal.key, guest->keys.out, sizeof seal.key);
    dtr_write_failed(&writer, failure, -1);
    dtr_write_u64(&writer, 0); /* of no group */
    if (!writer.failed)
        dtr_frame_write(&(struct dtr_frame_stream){.arg = &guest->fd, .write = write_all}, &seal,
                        DTR_FRAME_FAILED, writer.bytes, writer.length);
    dtr_writer_free(&writer);
    sodium_memzero(&seal, sizeof seal);
    dismiss(guest);
}

static void begin(struct dtr_listener *listener, struct guest *guest) {
    struct dtr_error error = {0};
    dtr_stream_there(guest->fd, listener->who);
    dtr_stream_tune(guest->fd);
    int status = fcntl(guest->fd, F_SETFL, 0) < 0
                     ? dtr_fail(&error, DTR_E_SYSTEM, "%s", strerror(errno))
                     : dtr_launch_child(guest->fd, &guest->keys, listener->options->arguments,
                                        &listener->child, &error);
    if (status) {
        dtr_log(listener->log, DTR_LOG_ERROR, "%s", error.text);
        say_failure(guest, &error);
        return;
    }
    dtr_log(listener->log, DTR_LOG_INFO, "serving the leader at %s", listener->who);
    listener->leader = guest->fd;
    listener->kill_ns = 0;
    sodium_memzero(guest, sizeof *guest);
}

static void refuse_busy(const struct dtr_listener *listener, struct guest *guest) {
    struct dtr_error busy = {0};
    dtr_fail(&busy, DTR_E_SYSTEM, "the worker at %s is serving another leader", listener->address);
    say_failure(guest, &busy);
}

/* The leader hung up: the session's process has seen it too, and has its time. */
static void lose_leader(struct dtr_listener *listener) {
    close(listener->leader);
    listener->leader = -1;
    listener->kill_ns = dtr_now_ns() + GRACE_NS;
}

static void forget_session(struct dtr_listener *listener, int how) {
    if (WIFSIGNALED(how))
        dtr_log(listener->log, DTR_LOG_WARN, "the session with %s was ended by signal %d",
                listener->who, WTERMSIG(how));
    else
        dtr_log(listener->log, DTR_LOG_INFO, "the session with %s ended", listener->who);
    /* It was kept open here: the leader learns of the end by this. */
    if (listener->leader >= 0)
        close(listener->leader);
    listener->leader = -1;
    listener->child = 0;
}

static void reap(struct dtr_listener *listener) {
    int how;
    if (listener->child && waitpid(listener->child, &how, WNOHANG) == listener->child)
        forget_session(listener, how);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void hear_signals(struct dtr_listener *listener) {
    struct signalfd_siginfo info;
    while (read(listener->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD)
            listener->stopping = true;
    reap(listener);
}

static void look_at_clock(struct dtr_listener *listener) {
    const uint64_t now = dtr_now_ns();
    if (listener->child && listener->kill_ns && now >= listener->kill_ns) {
        kill(listener->child, SIGKILL);
        listener->kill_ns = 0;
    }
    for (int i = 0; i < GUESTS; i++) {
        struct guest *guest = &listener->guests[i];
        if (guest->phase == READY && !listener->child)
            begin(listener, guest);
        else if (guest->phase != FREE && now >= guest->deadline_ns && guest->phase != READY)
            refuse(listener, guest);
        else if (guest->phase == READY && now >= guest->deadline_ns && listener->leader >= 0)
            refuse_busy(listener, guest);
    }
}

static void sooner(uint64_t *next_ns, uint64_t at_ns) {
    if (at_ns && at_ns < *next_ns)
        *next_ns = at_ns;
}

/* Milliseconds until look_at_clock() has something to do, or -1. */
static int patience(const struct dtr_listener *listener) {
    uint64_t next_ns = UINT64_MAX;
    sooner(&next_ns, listener->child ? listener->kill_ns : 0);
    for (int i = 0; i < GUESTS; i++)
        if (listener->guests[i].phase != FREE)
            sooner(&next_ns, listener->guests[i].deadline_ns);
    if (next_ns == UINT64_MAX)
        return -1;
    const uint64_t now = dtr_now_ns();
    return next_ns <= now ? 10 : (int)((next_ns - now) / 1000000) + 1;
}

int dtr_listener_serve(struct dtr_listener *listener, struct dtr_error *error) {
    struct pollfd set[FIXED + GUESTS];
    while (!listener->stopping) {
        set[0] = (struct pollfd){.fd = listener->signals, .events = POLLIN};
        set[1] = (struct pollfd){.fd = listener->fd, .events = POLLIN};
        set[2] = (struct pollfd){.fd = listener->leader, .events = POLLRDHUP};
        for (int i = 0; i < GUESTS; i++)
            set[FIXED + i] = (struct pollfd){
                .fd = listener->guests[i].phase == FREE ? -1 : listener->guests[i].fd,
                .events = POLLIN};
        if (poll(set, FIXED + GUESTS, patience(listener)) < 0 && errno != EINTR)
            return dtr_fail(error, DTR_E_SYSTEM, "cannot wait for leaders: %s", strerror(errno));
        if (set[2].revents && listener->leader >= 0)
            lose_leader(listener);
        hear_signals(listener);
        for (int i = 0; i < GUESTS; i++)
            if (set[FIXED + i].revents)
                hear(listener, &listener->guests[i]);
        if (set[1].revents)
            accept_some(listener);
        look_at_clock(listener);
    }
    return DTR_OK;
}

void dtr_listener_close(struct dtr_listener *listener) {
    char how[64];
    if (!listener)
        return;
    if (listener->child) {
        kill(listener->child, SIGTERM);
        dtr_launch_reap(listener->child, dtr_now_ns() + GRACE_NS, how, sizeof how);
    }
    for (int i = 0; i < GUESTS; i++)
        if (listener->guests[i].phase != FREE)
            dismiss(&listener->guests[i]);
    if (listener->leader >= 0)
        close(listener->leader);
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->signals >= 0)
        close(listener->signals);
    sigprocmask(SIG_SETMASK, &listener->before, NULL);
    free(listener);
}

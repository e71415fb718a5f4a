/* SPDX-License-Identifier: MIT */
#include "run/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "run/frame.h"

enum { SLOTS = 16 };

/* Frames wait in a ring of slots whose memory is used again; the reader waits when it is full.
 * The caller looks at `current`, which has changed places with its slot. */
struct dtr_channel {
    int fd, stop_fd;
    struct dtr_channel_events events;
    bool sealed;
    struct dtr_seal in, out;
    pthread_t thread;
    pthread_mutex_t sending; /* a frame at a time */
    atomic_uint_least64_t heard_ns, sent_ns;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct dtr_frame_buffer slots[SLOTS], current, beat;
    uint32_t first, count;
    bool closed, stopping;
    bool ended; /* the thread's: DTR_FRAME_END or DTR_FRAME_LEAVE has come */
};

/* Waits until the stream can be read; false when the channel is being freed. */
static bool readable(const struct dtr_channel *channel) {
    struct pollfd fds[2] = {
        {.fd = channel->fd, .events = POLLIN},
        {.fd = channel->stop_fd, .events = POLLIN},
    };
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return !fds[1].revents;
}

static bool read_all(void *arg, void *out, size_t length) {
    struct dtr_channel *channel = arg;
    uint8_t *at = out;
    while (length) {
        if (!readable(channel))
            return false;
        const ssize_t got = recv(channel->fd, at, length, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        if (got > 0) {
            atomic_store_explicit(&channel->heard_ns, dtr_now_ns(), memory_order_relaxed);
            at += got;
            length -= (size_t)got;
        }
    }
    return true;
}

/* A free slot, or NULL when the channel is being freed. */
static struct dtr_frame_buffer *free_slot(struct dtr_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    while (channel->count >= SLOTS - 1 && !channel->stopping)
        pthread_cond_wait(&channel->changed, &channel->lock);
    /* Where frames come one by one, one slot will do, whose memory is soon large enough. */
    if (!channel->count)
        channel->first = 0;
    struct dtr_frame_buffer *slot =
        channel->stopping ? NULL : &channel->slots[(channel->first + channel->count) % SLOTS];
    pthread_mutex_unlock(&channel->lock);
    return slot;
}

static bool read_frame(struct dtr_channel *channel) {
    const struct dtr_frame_stream stream = {.arg = channel, .read = read_all};
    struct dtr_seal *seal = channel->sealed ? &channel->in : NULL;
    uint32_t type;
    size_t length;
    if (!dtr_frame_read_header(&stream, seal, DTR_FRAME_TYPES, &type, &length))
        return false;
    if (type == DTR_FRAME_BEAT && !length)
        return dtr_frame_read_contents(&stream, seal, 0, &channel->beat);
    struct dtr_frame_buffer *slot = free_slot(channel);
    if (!slot || !dtr_frame_read_contents(&stream, seal, length, slot))
        return false;
    slot->type = type;
    const struct dtr_frame frame = {(enum dtr_frame_type)type, slot->bytes, length};
    channel->ended |= frame.type == DTR_FRAME_END || frame.type == DTR_FRAME_LEAVE;
    if (frame.type == DTR_FRAME_ABORT || frame.type == DTR_FRAME_FAILED ||
        frame.type == DTR_FRAME_END)
        channel->events.interrupted(channel->events.arg, &frame);
    if (frame.type == DTR_FRAME_ABORT)
        return true;
    pthread_mutex_lock(&channel->lock);
    channel->count++;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    return true;
}

static void *read_frames(void *arg) {
    struct dtr_channel *channel = arg;
    while (read_frame(channel))
        ;
    pthread_mutex_lock(&channel->lock);
    const bool stopping = channel->stopping;
    channel->closed = true;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    if (!stopping && !channel->ended)
        channel->events.interrupted(channel->events.arg, NULL);
    return NULL;
}

static void set_seals(struct dtr_channel *channel, const struct dtr_channel_keys *keys) {
    channel->sealed = true;
    memcpy(channel->in.key, keys->in, sizeof keys->in);
    memcpy(channel->out.key, keys->out, sizeof keys->out);
}

/* One that has no thread. */
static void discard(struct dtr_channel *channel) {
    if (channel->stop_fd >= 0)
        close(channel->stop_fd);
    close(channel->fd);
    sodium_memzero(&channel->in, sizeof channel->in);
    sodium_memzero(&channel->out, sizeof channel->out);
    free(channel);
}

int dtr_channel_create(int fd, const struct dtr_channel_keys *keys,
                       const struct dtr_channel_events *events, struct dtr_channel **channel_p,
                       struct dtr_error *error) {
    struct dtr_channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        close(fd);
        return dtr_fail_memory(error);
    }
    channel->fd = fd;
    channel->events = *events;
    if (keys)
        set_seals(channel, keys);
    channel->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (channel->stop_fd < 0) {
        dtr_fail(error, DTR_E_SYSTEM, "cannot make an event: %s", strerror(errno));
        discard(channel);
        return DTR_E_SYSTEM;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&channel->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&channel->lock, NULL);
    pthread_mutex_init(&channel->sending, NULL);
    const int failed = pthread_create(&channel->thread, NULL, read_frames, channel);
    if (failed) {
        pthread_cond_destroy(&channel->changed);
        pthread_mutex_destroy(&channel->lock);
        pthread_mutex_destroy(&channel->sending);
        discard(channel);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start a thread: %s", strerror(failed));
    }
    *channel_p = channel;
    return DTR_OK;
}

void dtr_channel_free(struct dtr_channel *channel) {
    if (!channel)
        return;
    pthread_mutex_lock(&channel->lock);
    channel->stopping = true;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    const uint64_t one = 1;
    const ssize_t written = write(channel->stop_fd, &one, sizeof one);
    (void)written;
    pthread_join(channel->thread, NULL);
    pthread_cond_destroy(&channel->changed);
    pthread_mutex_destroy(&channel->lock);
    pthread_mutex_destroy(&channel->sending);
    for (int i = 0; i < SLOTS; i++)
        free(channel->slots[i].bytes);
    free(channel->current.bytes);
    free(channel->beat.bytes);
    discard(channel);
}

static bool send_all(void *arg, const void *bytes, size_t length, bool more) {
    const struct dtr_channel *channel = arg;
    const uint8_t *at = bytes;
    while (length) {
        const ssize_t sent = send(channel->fd, at, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

int dtr_channel_send(struct dtr_channel *channel, enum dtr_frame_type type, const void *bytes,
                     size_t length) {
    const struct dtr_frame_stream stream = {.arg = channel, .write = send_all};
    if (length > DTR_FRAME_MAX)
        return DTR_E_UNSUPPORTED;
    pthread_mutex_lock(&channel->sending);
    const bool sent =
        dtr_frame_write(&stream, channel->sealed ? &channel->out : NULL, type, bytes, length);
    pthread_mutex_unlock(&channel->sending);
    atomic_store_explicit(&channel->sent_ns, dtr_now_ns(), memory_order_relaxed);
    return sent ? DTR_OK : DTR_E_PEER;
}

static void exchange(struct dtr_channel *channel, uint32_t slot) {
    const struct dtr_frame_buffer other = channel->slots[slot];
    channel->slots[slot] = channel->current;
    channel->current = other;
}

int dtr_channel_receive(struct dtr_channel *channel, uint64_t deadline_ns,
                        struct dtr_frame *frame) {
    const struct timespec until = {
        .tv_sec = (time_t)(deadline_ns / UINT64_C(1000000000)),
        .tv_nsec = (long)(deadline_ns % UINT64_C(1000000000)),
    };
    int status = DTR_OK;
    pthread_mutex_lock(&channel->lock);
    while (!channel->count && !channel->closed && !status)
        if (pthread_cond_timedwait(&channel->changed, &channel->lock, &until) == ETIMEDOUT)
            status = DTR_E_TIMEOUT;
    if (channel->count) {
        const struct dtr_frame_buffer *slot = &channel->current;
        exchange(channel, channel->first);
        *frame = (struct dtr_frame){(enum dtr_frame_type)slot->type, slot->bytes, slot->length};
        channel->first = (channel->first + 1) % SLOTS;
        channel->count--;
        pthread_cond_broadcast(&channel->changed);
        status = DTR_OK;
    } else if (channel->closed) {
        status = DTR_E_PEER;
    }
    pthread_mutex_unlock(&channel->lock);
    return status;
}

bool dtr_channel_closed(struct dtr_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    const bool closed = channel->closed;
    pthread_mutex_unlock(&channel->lock);
    return closed;
}

void dtr_channel_hang_up(struct dtr_channel *channel) {
    shutdown(channel->fd, SHUT_RDWR);
}

uint64_t dtr_channel_heard_ns(const struct dtr_channel *channel) {
    return atomic_load_explicit(&channel->heard_ns, memory_order_relaxed);
}

uint64_t dtr_channel_sent_ns(const struct dtr_channel *channel) {
    return atomic_load_explicit(&channel->sent_ns, memory_order_relaxed);
}

void dtr_channel_put_back(struct dtr_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    channel->first = (channel->first + SLOTS - 1) % SLOTS;
    exchange(channel, channel->first);
    channel->count++;
    pthread_cond_broadcast(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
}

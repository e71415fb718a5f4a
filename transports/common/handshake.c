/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/handshake.h"
#include "common/socket.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

static const uint8_t magic[8] = {'D', 'T', 'R', 'T', 'C', 'P', '0', '1'};
static const uint8_t welcome[8] = {'w', 'e', 'l', 'c', 'o', 'm', 'e', '\n'};

_Static_assert(sizeof(struct hello) == 64, "the hello has no holes");

/* --- what is said --- */

static struct proof_claim claim_of(const struct handshake *shake,
                                   const struct handshake_group *group, bool own) {
    return (struct proof_claim){
        .epoch = group->epoch,
        .devices = group->devices,
        .from = own ? group->device : shake->peer,
        .to = own ? shake->peer : group->device,
        .nonce_from = own ? shake->nonce : shake->peer_nonce,
        .nonce_to = own ? shake->peer_nonce : shake->nonce,
    };
}

static void say(struct handshake *shake, const void *bytes, size_t count) {
    memcpy(shake->out + shake->out_have, bytes, count);
    shake->out_have += count;
}

static void say_hello(struct handshake *shake, const struct handshake_group *group) {
    struct hello hello = {.from = htole32(group->device),
                          .to = htole32(shake->peer),
                          .devices = htole32(group->devices),
                          .epoch = htole64(group->epoch)};
    memcpy(hello.magic, magic, sizeof magic);
    memcpy(hello.nonce, shake->nonce, PROOF_BYTES);
    say(shake, &hello, sizeof hello);
}

static void say_proof(struct handshake *shake, const struct handshake_group *group) {
    uint8_t proof[PROOF_BYTES];
    const struct proof_claim claim = claim_of(shake, group, true);
    proof_make(&claim, group->key, proof);
    say(shake, proof, sizeof proof);
}

static void expect(struct handshake *shake, enum handshake_phase phase, size_t bytes) {
    shake->phase = phase;
    shake->in_have = 0;
    shake->in_want = bytes;
}

/* --- what is heard --- */

/* Strangers, scanners and other epochs end here; a higher device calls a lower one. */
static bool hear_hello(struct handshake *shake, const struct handshake_group *group) {
    struct hello hello;
    memcpy(&hello, shake->in, sizeof hello);
    const uint32_t from = le32toh(hello.from);
    if (memcmp(hello.magic, magic, sizeof magic) || le64toh(hello.epoch) != group->epoch ||
        le32toh(hello.devices) != group->devices || le32toh(hello.to) != group->device)
        return false;
    if (shake->caller ? from != shake->peer : from <= group->device || from >= group->devices)
        return false;
    shake->peer = from;
    memcpy(shake->peer_nonce, hello.nonce, PROOF_BYTES);
    return true;
}

static bool hear_proof(const struct handshake *shake, const struct handshake_group *group,
                       const uint8_t *proof) {
    const struct proof_claim claim = claim_of(shake, group, false);
    return proof_holds(&claim, group->key, proof);
}

/* All that was waited for has come. */
static enum handshake_result hear(struct handshake *shake, const struct handshake_group *group) {
    errno = 0;
    switch (shake->phase) {
    case HANDSHAKE_HELLO:
        if (!hear_hello(shake, group))
            return HANDSHAKE_BROKEN;
        if (shake->caller) {
            if (!hear_proof(shake, group, shake->in + sizeof(struct hello)))
                return HANDSHAKE_STRANGER;
            say_proof(shake, group);
            expect(shake, HANDSHAKE_WELCOME, sizeof welcome);
        } else {
            say_hello(shake, group);
            say_proof(shake, group);
            expect(shake, HANDSHAKE_PROOF, PROOF_BYTES);
        }
        return HANDSHAKE_GOES_ON;
    case HANDSHAKE_PROOF:
        if (!hear_proof(shake, group, shake->in))
            return HANDSHAKE_STRANGER;
        say(shake, welcome, sizeof welcome);
        expect(shake, HANDSHAKE_FLUSH, 0);
        return HANDSHAKE_GOES_ON;
    case HANDSHAKE_WELCOME:
        if (memcmp(shake->in, welcome, sizeof welcome))
            return HANDSHAKE_BROKEN;
        shake->phase = HANDSHAKE_DONE;
        return HANDSHAKE_READY;
    default:
        return HANDSHAKE_BROKEN;
    }
}

/* --- the connection --- */

bool handshake_call(struct handshake *shake, const struct handshake_group *group, int fd,
                    uint32_t peer, uint64_t now_ns) {
    *shake = (struct handshake){
        .phase = HANDSHAKE_CONNECT, .fd = fd, .caller = true, .peer = peer, .started_ns = now_ns};
    if (!proof_nonce(shake->nonce))
        return false;
    say_hello(shake, group);
    return true;
}

bool handshake_answer(struct handshake *shake, int fd, uint64_t now_ns) {
    *shake = (struct handshake){.fd = fd, .started_ns = now_ns};
    expect(shake, HANDSHAKE_HELLO, sizeof(struct hello));
    return proof_nonce(shake->nonce);
}

short handshake_events(const struct handshake *shake) {
    return shake->phase == HANDSHAKE_CONNECT || shake->out_sent < shake->out_have ? POLLOUT
                                                                                  : POLLIN;
}

/* 1: all is out; 0: later; -1: broken. */
static int flush(struct handshake *shake) {
    while (shake->out_sent < shake->out_have) {
        const ssize_t sent = send(shake->fd, shake->out + shake->out_sent,
                                  shake->out_have - shake->out_sent, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        shake->out_sent += (size_t)sent;
    }
    shake->out_sent = shake->out_have = 0;
    return 1;
}

static int fill(struct handshake *shake) {
    while (shake->in_have < shake->in_want) {
        const ssize_t got =
            recv(shake->fd, shake->in + shake->in_have, shake->in_want - shake->in_have, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (!got) {
            errno = 0;
            return -1;
        }
        shake->in_have += (size_t)got;
    }
    return 1;
}

enum handshake_result handshake_step(struct handshake *shake, const struct handshake_group *group) {
    if (shake->phase == HANDSHAKE_CONNECT) {
        errno = socket_error(shake->fd);
        if (errno)
            return HANDSHAKE_BROKEN;
        expect(shake, HANDSHAKE_HELLO, sizeof(struct hello) + PROOF_BYTES);
    }
    for (;;) {
        const int out = flush(shake);
        if (out <= 0)
            return out ? HANDSHAKE_BROKEN : HANDSHAKE_GOES_ON;
        if (shake->phase == HANDSHAKE_FLUSH) {
            shake->phase = HANDSHAKE_DONE;
            return HANDSHAKE_READY;
        }
        const int in = fill(shake);
        if (in <= 0)
            return in ? HANDSHAKE_BROKEN : HANDSHAKE_GOES_ON;
        const enum handshake_result result = hear(shake, group);
        if (result != HANDSHAKE_GOES_ON)
            return result;
    }
}

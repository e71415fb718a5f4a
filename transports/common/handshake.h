/* SPDX-License-Identifier: MIT
 *
 * handshake.h -- what is said on a new connection before messages: who calls whom, for which epoch,
 * and that both hold the group's key.  Nothing blocks; every length is fixed.
 *
 *     caller -> called   hello
 *     called -> caller   hello, proof
 *     caller -> called   proof
 *     called -> caller   welcome
 */
#ifndef DTR_TRANSPORTS_HANDSHAKE_H
#define DTR_TRANSPORTS_HANDSHAKE_H

#include "common/proof.h"

#include <stddef.h>

struct hello {
    uint8_t magic[8];
    uint32_t from, to, devices, reserved; /* little endian */
    uint64_t epoch;
    uint8_t nonce[PROOF_BYTES];
};

enum handshake_phase {
    HANDSHAKE_UNUSED,
    HANDSHAKE_CONNECT, /* caller: until the socket is writable  */
    HANDSHAKE_HELLO,   /* waits for the hello                   */
    HANDSHAKE_PROOF,   /* called: waits for the caller's proof  */
    HANDSHAKE_WELCOME, /* caller: waits for the welcome         */
    HANDSHAKE_FLUSH,   /* called: until the welcome is out      */
    HANDSHAKE_DONE
};

/* What both ends know beforehand. */
struct handshake_group {
    uint64_t epoch;
    uint32_t devices, device;
    const uint8_t *key; /* PROOF_BYTES, or NULL */
};

struct handshake {
    enum handshake_phase phase;
    int fd;
    bool caller;
    uint32_t peer; /* the called learns it from the hello */
    uint64_t started_ns;
    uint8_t nonce[PROOF_BYTES], peer_nonce[PROOF_BYTES];
    uint8_t in[sizeof(struct hello) + PROOF_BYTES], out[sizeof(struct hello) + PROOF_BYTES];
    size_t in_have, in_want, out_have, out_sent;
};

enum handshake_result {
    HANDSHAKE_GOES_ON,
    HANDSHAKE_READY,   /* the connection is the peer's           */
    HANDSHAKE_BROKEN,  /* drop it; errno says why, or 0: closed  */
    HANDSHAKE_STRANGER /* the other end cannot prove the key     */
};

/* The socket's owner stays the caller of these. */
bool handshake_call(struct handshake *shake, const struct handshake_group *group, int fd,
                    uint32_t peer, uint64_t now_ns);
bool handshake_answer(struct handshake *shake, int fd, uint64_t now_ns);

/* The poll events that it waits for. */
short handshake_events(const struct handshake *shake);

/* Goes as far as the socket allows. */
enum handshake_result handshake_step(struct handshake *shake, const struct handshake_group *group);

#endif

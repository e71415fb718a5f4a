/* SPDX-License-Identifier: MIT
 *
 * handshake.h -- how a leader and a worker show each other that they hold the cluster's key, and
 * agree on keys for one session.  It works on bytes; whoever calls it moves them.
 *
 *     leader -> worker   hello     its ephemeral key, sealed under the cluster's key
 *     worker -> leader   answer    its own, sealed under that and the Diffie-Hellman secret
 *     leader -> worker   confirm   sealed under all of it: the leader is here, and now
 *
 * The worker says nothing before a hello holds, so that without the key nobody learns what listens.
 * A hello that is played back is answered, but cannot be confirmed.  X25519, BLAKE2b with a key,
 * ChaCha20-Poly1305 (RFC 7748, 7693, 8439); the pattern is that of Noise's NNpsk0.
 */
#ifndef DTR_RUN_HANDSHAKE_H
#define DTR_RUN_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "run/channel.h"
#include "run/key.h"

/* Raised when what follows a hello changes. */
enum { DTR_HANDSHAKE_VERSION = 1 };

enum {
    DTR_HELLO_BYTES = 32 + 8 + 16, /* ephemeral key; version and 0; tag */
    DTR_ANSWER_BYTES = DTR_HELLO_BYTES,
    DTR_CONFIRM_BYTES = 8 + 16
};

struct dtr_handshake {
    uint8_t key[DTR_KEY_BYTES];
    uint8_t secret[32]; /* the leader's ephemeral one; then what Diffie-Hellman gave */
    uint8_t hello[DTR_HELLO_BYTES], answer[DTR_ANSWER_BYTES];
};

/* The leader's side.  sodium_init() was called. */
void dtr_handshake_call(struct dtr_handshake *handshake, const uint8_t key[DTR_KEY_BYTES],
                        uint8_t hello[DTR_HELLO_BYTES]);
/* DTR_E_PEER: not of this key.  DTR_E_CONFIG: of another version. */
int dtr_handshake_confirm(struct dtr_handshake *handshake, const uint8_t answer[DTR_ANSWER_BYTES],
                          uint8_t confirm[DTR_CONFIRM_BYTES], struct dtr_channel_keys *keys,
                          struct dtr_error *error);

/* The worker's side.  False: the bytes are nobody's who holds the key, or played back. */
bool dtr_handshake_answer(struct dtr_handshake *handshake, const uint8_t key[DTR_KEY_BYTES],
                          const uint8_t hello[DTR_HELLO_BYTES], uint8_t answer[DTR_ANSWER_BYTES]);
bool dtr_handshake_finish(const struct dtr_handshake *handshake,
                          const uint8_t confirm[DTR_CONFIRM_BYTES], struct dtr_channel_keys *keys);

/* Forgets what it knows. */
void dtr_handshake_wipe(struct dtr_handshake *handshake);

#endif

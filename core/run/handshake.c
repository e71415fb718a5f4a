/* SPDX-License-Identifier: MIT */
#include "run/handshake.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

enum { POINT = crypto_scalarmult_BYTES, WORD = 8, TAG = 16 };

_Static_assert(TAG == crypto_aead_chacha20poly1305_ietf_ABYTES, "the tag's length");

/* A key that only those can make who know the cluster's, and all of what was said so far. */
static void derive(const struct dtr_handshake *handshake, const char *purpose, bool answered,
                   bool secret, uint8_t out[32]) {
    crypto_generichash_state hash;
    uint8_t label[32] = "detransformer 1 ";
    memcpy(label + 16, purpose, strlen(purpose));
    crypto_generichash_init(&hash, handshake->key, sizeof handshake->key, 32);
    crypto_generichash_update(&hash, label, sizeof label);
    crypto_generichash_update(&hash, handshake->hello, answered ? DTR_HELLO_BYTES : POINT);
    if (secret) {
        crypto_generichash_update(&hash, handshake->answer, answered ? DTR_ANSWER_BYTES : POINT);
        crypto_generichash_update(&hash, handshake->secret, sizeof handshake->secret);
    }
    crypto_generichash_final(&hash, out, 32);
    sodium_memzero(&hash, sizeof hash);
}

/* Every key seals one thing: the nonce may stay what it is. */
static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

static void seal(const uint8_t key[32], uint64_t word, uint8_t out[WORD + TAG]) {
    const uint64_t plain = htole64(word);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)&plain, sizeof plain,
                                              NULL, 0, NULL, nonce, key);
}

static bool open_seal(const uint8_t key[32], const uint8_t in[WORD + TAG], uint64_t *word_p) {
    uint64_t plain;
    if (crypto_aead_chacha20poly1305_ietf_decrypt((uint8_t *)&plain, NULL, NULL, in, WORD + TAG,
                                                  NULL, 0, nonce, key))
        return false;
    *word_p = le64toh(plain);
    return true;
}

/* What each message is sealed with. */
static void hello_key(const struct dtr_handshake *handshake, uint8_t out[32]) {
    derive(handshake, "hello", false, false, out);
}

static void answer_key(const struct dtr_handshake *handshake, uint8_t out[32]) {
    derive(handshake, "answer", false, true, out);
}

static void confirm_key(const struct dtr_handshake *handshake, uint8_t out[32]) {
    derive(handshake, "confirm", true, true, out);
}

static void session_keys(const struct dtr_handshake *handshake, bool leader,
                         struct dtr_channel_keys *keys) {
    derive(handshake, "to worker", true, true, leader ? keys->out : keys->in);
    derive(handshake, "to leader", true, true, leader ? keys->in : keys->out);
}

/* --- the leader's side ------------------------------------------------------------------------ */

void dtr_handshake_call(struct dtr_handshake *handshake, const uint8_t key[DTR_KEY_BYTES],
                        uint8_t hello[DTR_HELLO_BYTES]) {
    uint8_t sealing[32];
    memcpy(handshake->key, key, DTR_KEY_BYTES);
    randombytes_buf(handshake->secret, sizeof handshake->secret);
    crypto_scalarmult_base(handshake->hello, handshake->secret);
    hello_key(handshake, sealing);
    seal(sealing, DTR_HANDSHAKE_VERSION, handshake->hello + POINT);
    memcpy(hello, handshake->hello, DTR_HELLO_BYTES);
    sodium_memzero(sealing, sizeof sealing);
}

int dtr_handshake_confirm(struct dtr_handshake *handshake, const uint8_t answer[DTR_ANSWER_BYTES],
                          uint8_t confirm[DTR_CONFIRM_BYTES], struct dtr_channel_keys *keys,
                          struct dtr_error *error) {
    uint8_t sealing[32], shared[32];
    uint64_t version = 0;
    memcpy(handshake->answer, answer, DTR_ANSWER_BYTES);
    bool good = !crypto_scalarmult(shared, handshake->secret, answer);
    if (good) {
        memcpy(handshake->secret, shared, sizeof shared);
        answer_key(handshake, sealing);
        good = open_seal(sealing, answer + POINT, &version);
    }
    if (good && version == DTR_HANDSHAKE_VERSION) {
        confirm_key(handshake, sealing);
        seal(sealing, 0, confirm);
        session_keys(handshake, true, keys);
    }
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(sealing, sizeof sealing);
    if (!good)
        return dtr_fail(error, DTR_E_PEER, "it does not hold the cluster's key");
    if (version != DTR_HANDSHAKE_VERSION)
        return dtr_fail(error, DTR_E_CONFIG,
                        "its handshake is version %llu, the leader's version %d",
                        (unsigned long long)version, DTR_HANDSHAKE_VERSION);
    return DTR_OK;
}

/* --- the worker's side ------------------------------------------------------------------------ */

bool dtr_handshake_answer(struct dtr_handshake *handshake, const uint8_t key[DTR_KEY_BYTES],
                          const uint8_t hello[DTR_HELLO_BYTES], uint8_t answer[DTR_ANSWER_BYTES]) {
    uint8_t sealing[32], secret[32];
    uint64_t version;
    memcpy(handshake->key, key, DTR_KEY_BYTES);
    memcpy(handshake->hello, hello, DTR_HELLO_BYTES);
    hello_key(handshake, sealing);
    bool good = open_seal(sealing, hello + POINT, &version);
    if (good) {
        randombytes_buf(secret, sizeof secret);
        crypto_scalarmult_base(handshake->answer, secret);
        good = !crypto_scalarmult(handshake->secret, secret, hello);
        sodium_memzero(secret, sizeof secret);
    }
    if (good) {
        answer_key(handshake, sealing);
        seal(sealing, DTR_HANDSHAKE_VERSION, handshake->answer + POINT);
        memcpy(answer, handshake->answer, DTR_ANSWER_BYTES);
    }
    sodium_memzero(sealing, sizeof sealing);
    return good;
}

bool dtr_handshake_finish(const struct dtr_handshake *handshake,
                          const uint8_t confirm[DTR_CONFIRM_BYTES], struct dtr_channel_keys *keys) {
    uint8_t sealing[32];
    uint64_t word;
    confirm_key(handshake, sealing);
    const bool good = open_seal(sealing, confirm, &word);
    sodium_memzero(sealing, sizeof sealing);
    if (good)
        session_keys(handshake, false, keys);
    return good;
}

void dtr_handshake_wipe(struct dtr_handshake *handshake) {
    sodium_memzero(handshake, sizeof *handshake);
}

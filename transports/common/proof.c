/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "common/proof.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

bool proof_nonce(uint8_t nonce[PROOF_BYTES]) {
    if (sodium_init() < 0)
        return false;
    randombytes_buf(nonce, PROOF_BYTES);
    return true;
}

void proof_make(const struct proof_claim *claim, const uint8_t *key, uint8_t proof[PROOF_BYTES]) {
    static const uint8_t none[PROOF_BYTES];
    static const char label[16] = "detransformer 1";
    const uint64_t epoch = htole64(claim->epoch);
    const uint32_t who[3] = {htole32(claim->from), htole32(claim->to), htole32(claim->devices)};
    uint8_t said[sizeof label + sizeof epoch + sizeof who + 2 * PROOF_BYTES];
    uint8_t *at = said;
    memcpy(at, label, sizeof label);
    at += sizeof label;
    memcpy(at, &epoch, sizeof epoch);
    at += sizeof epoch;
    memcpy(at, who, sizeof who);
    at += sizeof who;
    memcpy(at, claim->nonce_from, PROOF_BYTES);
    memcpy(at + PROOF_BYTES, claim->nonce_to, PROOF_BYTES);
    crypto_generichash(proof, PROOF_BYTES, said, sizeof said, key ? key : none, PROOF_BYTES);
}

bool proof_holds(const struct proof_claim *claim, const uint8_t *key,
                 const uint8_t proof[PROOF_BYTES]) {
    uint8_t wanted[PROOF_BYTES];
    proof_make(claim, key, wanted);
    return sodium_memcmp(wanted, proof, PROOF_BYTES) == 0;
}

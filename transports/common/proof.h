/* SPDX-License-Identifier: MIT
 *
 * proof.h -- how two devices show each other that they hold the group's key: a keyed hash
 * (BLAKE2b) over who speaks to whom, the epoch and a fresh nonce of either side.
 */
#ifndef DTR_TRANSPORTS_PROOF_H
#define DTR_TRANSPORTS_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#define PROOF_BYTES 32u

/* One side's claim to another. */
struct proof_claim {
    uint64_t epoch;
    uint32_t from, to, devices;
    const uint8_t *nonce_from, *nonce_to; /* PROOF_BYTES each */
};

/* False: the library cannot start. */
bool proof_nonce(uint8_t nonce[PROOF_BYTES]);

/* `key`: PROOF_BYTES, or NULL in a group without one; the rest is still bound together then. */
void proof_make(const struct proof_claim *claim, const uint8_t *key, uint8_t proof[PROOF_BYTES]);

/* In constant time. */
bool proof_holds(const struct proof_claim *claim, const uint8_t *key,
                 const uint8_t proof[PROOF_BYTES]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * channel_fuzz.c -- the bytes of a control connection: what a stranger says in the handshake, at
 * either end, who never gets in; then frames, plain and sealed.  Input: a byte of options, then
 * what comes.
 */
#include "fuzz.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "run/frame.h"
#include "run/handshake.h"

static bool read_stream(void *arg, void *out, size_t length) {
    size_t taken;
    const uint8_t *bytes = fuzz_take(arg, length, &taken);
    if (taken)
        memcpy(out, bytes, taken);
    return taken == length;
}

static void greet(struct fuzz_bytes *bytes, bool calls) {
    static const uint8_t key[DTR_KEY_BYTES] = {1, 2, 3};
    struct dtr_handshake handshake = {0};
    struct dtr_channel_keys keys;
    struct dtr_error error = {0};
    uint8_t heard[DTR_HELLO_BYTES] = {0}, said[DTR_HELLO_BYTES];
    if (calls) {
        dtr_handshake_call(&handshake, key, said);
        read_stream(bytes, heard, sizeof heard);
        const int status = dtr_handshake_confirm(&handshake, heard, said, &keys, &error);
        fuzz_need(!fuzz_sentence(status, &error), "a stranger was taken for a worker");
    } else {
        read_stream(bytes, heard, sizeof heard);
        fuzz_need(!dtr_handshake_answer(&handshake, key, heard, said), "a stranger was answered");
    }
    dtr_handshake_wipe(&handshake);
}

static void read_frames(struct fuzz_bytes *bytes, bool sealed) {
    const struct dtr_frame_stream stream = {.arg = bytes, .read = read_stream};
    struct dtr_seal seal = {.key = {4, 5, 6}};
    struct dtr_frame_buffer frame = {0};
    const size_t total = bytes->size;
    uint32_t type;
    size_t length;
    while (dtr_frame_read_header(&stream, sealed ? &seal : NULL, DTR_FRAME_TYPES, &type, &length)) {
        fuzz_need(!sealed, "a frame without the key was read");
        fuzz_need(type < DTR_FRAME_TYPES && length <= DTR_FRAME_MAX, "a frame is out of bounds");
        if (!dtr_frame_read_contents(&stream, NULL, length, &frame))
            break;
        fuzz_need(frame.length == length && length <= frame.capacity, "a frame has another length");
    }
    fuzz_need(frame.capacity <= 4 * total + (1u << 18), "memory was taken for a promise");
    free(frame.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    const uint8_t options = fuzz_byte(&bytes);
    fuzz_need(sodium_init() >= 0, "no libsodium");
    if (options & 4)
        greet(&bytes, options & 1);
    else
        read_frames(&bytes, options & 1);
    return 0;
}

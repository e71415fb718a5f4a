/* SPDX-License-Identifier: MIT
 *
 * handshake_fuzz.c -- a stranger at either end of the handshake of data connections.  Whoever has
 * not the key never gets in.  Input: a byte of options (called or calling, with or without a key),
 * then what the stranger says, in pieces of the length that a byte before each tells.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[PROOF_BYTES] = {1, 2, 3};
    struct fuzz_bytes bytes = {data, size};
    const uint8_t options = fuzz_byte(&bytes);
    const struct handshake_group group = {
        .epoch = 1, .devices = 3, .device = 1, .key = options & 1 ? key : NULL};
    struct handshake shake;
    int fds[2];
    fuzz_need(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), "no sockets");
    fuzz_need(options & 2 ? handshake_call(&shake, &group, fds[0], 0, 0)
                          : handshake_answer(&shake, fds[0], 0),
              "no handshake");
    enum handshake_result result = HANDSHAKE_GOES_ON;
    while (result == HANDSHAKE_GOES_ON && bytes.size) {
        size_t length;
        const uint8_t *piece = fuzz_take(&bytes, fuzz_byte(&bytes), &length);
        fuzz_need(write(fds[1], piece, length) == (ssize_t)length, "the socket is full");
        handshake_events(&shake);
        result = handshake_step(&shake, &group);
    }
    fuzz_need(!group.key || result != HANDSHAKE_READY, "a stranger got in");
    close(fds[0]);
    close(fds[1]);
    return 0;
}

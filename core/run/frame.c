/* SPDX-License-Identifier: MIT
 *
 * The header's words are in host order; the two ends agree on it in the first frame.  A seal's
 * nonce is the number of the piece, and its key belongs to one direction of one session.
 */
#include "run/frame.h"

#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { TAG = crypto_aead_chacha20poly1305_ietf_ABYTES, PIECE = 1 << 15 };

static const uint32_t frame_magic = 0x52544431; /* "1DTR" */

struct header {
    uint32_t magic, type, length;
};

/* --- pieces ----------------------------------------------------------------------------------- */

struct nonce {
    uint8_t bytes[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
};

static struct nonce next_nonce(struct dtr_seal *seal) {
    struct nonce nonce = {{0}};
    const uint64_t counter = htole64(seal->counter++);
    memcpy(nonce.bytes + sizeof nonce.bytes - sizeof counter, &counter, sizeof counter);
    return nonce;
}

/* At most PIECE bytes. */
static bool read_piece(const struct dtr_frame_stream *stream, struct dtr_seal *seal, void *out,
                       size_t length) {
    uint8_t sealed[PIECE + TAG];
    if (!seal)
        return stream->read(stream->arg, out, length);
    if (!stream->read(stream->arg, sealed, length + TAG))
        return false;
    const struct nonce nonce = next_nonce(seal);
    return !crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, length + TAG, NULL,
                                                      0, nonce.bytes, seal->key);
}

static bool write_piece(const struct dtr_frame_stream *stream, struct dtr_seal *seal,
                        const void *bytes, size_t length, bool more) {
    uint8_t sealed[PIECE + TAG];
    if (!seal)
        return stream->write(stream->arg, bytes, length, more);
    const struct nonce nonce = next_nonce(seal);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, bytes, length, NULL, 0, NULL,
                                              nonce.bytes, seal->key);
    return stream->write(stream->arg, sealed, length + TAG, more);
}

/* --- reading ---------------------------------------------------------------------------------- */

bool dtr_frame_read_header(const struct dtr_frame_stream *stream, struct dtr_seal *seal,
                           uint32_t types, uint32_t *type_p, size_t *length_p) {
    struct header header;
    if (!read_piece(stream, seal, &header, sizeof header) || header.magic != frame_magic ||
        !header.type || header.type >= types || header.length > DTR_FRAME_MAX)
        return false;
    *type_p = header.type;
    *length_p = header.length;
    return true;
}

static bool reserve(struct dtr_frame_buffer *frame, size_t length) {
    if (length <= frame->capacity)
        return true;
    uint8_t *larger = realloc(frame->bytes, length);
    if (!larger)
        return false;
    frame->bytes = larger;
    frame->capacity = length;
    return true;
}

bool dtr_frame_read_contents(const struct dtr_frame_stream *stream, struct dtr_seal *seal,
                             size_t length, struct dtr_frame_buffer *frame) {
    for (size_t at = 0; at < length;) {
        const size_t piece = length - at < PIECE ? length - at : PIECE;
        const size_t wanted = 2 * (at + PIECE);
        if (at + piece > frame->capacity && !reserve(frame, wanted < length ? wanted : length))
            return false;
        if (!read_piece(stream, seal, frame->bytes + at, piece))
            return false;
        at += piece;
    }
    frame->length = length;
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

bool dtr_frame_write(const struct dtr_frame_stream *stream, struct dtr_seal *seal, uint32_t type,
                     const void *bytes, size_t length) {
    const struct header header = {frame_magic, type, (uint32_t)length};
    const uint8_t *from = bytes;
    if (!write_piece(stream, seal, &header, sizeof header, length > 0))
        return false;
    while (length) {
        const size_t piece = length < PIECE ? length : PIECE;
        if (!write_piece(stream, seal, from, piece, piece < length))
            return false;
        from += piece;
        length -= piece;
    }
    return true;
}

/* SPDX-License-Identifier: MIT
 *
 * frame.h -- frames on a stream of bytes: a header (magic, type, length), then the contents.  On a
 * sealed stream both are encrypted and authenticated, in pieces that are counted, so that what was
 * changed, played back, left out or put in another order is refused.
 */
#ifndef DTR_RUN_FRAME_H
#define DTR_RUN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of a frame's contents: far above any plan or request. */
#define DTR_FRAME_MAX (UINT32_C(256) << 20)

/* One direction of a sealed stream. */
struct dtr_seal {
    uint8_t key[32];
    uint64_t counter; /* pieces so far */
};

/* What a frame is read into; the memory is used again. */
struct dtr_frame_buffer {
    uint32_t type;
    uint8_t *bytes;
    size_t length, capacity;
};

/* Where bytes come from and go to; all `length` of them, or false. */
struct dtr_frame_stream {
    void *arg;
    bool (*read)(void *arg, void *out, size_t length);
    bool (*write)(void *arg, const void *bytes, size_t length, bool more);
};

/* Reads the next frame's header, of a type below `types`, then its contents; memory is taken as
 * they come in: what a header promises may never come.  `seal` NULL: a plain stream.  False: the
 * stream ended, or holds what does not belong there; nothing can be read from it any more. */
bool dtr_frame_read_header(const struct dtr_frame_stream *stream, struct dtr_seal *seal,
                           uint32_t types, uint32_t *type_p, size_t *length_p);
bool dtr_frame_read_contents(const struct dtr_frame_stream *stream, struct dtr_seal *seal,
                             size_t length, struct dtr_frame_buffer *frame);

/* Writes a frame of at most DTR_FRAME_MAX bytes. */
bool dtr_frame_write(const struct dtr_frame_stream *stream, struct dtr_seal *seal, uint32_t type,
                     const void *bytes, size_t length);

#endif

/* SPDX-License-Identifier: MIT */
#include "run/shard.h"

#include <stdlib.h>
#include <string.h>

#include "run/protocol.h"

/* Pieces that are asked for before the first has come. */
enum { AHEAD = 8 };

void dtr_write_piece(struct dtr_writer *writer, const struct dtr_piece *piece) {
    dtr_write_u32(writer, piece->tensor);
    dtr_write_u32(writer, piece->row);
    dtr_write_u32(writer, piece->rows);
    dtr_write_u32(writer, piece->column);
    dtr_write_u32(writer, piece->columns);
}

void dtr_read_piece(struct dtr_reader *reader, struct dtr_piece *piece) {
    piece->tensor = dtr_read_u32(reader);
    piece->row = dtr_read_u32(reader);
    piece->rows = dtr_read_u32(reader);
    piece->column = dtr_read_u32(reader);
    piece->columns = dtr_read_u32(reader);
}

/* A rectangle cut into pieces that can be sent: some rows, or some columns of one row. */
struct cut {
    const struct dtr_piece *whole;
    size_t row_bytes, each; /* bytes of a row, and of a number */
    uint32_t rows, columns; /* of a piece */
    uint32_t per_row;
    size_t count;
};

static struct cut cut_up(const struct dtr_piece *whole, size_t row_bytes) {
    struct cut cut = {.whole = whole, .row_bytes = row_bytes, .each = row_bytes / whole->columns};
    const size_t rows = DTR_PIECE_BYTES_MAX / row_bytes;
    cut.rows = !rows ? 1 : rows < whole->rows ? (uint32_t)rows : whole->rows;
    cut.columns = rows ? whole->columns : (uint32_t)(DTR_PIECE_BYTES_MAX / cut.each);
    cut.per_row = (whole->columns - 1) / cut.columns + 1;
    cut.count = ((size_t)(whole->rows - 1) / cut.rows + 1) * cut.per_row;
    return cut;
}

static struct dtr_piece piece_of(const struct cut *cut, size_t index, size_t *offset_p,
                                 size_t *length_p) {
    const struct dtr_piece *whole = cut->whole;
    const uint32_t row = (uint32_t)(index / cut->per_row) * cut->rows;
    const uint32_t column = (uint32_t)(index % cut->per_row) * cut->columns;
    const struct dtr_piece piece = {
        .tensor = whole->tensor,
        .row = whole->row + row,
        .rows = whole->rows - row < cut->rows ? whole->rows - row : cut->rows,
        .column = whole->column + column,
        .columns = whole->columns - column < cut->columns ? whole->columns - column : cut->columns,
    };
    *offset_p = row * cut->row_bytes + column * cut->each;
    *length_p = piece.rows * (size_t)piece.columns * cut->each;
    return piece;
}

static int ask(struct dtr_shard *shard, const struct dtr_piece *piece, struct dtr_error *error) {
    dtr_writer_clear(&shard->writer);
    dtr_write_piece(&shard->writer, piece);
    dtr_write_u64(&shard->writer, *shard->epoch);
    if (shard->writer.failed)
        return dtr_fail_memory(error);
    return dtr_channel_send(shard->channel, DTR_FRAME_FETCH, shard->writer.bytes,
                            shard->writer.length)
               ? dtr_fail(error, DTR_E_PEER, "the leader is gone")
               : DTR_OK;
}

static int hear(struct dtr_shard *shard, const struct dtr_piece *wanted, uint8_t *out,
                size_t length, struct dtr_error *error) {
    struct dtr_frame frame;
    struct dtr_reader reader;
    struct dtr_piece piece;
    do {
        if (dtr_channel_receive(shard->channel, UINT64_MAX / 2, &frame))
            return dtr_fail(error, DTR_E_PEER, "the leader is gone");
        reader = (struct dtr_reader){.bytes = frame.bytes, .length = frame.length};
    } while (dtr_read_epoch(&reader) != *shard->epoch && frame.type == DTR_FRAME_PIECE);
    if (frame.type != DTR_FRAME_PIECE) {
        /* The leader has gone on to something else. */
        dtr_channel_put_back(shard->channel);
        return dtr_fail(error, DTR_E_ABORTED, "loading weights was aborted");
    }
    dtr_read_piece(&reader, &piece);
    const void *bytes = dtr_read_bytes(&reader, length);
    if (!dtr_reader_done(&reader) || memcmp(&piece, wanted, sizeof piece) != 0)
        return dtr_fail(error, DTR_E_CORRUPT, "other weights arrived than were due");
    memcpy(out, bytes, length);
    return DTR_OK;
}

/* The pieces of `missing`, in their order. */
static int fetch_missing(struct dtr_shard *shard, const struct cut *cut, const size_t *missing,
                         size_t count, uint8_t *out, struct dtr_error *error) {
    size_t asked = 0, offset, length;
    for (size_t heard = 0; heard < count; heard++) {
        for (; asked < count && asked < heard + AHEAD; asked++) {
            const struct dtr_piece piece = piece_of(cut, missing[asked], &offset, &length);
            const int status = ask(shard, &piece, error);
            if (status)
                return status;
        }
        const struct dtr_piece piece = piece_of(cut, missing[heard], &offset, &length);
        const int status = hear(shard, &piece, out + offset, length, error);
        if (status)
            return status;
        shard->sent_bytes += length;
        if (shard->cache)
            dtr_cache_store(shard->cache, &piece, out + offset, length);
    }
    return DTR_OK;
}

int dtr_shard_fetch(void *arg, const struct dtr_piece *whole, size_t row_bytes, uint8_t *out,
                    struct dtr_error *error) {
    struct dtr_shard *shard = arg;
    const struct cut cut = cut_up(whole, row_bytes);
    size_t *missing = malloc(cut.count * sizeof *missing), count = 0, offset, length;
    if (!missing)
        return dtr_fail_memory(error);
    for (size_t i = 0; i < cut.count; i++) {
        const struct dtr_piece piece = piece_of(&cut, i, &offset, &length);
        if (shard->cache && dtr_cache_load(shard->cache, &piece, out + offset, length))
            shard->cached_bytes += length;
        else
            missing[count++] = i;
    }
    const int status = fetch_missing(shard, &cut, missing, count, out, error);
    free(missing);
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * supplier.c -- the leader hands out pieces of its weights to workers that have no file of them.
 */
#include "run/group.h"

#include <stdio.h>
#include <stdlib.h>

#include "plan/account.h"
#include "run/shard.h"

/* About what the device will ask for: its weights under the plan, and the embeddings. */
static uint64_t expected_bytes(const struct dtr_session *session, uint32_t device) {
    const struct dtr_device *own = session->device;
    const struct dtr_model *model = own->model;
    const uint32_t length = own->options.length_max;
    const struct dtr_request request = {.sequences = 1, .lengths = &length};
    struct dtr_schedule *schedule;
    struct dtr_account account;
    const uint32_t rank = dtr_rank_of(session, device);
    /* The plan may still be the one of a group before. */
    if (!own->plan || rank >= own->plan->devices ||
        dtr_device_schedule_of(own, rank, &request, &schedule, NULL))
        return 0;
    dtr_account_schedule(schedule, &model->shape, NULL, &account);
    dtr_schedule_free(schedule);
    return account.weight_bytes + sizeof(float) * (uint64_t)model->shape.hidden *
                                      ((uint64_t)model->vocabulary + model->positions);
}

static void show(struct dtr_peer *peer) {
    const struct dtr_session_progress *progress = peer->session->progress;
    char what[48];
    /* Later on there is something else to show. */
    if (atomic_load(&peer->session->started) || !progress || !progress->stage)
        return;
    if (!peer->expected_bytes)
        peer->expected_bytes = expected_bytes(peer->session, peer->device);
    const uint64_t total =
        peer->expected_bytes > peer->supplied_bytes ? peer->expected_bytes : peer->supplied_bytes;
    snprintf(what, sizeof what, "MiB of weights to device %u", peer->device);
    progress->stage(progress->arg, what, (uint32_t)(peer->supplied_bytes >> 20),
                    (uint32_t)(total >> 20));
}

int dtr_peer_supply(struct dtr_peer *peer, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_session *session = peer->session;
    struct dtr_piece piece;
    size_t length;
    dtr_read_piece(reader, &piece);
    uint8_t *bytes = malloc(DTR_PIECE_BYTES_MAX);
    if (!bytes)
        return dtr_fail_memory(error);
    if (!dtr_reader_done(reader) ||
        !dtr_supply_copy(session->device->model, &piece, bytes, &length)) {
        free(bytes);
        return dtr_fail(error, DTR_E_CORRUPT, "device %u asked for weights that there are not",
                        peer->device);
    }
    dtr_writer_clear(&peer->writer);
    dtr_write_piece(&peer->writer, &piece);
    dtr_write_bytes(&peer->writer, bytes, length);
    free(bytes);
    peer->supplied_bytes += length;
    show(peer);
    return dtr_peer_send(peer, DTR_FRAME_PIECE, error);
}

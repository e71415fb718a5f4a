/* SPDX-License-Identifier: MIT */
#include "plan/assembly.h"

#include "plan/builder_memory.h"
#include "plan/wire.h"

struct dtr_assembly dtr_assembly_begin(struct dtr_builder *b, enum dtr_collective_kind kind,
                                       uint32_t rows, uint32_t columns) {
    const uint64_t bytes = dtr_wire_bytes(b->wire, rows, (uint64_t)rows * columns);
    return (struct dtr_assembly){
        .b = b,
        .index = -1,
        .kind = kind,
        .algorithm = dtr_ways_algorithm(b->ways, kind, bytes),
        .tag = b->next_tag++,
    };
}

enum dtr_algorithm dtr_assembly_algorithm(struct dtr_assembly *a, uint32_t count, bool possible) {
    struct dtr_builder *b = a->b;
    const bool works = possible && dtr_route_works(a->algorithm, count);
    if (!works && count > 1 && dtr_ways_insist_on(b->ways, a->kind) && !b->status) {
        b->status = DTR_E_CONFIG;
        b->refused = (struct dtr_refusal){a->kind, a->algorithm, b->layer, count, possible};
    }
    if (!works)
        a->algorithm = DTR_DIRECT;
    return a->algorithm;
}

void dtr_assembly_next_message(struct dtr_assembly *a) {
    a->message = NULL;
}

/* The message that views go to from now on. */
static struct dtr_message *begin_message(struct dtr_assembly *a, enum dtr_message_kind kind,
                                         uint32_t peer) {
    struct dtr_message *message = dtr_new_message(a->b);
    if (!message)
        return NULL;
    message->kind = (uint8_t)kind;
    message->round = a->round;
    message->peer = peer;
    message->view = a->b->schedule->views_count;
    struct dtr_collective *collective = &a->b->schedule->collectives[a->index];
    collective->messages++;
    if (collective->rounds <= a->round)
        collective->rounds = (uint16_t)(a->round + 1);
    return message;
}

void dtr_assembly_add(struct dtr_assembly *a, enum dtr_message_kind kind, uint32_t peer,
                      struct dtr_view view) {
    struct dtr_builder *b = a->b;
    if (a->index < 0) {
        struct dtr_collective *collective = dtr_new_collective(b, &a->index);
        if (!collective)
            return;
        *collective = (struct dtr_collective){
            .kind = (uint8_t)a->kind,
            .algorithm = (uint8_t)a->algorithm,
            .wire = b->wire,
            .layer = b->layer,
            .tag = a->tag,
            .message = b->schedule->messages_count,
        };
    }
    if (!a->message)
        a->message = begin_message(a, kind, peer);
    struct dtr_view *slot = a->message ? dtr_new_view(b) : NULL;
    if (!slot)
        return;
    *slot = view;
    a->message->views++;
    a->message->rows += dtr_range_count(view.rows);
    a->message->values += (uint64_t)dtr_range_count(view.rows) * dtr_range_count(view.columns);
}

int32_t dtr_assembly_end(struct dtr_assembly *a) {
    if (a->index < 0 || a->b->status)
        return -1;
    struct dtr_step *step = dtr_new_step(a->b, DTR_STEP_START);
    if (step)
        step->collective = a->index;
    return a->index;
}

void dtr_emit_wait(struct dtr_builder *b, int32_t collective) {
    if (collective < 0)
        return;
    struct dtr_step *step = dtr_new_step(b, DTR_STEP_WAIT);
    if (step)
        step->collective = collective;
}

/* SPDX-License-Identifier: MIT */
#include "plan/assembly.h"

#include "plan/builder_memory.h"
#include "plan/wire.h"

struct dtr_assembly dtr_assembly_begin(struct dtr_builder *b, enum dtr_collective_kind kind,
                                       uint32_t rows, uint32_t columns) {
    return (struct dtr_assembly){
        .b = b,
        .index = -1,
        .kind = kind,
        .bytes = dtr_wire_bytes(b->wire, rows, (uint64_t)rows * columns),
        .tag = b->next_tag++,
    };
}

enum dtr_algorithm dtr_assembly_algorithm(struct dtr_assembly *a, uint32_t count, bool possible,
                                          bool any_number) {
    struct dtr_builder *b = a->b;
    enum dtr_algorithm wanted = dtr_ways_algorithm(b->ways, a->kind, count, a->bytes);
    /* It differs only for a sum that everybody adds to, which any number can do. */
    if (wanted == DTR_ONE_SHOT && !any_number)
        wanted = DTR_DIRECT;
    a->algorithm = wanted;
    if (wanted == DTR_DIRECT || (possible && (any_number || dtr_route_works(wanted, count))))
        return wanted;
    if (count > 1 && dtr_ways_insist_on(b->ways, a->kind) && !b->status) {
        b->status = DTR_E_CONFIG;
        b->refused = (struct dtr_refusal){a->kind, wanted, b->layer, count, possible};
    }
    /* In as few rounds as doubling would take. */
    a->algorithm = possible ? DTR_BRUCK : DTR_DIRECT;
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

/* Rows travel one after the other, so that views whose rows do too are one.  False: they do not. */
static bool grow_view(struct dtr_view *last, struct dtr_view view) {
    if (last->buffer != view.buffer || last->rows.end != view.rows.begin ||
        last->columns.begin != view.columns.begin || last->columns.end != view.columns.end)
        return false;
    last->rows.end = view.rows.end;
    return true;
}

/* What the message carries, view after view. */
static void add_view(struct dtr_builder *b, struct dtr_message *message, struct dtr_view view) {
    if (!message->views || !grow_view(&b->schedule->views[b->schedule->views_count - 1], view)) {
        struct dtr_view *slot = dtr_new_view(b);
        if (!slot)
            return;
        *slot = view;
        message->views++;
    }
    message->rows += dtr_range_count(view.rows);
    message->values += (uint64_t)dtr_range_count(view.rows) * dtr_range_count(view.columns);
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
    if (a->message)
        add_view(b, a->message, view);
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

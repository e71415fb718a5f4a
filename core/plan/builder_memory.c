/* SPDX-License-Identifier: MIT */
#include "plan/builder_memory.h"

#include <stdlib.h>
#include <string.h>

/* Arrays hold a power of two of elements, so that the count alone tells when one is full. */
static void *grow(struct dtr_builder *b, void *array, uint32_t *count, size_t size, void **new_p) {
    if (b->status)
        return NULL;
    if ((*count & (*count - 1)) == 0) {
        void *larger = realloc(array, (*count ? (size_t)*count * 2 : 1) * size);
        if (!larger) {
            b->status = DTR_E_MEMORY;
            return NULL;
        }
        array = larger;
    }
    *new_p = array;
    void *element = (char *)array + (size_t)*count * size;
    memset(element, 0, size);
    ++*count;
    return element;
}

struct dtr_buffer *dtr_new_buffer(struct dtr_builder *b, int32_t *index_p) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->buffers;
    struct dtr_buffer *buffer = grow(b, s->buffers, &s->buffers_count, sizeof *s->buffers, &array);
    s->buffers = array;
    *index_p = (int32_t)s->buffers_count - 1;
    return buffer;
}

struct dtr_step *dtr_new_step(struct dtr_builder *b, enum dtr_step_kind kind) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->steps;
    struct dtr_step *step = grow(b, s->steps, &s->steps_count, sizeof *s->steps, &array);
    s->steps = array;
    if (step)
        *step = (struct dtr_step){
            .kind = (uint8_t)kind,
            .layer = b->layer,
            .division = b->division,
            .weight = -1,
            .collective = -1,
            .in = {DTR_NO_VIEW, DTR_NO_VIEW, DTR_NO_VIEW},
            .out = DTR_NO_VIEW,
        };
    return step;
}

struct dtr_weight_key *dtr_new_weight(struct dtr_builder *b, int32_t *index_p) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->weights;
    struct dtr_weight_key *key = grow(b, s->weights, &s->weights_count, sizeof *s->weights, &array);
    s->weights = array;
    *index_p = (int32_t)s->weights_count - 1;
    return key;
}

struct dtr_collective *dtr_new_collective(struct dtr_builder *b, int32_t *index_p) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->collectives;
    struct dtr_collective *collective =
        grow(b, s->collectives, &s->collectives_count, sizeof *s->collectives, &array);
    s->collectives = array;
    *index_p = (int32_t)s->collectives_count - 1;
    return collective;
}

struct dtr_message *dtr_new_message(struct dtr_builder *b) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->messages;
    struct dtr_message *message =
        grow(b, s->messages, &s->messages_count, sizeof *s->messages, &array);
    s->messages = array;
    return message;
}

struct dtr_view *dtr_new_view(struct dtr_builder *b) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->views;
    struct dtr_view *view = grow(b, s->views, &s->views_count, sizeof *s->views, &array);
    s->views = array;
    return view;
}

struct dtr_span *dtr_new_span(struct dtr_builder *b) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->spans;
    struct dtr_span *span = grow(b, s->spans, &s->spans_count, sizeof *s->spans, &array);
    s->spans = array;
    return span;
}

uint32_t *dtr_new_row(struct dtr_builder *b) {
    struct dtr_schedule *s = b->schedule;
    void *array = s->rows;
    uint32_t *row = grow(b, s->rows, &s->rows_count, sizeof *s->rows, &array);
    s->rows = array;
    return row;
}

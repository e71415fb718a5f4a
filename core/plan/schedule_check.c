/* SPDX-License-Identifier: MIT
 *
 * schedule_check.c -- proves that a schedule keeps its promises, by running it on flags instead of
 * floats: for every element of every buffer whether it is written, on its way in, or on its way
 * out.
 */
#include <stdlib.h>

#include "plan/schedule.h"

enum { WRITTEN = 1, COMING = 2, LEAVING = 4 };

struct checker {
    const struct dtr_schedule *schedule;
    uint8_t **state;     /* [buffers][rows * columns] */
    uint8_t *collective; /* 0: not begun, 1: under way, 2: complete */
    const char *what;    /* the first broken promise */
};

static bool inside(const struct checker *c, const struct dtr_view *view) {
    if (view->buffer < 0 || (uint32_t)view->buffer >= c->schedule->buffers_count)
        return false;
    const struct dtr_buffer *buffer = &c->schedule->buffers[view->buffer];
    return view->rows.begin >= buffer->row && view->rows.end <= buffer->row + buffer->rows &&
           view->columns.end <= buffer->columns && !dtr_range_empty(view->rows) &&
           !dtr_range_empty(view->columns);
}

static void complain(struct checker *c, const char *what) {
    if (!c->what)
        c->what = what;
}

/* Applies to every element of a view: complains when any has a flag of `never` or lacks one of
 * `always`, then sets and clears flags. */
static void touch(struct checker *c, const struct dtr_view *view, uint8_t always, uint8_t never,
                  const char *what, uint8_t set, uint8_t clear) {
    if (!inside(c, view)) {
        complain(c, "a view lies outside its buffer");
        return;
    }
    const struct dtr_buffer *buffer = &c->schedule->buffers[view->buffer];
    for (uint32_t row = view->rows.begin; row < view->rows.end; row++)
        for (uint32_t column = view->columns.begin; column < view->columns.end; column++) {
            uint8_t *state =
                &c->state[view->buffer][(size_t)(row - buffer->row) * buffer->columns + column];
            if ((*state & always) != always || (*state & never))
                complain(c, what);
            *state = (uint8_t)((*state & ~clear) | set);
        }
}

static void reads(struct checker *c, const struct dtr_view *view) {
    if (view->buffer >= 0)
        touch(c, view, WRITTEN, COMING, "something is read that was not written", 0, 0);
}

static void writes(struct checker *c, const struct dtr_view *view) {
    touch(c, view, 0, COMING | LEAVING, "something is written that is under way", WRITTEN, 0);
}

/* What other collectives are at is out of bounds in every round. */
static void start_apart(struct checker *c, const struct dtr_collective *collective) {
    const struct dtr_schedule *s = c->schedule;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &s->messages[collective->message + i];
        for (uint32_t j = 0; j < message->views && message->kind != DTR_MESSAGE_SEND; j++)
            touch(c, &s->views[message->view + j], 0, COMING | LEAVING,
                  "something is received over what is under way", 0, 0);
    }
}

static void start(struct checker *c, uint32_t index) {
    const struct dtr_schedule *s = c->schedule;
    const struct dtr_collective *collective = &s->collectives[index];
    if (c->collective[index]++)
        complain(c, "a collective begins twice");
    start_apart(c, collective);
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &s->messages[collective->message + i];
        if (i && message->round < message[-1].round)
            complain(c, "a collective's messages are not in the order of its rounds");
        for (uint32_t j = 0; j < message->views; j++) {
            const struct dtr_view *view = &s->views[message->view + j];
            if (message->kind == DTR_MESSAGE_SEND && message->round == 0)
                touch(c, view, WRITTEN, COMING, "something is sent that was not written", LEAVING,
                      0);
            else if (message->kind == DTR_MESSAGE_REDUCE)
                touch(c, view, 0, 0, "", COMING, 0);
            else if (message->kind == DTR_MESSAGE_RECEIVE)
                /* Later rounds may receive over what an earlier one has sent. */
                touch(c, view, 0, message->round ? 0 : LEAVING,
                      "something is received over what is leaving", COMING, 0);
        }
    }
}

static void wait(struct checker *c, uint32_t index) {
    const struct dtr_schedule *s = c->schedule;
    const struct dtr_collective *collective = &s->collectives[index];
    if (c->collective[index]++ != 1)
        complain(c, "a collective is awaited that is not under way");
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &s->messages[collective->message + i];
        for (uint32_t j = 0; j < message->views; j++) {
            const struct dtr_view *view = &s->views[message->view + j];
            const bool send = message->kind == DTR_MESSAGE_SEND;
            touch(c, view, 0, 0, "", send ? 0 : WRITTEN, send ? LEAVING : COMING);
        }
    }
}

static void step(struct checker *c, const struct dtr_step *step) {
    if (step->kind == DTR_STEP_START) {
        start(c, (uint32_t)step->collective);
        return;
    }
    if (step->kind == DTR_STEP_WAIT) {
        wait(c, (uint32_t)step->collective);
        return;
    }
    const bool moments = step->kind == DTR_STEP_MOMENTS;
    for (int i = 0; i < (moments ? 2 : 3); i++)
        reads(c, &step->in[i]);
    if (moments)
        writes(c, &step->in[2]);
    if (step->flags & DTR_STEP_ACCUMULATE)
        reads(c, &step->out);
    writes(c, &step->out);
}

static bool prepare(struct checker *c) {
    const struct dtr_schedule *s = c->schedule;
    c->state = calloc((size_t)s->buffers_count + 1, sizeof *c->state);
    c->collective = calloc((size_t)s->collectives_count + 1, 1);
    if (!c->state || !c->collective)
        return false;
    for (uint32_t i = 0; i < s->buffers_count; i++) {
        c->state[i] = calloc((size_t)s->buffers[i].rows * s->buffers[i].columns + 1, 1);
        if (!c->state[i])
            return false;
    }
    if (s->input.buffer >= 0)
        touch(c, &s->input, 0, 0, "", WRITTEN, 0);
    return true;
}

const char *dtr_schedule_check(const struct dtr_schedule *schedule, uint32_t *step_p) {
    struct checker c = {.schedule = schedule};
    *step_p = 0;
    if (!prepare(&c))
        complain(&c, "out of memory");
    for (uint32_t i = 0; i < schedule->steps_count && !c.what; i++) {
        *step_p = i;
        step(&c, &schedule->steps[i]);
    }
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        if (!c.what && c.collective[i] != 2)
            complain(&c, "a collective is never awaited");
    if (!c.what && schedule->hidden.buffer >= 0)
        reads(&c, &schedule->hidden);
    for (uint32_t i = 0; c.state && i < schedule->buffers_count; i++)
        free(c.state[i]);
    free(c.state);
    free(c.collective);
    return c.what;
}

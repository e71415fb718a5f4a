/* SPDX-License-Identifier: MIT
 *
 * sums.c -- collectives that add: every device sends each part of what it has straight to whoever
 * sums that part up, unless the plan says otherwise.
 */
#include "plan/assembly.h"
#include "plan/builder_memory.h"

/* A member's even share of the rows, in which it does the sums. */
static struct dtr_range member_rows(const struct dtr_team *team, uint32_t device,
                                    struct dtr_range rows) {
    if (!team->member[device])
        return (struct dtr_range){0, 0};
    return dtr_range_piece(rows, team->before[device], team->members);
}

/* Messages that bring every contribution to `mine`; the first replaces what is there when this
 * device has none of its own. */
static void receive_sums(struct dtr_assembly *a, const struct dtr_range *part,
                         struct dtr_view mine) {
    struct dtr_builder *b = a->b;
    bool replace = dtr_range_empty(part[b->device]);
    for (uint32_t i = 0; i < b->devices; i++) {
        if (i == b->device || dtr_range_empty(part[i]) || dtr_range_empty(mine.rows))
            continue;
        dtr_assembly_next_message(a);
        dtr_assembly_add(a, replace ? DTR_MESSAGE_RECEIVE : DTR_MESSAGE_REDUCE, i, mine);
        replace = false;
    }
}

/* Every part goes to the member that sums it up. */
void dtr_sum_to_members(struct dtr_assembly *a, const struct dtr_team *team,
                        const struct dtr_range *part, struct dtr_view view) {
    struct dtr_builder *b = a->b;
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        const struct dtr_range theirs = member_rows(team, peer, view.rows);
        dtr_assembly_next_message(a);
        if (!dtr_range_empty(theirs) && !dtr_range_empty(part[b->device]))
            dtr_assembly_add(a, DTR_MESSAGE_SEND, peer, dtr_view_rows(view, theirs));
    }
    receive_sums(a, part, dtr_view_rows(view, member_rows(team, b->device, view.rows)));
    dtr_assembly_next_message(a);
}

/* And its sum to all. */
static void sum_straight(struct dtr_assembly *a, const struct dtr_team *team,
                         const struct dtr_range *part, struct dtr_view view) {
    struct dtr_builder *b = a->b;
    const struct dtr_view mine = dtr_view_rows(view, member_rows(team, b->device, view.rows));
    dtr_sum_to_members(a, team, part, view);
    a->round = 1;
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        dtr_assembly_next_message(a);
        if (team->member[peer] && !dtr_range_empty(mine.rows))
            dtr_assembly_add(a, DTR_MESSAGE_SEND, peer, mine);
    }
    for (uint32_t step = 1; step < b->devices; step++) {
        const uint32_t peer = (b->device + b->devices - step) % b->devices;
        const struct dtr_range theirs = member_rows(team, peer, view.rows);
        dtr_assembly_next_message(a);
        if (!dtr_range_empty(theirs))
            dtr_assembly_add(a, DTR_MESSAGE_RECEIVE, peer, dtr_view_rows(view, theirs));
    }
}

int32_t dtr_emit_all_reduce(struct dtr_builder *b, const struct dtr_team *team,
                            const struct dtr_range *part, struct dtr_view view) {
    struct dtr_assembly a = dtr_assembly_begin(b, DTR_ALL_REDUCE, dtr_range_count(view.rows),
                                               dtr_range_count(view.columns));
    if (!team->member[b->device])
        return -1;
    if (!dtr_relay_all_reduce(&a, team, part, view))
        sum_straight(&a, team, part, view);
    return dtr_assembly_end(&a);
}

/* What this device adds to its own share is there already. */
static void copy_own(struct dtr_builder *b, struct dtr_view partial, const struct dtr_spread *to) {
    struct dtr_rectangle piece;
    for (uint32_t i = 0; dtr_rectangle_held(b, to, b->device, &i, &piece);) {
        struct dtr_view in = partial;
        in.rows = piece.rows;
        in.columns = piece.columns;
        const struct dtr_view out = dtr_rectangle_view(b, to, piece);
        if (in.buffer != out.buffer)
            dtr_emit_copy(b, in, out);
    }
}

static void scatter_straight(struct dtr_assembly *a, const struct dtr_range *part,
                             struct dtr_view partial, const struct dtr_spread *to) {
    struct dtr_builder *b = a->b;
    const bool contributes = !dtr_range_empty(part[b->device]);
    struct dtr_rectangle piece;
    for (uint32_t step = 1; contributes && step < b->devices; step++) {
        const uint32_t peer = (b->device + step) % b->devices;
        dtr_assembly_next_message(a);
        for (uint32_t i = 0; dtr_rectangle_held(b, to, peer, &i, &piece);) {
            struct dtr_view view = partial;
            view.rows = piece.rows;
            view.columns = piece.columns;
            dtr_assembly_add(a, DTR_MESSAGE_SEND, peer, view);
        }
    }
    bool replace = !contributes;
    for (uint32_t i = 0; i < b->devices; i++) {
        if (i == b->device || dtr_range_empty(part[i]))
            continue;
        dtr_assembly_next_message(a);
        for (uint32_t j = 0; dtr_rectangle_held(b, to, b->device, &j, &piece);)
            dtr_assembly_add(a, replace ? DTR_MESSAGE_RECEIVE : DTR_MESSAGE_REDUCE, i,
                             dtr_rectangle_view(b, to, piece));
        replace = false;
    }
}

int32_t dtr_emit_reduce_scatter(struct dtr_builder *b, const struct dtr_range *part,
                                struct dtr_view partial, const struct dtr_spread *to) {
    struct dtr_assembly a = dtr_assembly_begin(b, DTR_REDUCE_SCATTER, b->rows, to->columns);
    if (!dtr_range_empty(part[b->device]))
        copy_own(b, partial, to);
    if (!dtr_relay_reduce_scatter(&a, part, partial, to))
        scatter_straight(&a, part, partial, to);
    return dtr_assembly_end(&a);
}

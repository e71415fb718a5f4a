/* SPDX-License-Identifier: MIT */
#include "plan/builder.h"

#include <stdlib.h>
#include <string.h>

#include "plan/assembly.h"
#include "plan/legs.h"
#include "plan/parcel.h"
#include "plan/strategy.h"

struct dtr_split_entry {
    const double *weight;
    uint32_t total, unit;
    struct dtr_range *ranges;
};

enum { QUERY, PROJECTION, COLUMNS, CUTS };

bool dtr_takes(const struct dtr_builder *b, uint32_t device) {
    return b->takes[device];
}

/* --- divisions by share ----------------------------------------------------------------------- */

/* Out of memory: ranges without a meaning, as the status says. */
static const struct dtr_range *parts(struct dtr_builder *b, const struct dtr_team *team,
                                     uint32_t total, uint32_t unit) {
    /* Most often the one that was asked for last, for another device. */
    for (uint32_t i = 0, at = b->split_last; i < b->splits_count; i++, at++) {
        at = at < b->splits_count ? at : 0;
        const struct dtr_split_entry *entry = &b->splits[at];
        if (entry->weight == team->weight && entry->total == total && entry->unit == unit) {
            b->split_last = at;
            return entry->ranges;
        }
    }
    struct dtr_split_entry *larger = realloc(b->splits, (b->splits_count + 1) * sizeof *b->splits);
    struct dtr_range *ranges = calloc(b->devices, sizeof *ranges);
    if (larger)
        b->splits = larger;
    if (!larger || !ranges) {
        free(ranges);
        b->status = DTR_E_MEMORY;
        return b->ranges;
    }
    dtr_split(total, unit, team->weight, b->devices, ranges);
    b->splits[b->splits_count++] = (struct dtr_split_entry){team->weight, total, unit, ranges};
    return ranges;
}

struct dtr_range dtr_part(struct dtr_builder *b, const struct dtr_team *team, uint32_t total,
                          uint32_t unit, uint32_t device) {
    const struct dtr_range *ranges = parts(b, team, total, unit);
    return b->status ? (struct dtr_range){0, 0} : ranges[device];
}

struct dtr_range dtr_part_rows(struct dtr_builder *b, uint32_t device) {
    return dtr_part(b, &b->taking, b->rows, 1, device);
}

const struct dtr_range *dtr_parts_heads(struct dtr_builder *b, const struct dtr_team *team,
                                        const struct dtr_block *block) {
    return parts(b, team, block->heads, 1);
}

struct dtr_range dtr_part_heads(struct dtr_builder *b, const struct dtr_team *team,
                                const struct dtr_block *block, uint32_t device) {
    return dtr_part(b, team, block->heads, 1, device);
}

/* Vector lengths divide the parts of a wide feed-forward; a narrow one is divided evenly instead,
 * so that every device gets some of it. */
static uint32_t column_unit(const struct dtr_team *team, uint32_t intermediate) {
    const uint32_t vector = 16;
    return intermediate >= 4 * vector * team->members ? vector : 1;
}

const struct dtr_range *dtr_parts_columns(struct dtr_builder *b, const struct dtr_team *team,
                                          const struct dtr_block *block) {
    return parts(b, team, block->intermediate, column_unit(team, block->intermediate));
}

struct dtr_range dtr_part_columns(struct dtr_builder *b, const struct dtr_team *team,
                                  const struct dtr_block *block, uint32_t device) {
    return dtr_part(b, team, block->intermediate, column_unit(team, block->intermediate), device);
}

/* --- blocks and their cuts -------------------------------------------------------------------- */

static struct dtr_block with_cuts(struct dtr_block block, const struct dtr_cuts cuts[CUTS]) {
    block.query = &cuts[QUERY];
    block.projection = &cuts[PROJECTION];
    block.columns = &cuts[COLUMNS];
    return block;
}

struct dtr_block dtr_original_block(const struct dtr_builder *b, uint32_t layer) {
    const struct dtr_model_shape *model = b->model;
    const struct dtr_block block = {
        .layer = (uint16_t)layer,
        .division = -1,
        .width = model->hidden,
        .heads = model->heads,
        .head_size = model->hidden / model->heads,
        .intermediate = model->intermediate,
    };
    return with_cuts(block, b->original);
}

struct dtr_block dtr_sub_block(const struct dtr_builder *b, uint32_t layer, uint32_t division) {
    const struct dtr_model_shape *model = b->model;
    const struct dtr_block block = {
        .layer = (uint16_t)layer,
        .division = (int16_t)division,
        .width = model->hidden / model->divisions,
        .heads = model->sub_heads,
        .head_size = model->sub_attention / model->sub_heads,
        .intermediate = model->sub_intermediate,
    };
    return with_cuts(block, b->sub_block + (size_t)division * CUTS);
}

/* Adds the bounds of a team's parts to the marks. */
static void mark(struct dtr_builder *b, uint8_t *marks, const struct dtr_team *team, uint32_t total,
                 uint32_t unit) {
    for (uint32_t i = 0; i < b->devices; i++)
        marks[dtr_part(b, team, total, unit, i).end] = 1;
}

static void cuts_from_marks(struct dtr_builder *b, struct dtr_cuts *cuts, const uint8_t *marks,
                            uint32_t total) {
    cuts->at = calloc((size_t)total + 1, sizeof *cuts->at);
    if (!cuts->at) {
        b->status = DTR_E_MEMORY;
        return;
    }
    for (uint32_t i = 1; i <= total; i++)
        if (marks[i] || i == total)
            cuts->at[++cuts->count] = i;
}

/* One dimension of a block: cut for the whole team, for those who share it, both or neither. */
static void cut(struct dtr_builder *b, struct dtr_cuts *cuts, uint32_t total, bool columns,
                bool all, const struct dtr_team *sharing) {
    uint8_t *marks = calloc((size_t)total + 1, 1);
    if (!marks) {
        b->status = DTR_E_MEMORY;
        return;
    }
    if (all)
        mark(b, marks, &b->taking, total, columns ? column_unit(&b->taking, total) : 1);
    if (sharing)
        mark(b, marks, sharing, total, columns ? column_unit(sharing, total) : 1);
    cuts_from_marks(b, cuts, marks, total);
    free(marks);
}

static void cut_blocks(struct dtr_builder *b) {
    uint32_t original = 0, sub_block = 0;
    bool decoupled = false;
    for (uint32_t i = 0; i < b->plan->strategies; i++) {
        if (!b->plan->open[i])
            continue;
        const struct dtr_strategy *strategy = dtr_strategy_at(i);
        original |= strategy->original_cuts;
        sub_block |= strategy->sub_block_cuts;
        decoupled |= strategy->decoupled;
        b->query_apart |= strategy->query_apart;
    }
    const uint32_t flags[CUTS] = {DTR_CUT_QUERY, DTR_CUT_PROJECTION, DTR_CUT_COLUMNS};
    const struct dtr_model_shape *model = b->model;
    for (int i = 0; i < CUTS; i++)
        cut(b, &b->original[i], i == COLUMNS ? model->intermediate : model->heads, i == COLUMNS,
            original & flags[i], NULL);
    for (uint32_t d = 0; d < model->divisions; d++) {
        const struct dtr_team *sharing =
            decoupled && b->sharing[d].members > 1 ? &b->sharing[d] : NULL;
        for (int i = 0; i < CUTS; i++)
            cut(b, &b->sub_block[d * CUTS + (uint32_t)i],
                i == COLUMNS ? model->sub_intermediate : model->sub_heads, i == COLUMNS,
                sub_block & flags[i], sharing);
    }
}

/* --- creation --------------------------------------------------------------------------------- */

/* Numbers the members of the index-th team. */
static void number(const struct dtr_builder *b, struct dtr_team *team, uint32_t index) {
    team->before = b->places + (size_t)index * b->devices;
    for (uint32_t i = 0; i < b->devices; i++) {
        team->before[i] = team->members;
        team->members += team->member[i] != 0;
    }
}

static void form_teams(struct dtr_builder *b) {
    const struct dtr_plan *plan = b->plan;
    for (uint32_t i = 0; i < b->devices; i++)
        b->takes[i] = plan->share[i] > 0;
    for (uint32_t d = 0; d < plan->divisions; d++) {
        double *weight = b->weights + (size_t)d * b->devices;
        struct dtr_team *team = &b->sharing[d];
        uint32_t last = 0;
        *team = (struct dtr_team){.weight = weight, .member = plan->holds + (size_t)d * b->devices};
        for (uint32_t i = 0; i < b->devices; i++) {
            if (!team->member[i])
                continue;
            weight[i] = plan->share[i];
            b->takes[i] = 1;
            last = i;
        }
        number(b, team, d);
        /* A device that was given a division by hand runs it, whatever its share. */
        if (team->members == 1)
            weight[last] = 1;
    }
    b->taking = (struct dtr_team){.weight = plan->share, .member = b->takes};
    number(b, &b->taking, plan->divisions);
}

static struct dtr_schedule *create_schedule(const struct dtr_lowering *lowering, uint32_t device) {
    struct dtr_schedule *schedule = calloc(1, sizeof *schedule);
    if (!schedule)
        return NULL;
    schedule->device = device;
    schedule->devices = lowering->plan->devices;
    schedule->layers = lowering->model->layers;
    schedule->sequences = lowering->sequences;
    schedule->input = schedule->hidden = schedule->pooled = schedule->logits = DTR_NO_VIEW;
    schedule->lengths = malloc(lowering->sequences * sizeof *schedule->lengths);
    if (lowering->keep_layers) {
        schedule->layer_output = malloc(schedule->layers * sizeof *schedule->layer_output);
        for (uint32_t i = 0; schedule->layer_output && i < schedule->layers; i++)
            schedule->layer_output[i] = DTR_NO_VIEW;
    }
    if (!schedule->lengths || (lowering->keep_layers && !schedule->layer_output)) {
        dtr_schedule_free(schedule);
        return NULL;
    }
    for (uint32_t i = 0; i < lowering->sequences; i++) {
        schedule->lengths[i] = lowering->lengths[i];
        schedule->tokens += lowering->lengths[i];
    }
    schedule->selected = lowering->select ? lowering->selected : schedule->tokens;
    return schedule;
}

int dtr_builder_create(const struct dtr_lowering *lowering, struct dtr_builder **builder_p,
                       struct dtr_error *error) {
    struct dtr_builder *b = calloc(1, sizeof *b);
    if (!b)
        return dtr_fail_memory(error);
    const uint32_t divisions = lowering->model->divisions;
    b->lowering = lowering;
    b->model = lowering->model;
    b->plan = lowering->plan;
    b->ways = lowering->ways ? lowering->ways : lowering->plan->ways;
    b->devices = lowering->plan->devices;
    b->query_apart = lowering->query_apart;
    b->sharing = calloc((size_t)divisions + 1, sizeof *b->sharing);
    b->sub_block = calloc((size_t)divisions * CUTS + 1, sizeof *b->sub_block);
    b->weights = calloc((size_t)divisions * b->devices + 1, sizeof *b->weights);
    b->places = calloc(((size_t)divisions + 1) * b->devices, sizeof *b->places);
    b->takes = calloc(b->devices, 1);
    b->pending = calloc(2 * (size_t)lowering->plan->tiles, sizeof *b->pending);
    b->ranges = calloc(b->devices, sizeof *b->ranges);
    if (!b->sharing || !b->sub_block || !b->weights || !b->places || !b->takes || !b->pending ||
        !b->ranges) {
        dtr_builder_free(b);
        return dtr_fail_memory(error);
    }
    b->between = b->pending + lowering->plan->tiles;
    form_teams(b);
    cut_blocks(b);
    *builder_p = b;
    return DTR_OK;
}

int dtr_builder_begin(struct dtr_builder *b, uint32_t device, struct dtr_error *error) {
    b->schedule = create_schedule(b->lowering, device);
    if (!b->schedule)
        return dtr_fail_memory(error);
    dtr_legs_forget(b);
    b->device = device;
    b->tokens = b->rows = b->schedule->tokens;
    b->layer = 0;
    b->division = -1;
    b->wire = b->lowering->wire;
    b->next_tag = 0;
    b->tiles = 1;
    b->arrived = true;
    return DTR_OK;
}

void dtr_builder_free(struct dtr_builder *b) {
    if (!b)
        return;
    for (int i = 0; i < CUTS; i++)
        free(b->original[i].at);
    for (size_t i = 0; b->sub_block && i < (size_t)b->model->divisions * CUTS; i++)
        free(b->sub_block[i].at);
    for (uint32_t i = 0; i < b->splits_count; i++)
        free(b->splits[i].ranges);
    free(b->splits);
    dtr_holders_forget(b);
    dtr_legs_forget(b);
    free(b->sub_block);
    free(b->sharing);
    free(b->weights);
    free(b->places);
    free(b->takes);
    free(b->pending);
    free(b->ranges);
    dtr_schedule_free(b->schedule);
    free(b);
}

/* --- the schedule ----------------------------------------------------------------------------- */

/* Arena offsets are multiples of a cache line. */
enum { LINE_FLOATS = 16 };

static void place_buffers(struct dtr_schedule *schedule) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < schedule->buffers_count; i++) {
        struct dtr_buffer *buffer = &schedule->buffers[i];
        buffer->offset = at;
        at += (uint64_t)buffer->rows * buffer->columns;
        at = (at + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    }
    schedule->arena_floats = at;
}

static int failed(const struct dtr_builder *b, struct dtr_error *error) {
    const struct dtr_refusal *refused = &b->refused;
    if (b->status != DTR_E_CONFIG)
        return dtr_fail_memory(error);
    const char *what = dtr_collective_kind_name(refused->kind);
    const char *how = dtr_algorithm_name(refused->algorithm);
    if (refused->possible)
        return dtr_fail(error, DTR_E_CONFIG,
                        "the %s of layer %u cannot go by %s: it is among %u devices, which is no "
                        "power of two",
                        what, refused->layer, how, refused->devices);
    return dtr_fail(error, DTR_E_CONFIG,
                    "the %s of layer %u cannot go by %s: a device has nothing to add, because its "
                    "share is too small",
                    what, refused->layer, how);
}

int dtr_builder_finish(struct dtr_builder *b, struct dtr_schedule **schedule_p,
                       struct dtr_error *error) {
    if (b->status)
        return failed(b, error);
    place_buffers(b->schedule);
    if (dtr_parcels_place(b->schedule))
        return dtr_fail_memory(error);
    *schedule_p = b->schedule;
    b->schedule = NULL;
    return DTR_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * builder.h -- what strategies emit steps with.  A builder stands for one device, but every device
 * makes the same calls, so that collectives are numbered alike; what a device has no part in
 * leaves nothing in its schedule.
 *
 * The hidden state is somewhere between any two layers: a `spread` says which device has which
 * rectangle of it, and in which buffers.  Moving it from one spread to another is an exchange, and
 * every collective that does not add is one.
 */
#ifndef DTR_PLAN_BUILDER_H
#define DTR_PLAN_BUILDER_H

#include "plan/lower.h"
#include "plan/plan.h"
#include "plan/schedule.h"

/* Who has what of a matrix of all rows. */
enum dtr_layout {
    DTR_LAYOUT_ROOT,   /* one device has all of it, most often device 0                       */
    DTR_LAYOUT_WHOLE,  /* every device that takes part has all of it                          */
    DTR_LAYOUT_ROWS,   /* rows (tokens) by share                                              */
    DTR_LAYOUT_SLICES, /* columns by division, where its sub-blocks are; a slice is a buffer  */
    DTR_LAYOUT_HEADS   /* columns by attention heads by share                                 */
};

struct dtr_spread {
    enum dtr_layout layout;
    uint32_t columns; /* of the whole matrix */
    const char *name; /* of the buffers */
    uint32_t root;    /* the device that has all of it */
};

/* Devices that share work: its parts go by weight (which may be 0), its sums to every member. */
struct dtr_team {
    const double *weight;  /* [devices] */
    const uint8_t *member; /* [devices] */
    uint32_t *before;      /* [devices] how many members have a smaller index */
    uint32_t members;
};

/* Bounds at which a dimension of a matrix is cut into parts: at[0] = 0 ... at[count]. */
struct dtr_cuts {
    uint32_t count;
    uint32_t *at;
};

/* One transformer layer on its columns of the hidden state: an original layer on all of them, or a
 * sub-block on a slice. */
struct dtr_block {
    uint16_t layer;
    int16_t division; /* -1: an original layer */
    uint32_t width, heads, head_size, intermediate;
    const struct dtr_cuts *query, *projection, *columns;
};

struct dtr_split_entry;
struct dtr_holders;
struct dtr_legs;

/* A collective that the experiment wants to go by an algorithm by which it cannot. */
struct dtr_refusal {
    uint8_t kind, algorithm;
    uint16_t layer;
    uint32_t devices; /* that take part in it */
    bool possible;    /* with another number of devices */
};

struct dtr_builder {
    const struct dtr_lowering *lowering;
    const struct dtr_model_shape *model;
    const struct dtr_plan *plan;
    const struct dtr_ways *ways; /* how collectives go; NULL: direct */
    uint32_t device, devices;
    struct dtr_schedule *schedule;
    /* Sticky: DTR_E_MEMORY once memory ran out, DTR_E_CONFIG once a collective was refused; later
     * calls do nothing. */
    int status;
    struct dtr_refusal refused;

    uint32_t tokens; /* rows of all sequences */
    uint32_t rows;   /* rows at this point: tokens, or the selected ones in the last layer */
    uint16_t layer;  /* the layer that steps belong to */
    int16_t division;

    struct dtr_team taking;   /* all devices that take part, weighted by share */
    struct dtr_team *sharing; /* [divisions] the devices that hold each division */
    uint8_t *takes;           /* [devices] holds weights of its own under some strategy */
    double *weights;          /* memory of the teams */
    uint32_t *places;         /* likewise */
    struct dtr_cuts original[3], *sub_block; /* query, projection, columns; sub_block [D][3] */
    bool query_apart;

    struct dtr_spread next; /* where the group that is being lowered must leave its result */
    uint32_t run_end;       /* a strategy of whole runs lowers the groups up to this one */
    uint32_t next_tag;
    uint8_t wire; /* of the collectives to come */
    /* The result of the last group, on its way: the collective of each tile, or -1. */
    int32_t *pending;
    int32_t *between; /* [plan->tiles] those of an exchange within a layer */
    uint32_t tiles;
    struct dtr_spread source, target; /* what the tiles are cut from, where they go */
    bool arrived;                     /* all tiles were awaited */
    struct dtr_range *ranges;         /* [devices] scratch */

    struct dtr_split_entry *splits; /* cache of divisions by share */
    uint32_t splits_count, split_last;
    struct dtr_holders *holders; /* cache of who has anything under a spread */
    struct dtr_legs *legs;       /* cache of this device's hops */
};

/* For the schedules of all devices, one after the other: who does what is found out once.  What is
 * lent in `lowering` outlives the builder; its `device` does not count. */
int dtr_builder_create(const struct dtr_lowering *lowering, struct dtr_builder **builder_p,
                       struct dtr_error *error);
void dtr_builder_free(struct dtr_builder *b);

/* Begins the schedule of a device, when that of the one before is finished. */
int dtr_builder_begin(struct dtr_builder *b, uint32_t device, struct dtr_error *error);

/* The schedule that was built.  DTR_E_MEMORY; DTR_E_CONFIG for a collective that was refused: then
 * the builder can only be freed. */
int dtr_builder_finish(struct dtr_builder *b, struct dtr_schedule **schedule_p,
                       struct dtr_error *error);

/* --- who does what ------------------------------------------------------------------------- */

bool dtr_takes(const struct dtr_builder *b, uint32_t device);

/* The device's part of [0, total) as the team divides it, in multiples of `unit`. */
struct dtr_range dtr_part(struct dtr_builder *b, const struct dtr_team *team, uint32_t total,
                          uint32_t unit, uint32_t device);
struct dtr_range dtr_part_rows(struct dtr_builder *b, uint32_t device);
struct dtr_range dtr_part_heads(struct dtr_builder *b, const struct dtr_team *team,
                                const struct dtr_block *block, uint32_t device);
struct dtr_range dtr_part_columns(struct dtr_builder *b, const struct dtr_team *team,
                                  const struct dtr_block *block, uint32_t device);

/* Those of all devices, [devices], the builder's. */
const struct dtr_range *dtr_parts_heads(struct dtr_builder *b, const struct dtr_team *team,
                                        const struct dtr_block *block);
const struct dtr_range *dtr_parts_columns(struct dtr_builder *b, const struct dtr_team *team,
                                          const struct dtr_block *block);

struct dtr_block dtr_original_block(const struct dtr_builder *b, uint32_t layer);
struct dtr_block dtr_sub_block(const struct dtr_builder *b, uint32_t layer, uint32_t division);

/* --- buffers and steps on this device ------------------------------------------------------- */

/* The buffer of that name and number of columns with at least those rows, made when new. */
int32_t dtr_buffer(struct dtr_builder *b, const char *name, struct dtr_range rows,
                   uint32_t columns);
struct dtr_view dtr_buffer_view(struct dtr_builder *b, const char *name, struct dtr_range rows,
                                uint32_t columns);
struct dtr_view dtr_view_rows(struct dtr_view view, struct dtr_range rows);
struct dtr_view dtr_view_columns(struct dtr_view view, uint32_t begin, uint32_t end);

/* This device's view of all rows of a spread; `division` counts for slices. */
struct dtr_view dtr_spread_view(struct dtr_builder *b, const struct dtr_spread *spread,
                                uint32_t division);

void dtr_emit_embed(struct dtr_builder *b, struct dtr_view out);
void dtr_emit_linear(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                     struct dtr_view out, bool accumulate);
void dtr_emit_add_norm(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                       struct dtr_view residual, struct dtr_view out);
void dtr_emit_copy(struct dtr_builder *b, struct dtr_view in, struct dtr_view out);
void dtr_emit_select(struct dtr_builder *b, struct dtr_view in, const uint32_t *rows,
                     uint32_t count, struct dtr_view out);
void dtr_emit_moments(struct dtr_builder *b, struct dtr_view in, struct dtr_view residual,
                      struct dtr_view moments, struct dtr_view out);
void dtr_emit_merge(struct dtr_builder *b, struct dtr_view parts, struct dtr_view out);
void dtr_emit_normalise(struct dtr_builder *b, struct dtr_weight_key key, struct dtr_view in,
                        struct dtr_view moments, struct dtr_view out);

/* --- the parts of a block ------------------------------------------------------------------- */

/* Queries, keys and values of `heads` for the rows of `x`, into a buffer laid out part by part. */
void dtr_emit_query_key_value(struct dtr_builder *b, const struct dtr_block *block,
                              struct dtr_range heads, struct dtr_view x);

/* Only one half of them (where queries are apart). */
void dtr_emit_query(struct dtr_builder *b, const struct dtr_block *block, struct dtr_range heads,
                    struct dtr_view x);
void dtr_emit_key_value(struct dtr_builder *b, const struct dtr_block *block,
                        struct dtr_range heads, struct dtr_view x);

/* Attention of `heads` for those rows (of the output's row numbers: tokens, or selected rows in the
 * last layer).  context: [.., heads * head_size]. */
void dtr_emit_attention(struct dtr_builder *b, const struct dtr_block *block,
                        struct dtr_range heads, struct dtr_range rows, struct dtr_view context);

/* out (+ bias) from the columns of `heads` in context; a partial sum unless heads are all. */
void dtr_emit_projection(struct dtr_builder *b, const struct dtr_block *block,
                         struct dtr_range heads, struct dtr_view context, struct dtr_view out);

/* Both linear layers of the feed-forward on `columns` of its middle. */
void dtr_emit_feed_forward(struct dtr_builder *b, const struct dtr_block *block,
                           struct dtr_range columns, struct dtr_view in, struct dtr_view out);

/* Projection, add + norm, feed-forward, add + norm on this device alone, for the rows of `context`;
 * out may be the residual. */
void dtr_emit_rest(struct dtr_builder *b, const struct dtr_block *block, struct dtr_view context,
                   struct dtr_view residual, struct dtr_view out);

struct dtr_weight_key dtr_norm_key(const struct dtr_block *block, enum dtr_weight_kind kind,
                                   uint32_t begin, uint32_t end);

/* True in the last layer when the request needs only some rows of it. */
bool dtr_selects(const struct dtr_builder *b, const struct dtr_block *block);

/* The selected rows of x, in a buffer of their own. */
struct dtr_view dtr_emit_selected(struct dtr_builder *b, struct dtr_view x);

/* --- collectives ---------------------------------------------------------------------------- */

/* Begins to move tile `tile` of `tiles` of all rows from one spread to another; what needs no
 * message is copied at once.  Returns the collective, or -1 where this device has no part. */
int32_t dtr_emit_exchange(struct dtr_builder *b, enum dtr_collective_kind kind,
                          const struct dtr_spread *from, const struct dtr_spread *to, uint32_t tile,
                          uint32_t tiles);

/* The kind of collective that an exchange amounts to. */
enum dtr_collective_kind dtr_exchange_kind(enum dtr_layout from, enum dtr_layout to);

/* Sums a partial matrix over the team: all of it on every member.  Devices whose `part` is empty
 * have nothing to add.  `view`: this device's partial sums, replaced by the sums. */
int32_t dtr_emit_all_reduce(struct dtr_builder *b, const struct dtr_team *team,
                            const struct dtr_range *part, struct dtr_view view);

/* Sums a partial matrix over all devices with a part, each taking the rectangle that `to` gives
 * it. */
int32_t dtr_emit_reduce_scatter(struct dtr_builder *b, const struct dtr_range *part,
                                struct dtr_view partial, const struct dtr_spread *to);

/* The view moves from one device to another, which call it as often as all others but not at the
 * same place in their schedules: the caller has taken the tag.  -1 on the others. */
int32_t dtr_emit_transfer(struct dtr_builder *b, uint32_t tag, struct dtr_view view, uint32_t from,
                          uint32_t to);

void dtr_emit_wait(struct dtr_builder *b, int32_t collective);

/* --- between groups ------------------------------------------------------------------------- */

/* In how many tiles a device's `rows` travel: as many as the plan says, but none so small that its
 * kernels would do little more than read their weights. */
uint32_t dtr_builder_tiles(const struct dtr_builder *b, uint32_t rows);

/* A tile of the group's result is ready in `from`: it sets out for where the next group wants it.
 */
void dtr_builder_result(struct dtr_builder *b, const struct dtr_spread *from, uint32_t tile,
                        uint32_t tiles);

/* Waits for a tile of what the last group left and gives the rows that came with it: `ranges` has
 * room for one a device; returns how many. */
uint32_t dtr_builder_await(struct dtr_builder *b, uint32_t tile, struct dtr_range *ranges);
void dtr_builder_await_all(struct dtr_builder *b);

/* dtr_emit_query_key_value for all rows of x, each tile as it arrives.  In a layer that gives only
 * selected rows, from here on rows are those; then only keys and values take all of them.  Returns
 * the residual: x, or its selected rows. */
struct dtr_view dtr_emit_inputs(struct dtr_builder *b, const struct dtr_block *block,
                                struct dtr_range heads, struct dtr_view x);

/* A layer's output is complete in `spread` (before it goes anywhere). */
void dtr_builder_layer_done(struct dtr_builder *b, uint32_t layer, const struct dtr_spread *spread);

/* The hidden state in the layout that strategies start from and end in. */
struct dtr_spread dtr_hidden(const struct dtr_builder *b, enum dtr_layout layout);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Schedules of every strategy over many shapes: each keeps its promises, and what one device
 * sends another receives.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/account.h"
#include "plan/lower.h"
#include "plan/parcel.h"
#include "plan/plan.h"
#include "plan/predict.h"
#include "plan/simulate.h"
#include "plan/strategy.h"
#include "plan/wire.h"

enum { DEVICES_MOST = 9 };

static struct dtr_model_shape shape_of(uint32_t layers, uint32_t groups, uint32_t hidden,
                                       uint32_t heads, uint32_t divisions, bool split) {
    return (struct dtr_model_shape){
        .size = sizeof(struct dtr_model_shape),
        .layers = layers,
        .hidden = hidden,
        .heads = heads,
        .intermediate = 4 * hidden,
        .divisions = divisions,
        .groups = divisions ? groups : layers,
        .group_layers = divisions ? layers / groups : 1,
        .sub_heads = divisions ? (split ? heads / divisions : heads) : 0,
        .sub_attention = divisions ? (split ? hidden / divisions : hidden) : 0,
        .sub_intermediate = divisions ? 4 * hidden : 0,
    };
}

struct situation {
    struct dtr_model_shape model;
    uint32_t devices;
    double share[DEVICES_MOST];
    uint32_t lengths[3], sequences;
    uint32_t select[3], selected;
    bool hidden_input, keep_layers;
    uint32_t tiles;
    enum dtr_algorithm algorithm; /* where it works */
};

static struct dtr_plan *place(const struct situation *situation, uint32_t strategy) {
    struct dtr_error error = {0};
    struct dtr_device_info info[DEVICES_MOST] = {{0}};
    for (uint32_t i = 0; i < situation->devices; i++)
        info[i].share = situation->share[i];
    struct dtr_plan *plan =
        dtr_plan_create(&situation->model, situation->devices, dtr_strategy_count(), &error);
    assert_non_null(plan);
    assert_int_equal(dtr_plan_place(plan, info, sizeof info[0], &error), DTR_OK);
    plan->tiles = situation->tiles;
    for (uint32_t kind = 0; kind < DTR_COLLECTIVE_KINDS; kind++)
        memset(plan->ways->way[kind], situation->algorithm, sizeof plan->ways->way[kind]);
    /* Mixed plans: the groups take turns from the strategy on. */
    for (uint32_t g = 0; g < plan->groups; g++) {
        uint32_t chosen =
            strategy < dtr_strategy_count() ? strategy : (strategy + g * 5) % dtr_strategy_count();
        if (!situation->model.divisions && dtr_strategy_at(chosen)->decoupled)
            chosen = g % 3;
        plan->strategy[g] = chosen;
        plan->open[chosen] = 1;
    }
    return plan;
}

/* The number of columns in the index-th row that a message carries. */
static uint32_t row_width(const struct dtr_schedule *schedule, const struct dtr_message *message,
                          uint32_t index) {
    const struct dtr_view *view = &schedule->views[message->view];
    for (; index >= dtr_range_count(view->rows); view++)
        index -= dtr_range_count(view->rows);
    return dtr_range_count(view->columns);
}

/* Rows travel one after the other, however views hold them at either end. */
static void assert_views_equal(const struct dtr_schedule *a, const struct dtr_message *sent,
                               const struct dtr_schedule *b, const struct dtr_message *received) {
    assert_int_equal(sent->rows, received->rows);
    for (uint32_t i = 0; i < sent->rows; i++)
        assert_int_equal(row_width(a, sent, i), row_width(b, received, i));
}

/* The next message between two devices with that tag, from *at on. */
static const struct dtr_message *next(const struct dtr_schedule *schedule, uint32_t tag,
                                      uint32_t peer, bool send, uint32_t *at) {
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        if (collective->tag != tag)
            continue;
        for (; *at < collective->messages; ++*at) {
            const struct dtr_message *message = &schedule->messages[collective->message + *at];
            if (message->peer == peer && (message->kind == DTR_MESSAGE_SEND) == send) {
                ++*at;
                return message;
            }
        }
    }
    return NULL;
}

static uint32_t tags_of(struct dtr_schedule *const *schedules, uint32_t devices) {
    uint32_t tags = 0;
    for (uint32_t i = 0; i < devices; i++)
        for (uint32_t j = 0; j < schedules[i]->collectives_count; j++)
            if (schedules[i]->collectives[j].tag >= tags)
                tags = schedules[i]->collectives[j].tag + 1;
    return tags;
}

static void assert_messages_match(struct dtr_schedule *const *schedules, uint32_t devices) {
    const uint32_t tags = tags_of(schedules, devices);
    for (uint32_t tag = 0; tag < tags; tag++)
        for (uint32_t i = 0; i < devices; i++)
            for (uint32_t j = 0; j < devices; j++) {
                uint32_t at_sender = 0, at_receiver = 0;
                const struct dtr_message *sent, *received;
                if (i == j)
                    continue;
                do {
                    sent = next(schedules[i], tag, j, true, &at_sender);
                    received = next(schedules[j], tag, i, false, &at_receiver);
                    assert_int_equal(sent != NULL, received != NULL);
                    if (sent)
                        assert_views_equal(schedules[i], sent, schedules[j], received);
                } while (sent);
            }
}

/* In floats of the arena. */
static struct dtr_range room_of(const struct dtr_schedule *schedule, uint32_t index) {
    const struct dtr_collective *collective = &schedule->collectives[index];
    uint64_t floats = 0;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &schedule->messages[collective->message + i];
        for (uint32_t j = 0; j < dtr_parcel_count(collective, message); j++) {
            const struct dtr_parcel parcel = dtr_parcel_at(schedule, collective, message, j);
            floats += dtr_parcel_room(&parcel);
        }
    }
    return (struct dtr_range){(uint32_t)collective->staging,
                              (uint32_t)(collective->staging + floats)};
}

/* What is packed has room of its own while it is under way. */
static void assert_room(const struct dtr_schedule *schedule) {
    bool *under_way = calloc((size_t)schedule->collectives_count + 1, sizeof *under_way);
    assert_non_null(under_way);
    for (uint32_t i = 0; i < schedule->steps_count; i++) {
        const struct dtr_step *step = &schedule->steps[i];
        if (step->kind == DTR_STEP_WAIT)
            under_way[step->collective] = false;
        if (step->kind != DTR_STEP_START)
            continue;
        const struct dtr_range room = room_of(schedule, (uint32_t)step->collective);
        assert_true(room.end <= schedule->arena_floats);
        for (uint32_t j = 0; j < schedule->collectives_count; j++)
            assert_true(!under_way[j] ||
                        dtr_range_empty(dtr_range_intersect(room, room_of(schedule, j))));
        for (uint32_t j = 0; j < schedule->buffers_count; j++) {
            const struct dtr_buffer *buffer = &schedule->buffers[j];
            assert_true(buffer->offset + (uint64_t)buffer->rows * buffer->columns <= room.begin);
        }
        under_way[step->collective] = true;
    }
    free(under_way);
}

static void check_situation(const struct situation *situation, uint32_t strategy) {
    struct dtr_schedule *schedules[DEVICES_MOST];
    struct dtr_plan *plan = place(situation, strategy);
    for (uint32_t i = 0; i < situation->devices; i++) {
        struct dtr_error error = {0};
        const struct dtr_lowering lowering = {
            .model = &situation->model,
            .plan = plan,
            .device = i,
            .sequences = situation->sequences,
            .lengths = situation->lengths,
            .select = situation->selected ? situation->select : NULL,
            .selected = situation->selected,
            .query_apart = situation->selected != 0,
            .hidden_input = situation->hidden_input,
            .keep_layers = situation->keep_layers,
            .pooled = true,
            .head = DTR_HEAD_CLASSIFY,
            .labels = 2,
        };
        assert_int_equal(dtr_lower(&lowering, &schedules[i], &error), DTR_OK);
        uint32_t step;
        const char *broken = dtr_schedule_check(schedules[i], &step);
        if (broken) {
            print_error("%u devices, strategy %u, %s, device %u, step %u: %s\n", situation->devices,
                        strategy, dtr_algorithm_name(situation->algorithm), i, step, broken);
            dtr_schedule_print(schedules[i], stderr);
        }
        assert_null(broken);
        assert_room(schedules[i]);
    }
    assert_messages_match(schedules, situation->devices);
    for (uint32_t i = 0; i < situation->devices; i++)
        dtr_schedule_free(schedules[i]);
    dtr_plan_free(plan);
}

static void check_model(struct dtr_model_shape model) {
    static const double even[DEVICES_MOST] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double uneven[DEVICES_MOST] = {1, 3, 0.5, 0, 2, 1, 0.1, 1, 4};
    static const double without_leader[DEVICES_MOST] = {0, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double *const shares[] = {even, uneven, without_leader};
    for (uint32_t variant = 0; variant < 24; variant++) {
        struct situation situation = {
            .model = model,
            .lengths = {variant % 5   ? 7
                        : variant % 2 ? 170
                                      : 1,
                        3, variant % 7 ? 1 : 60},
            .sequences = variant % 2 ? 3 : 1,
            .hidden_input = variant % 3 == 0,
            .keep_layers = variant % 4 == 1,
            .tiles = 1 + variant % 3,
            .algorithm = variant % DTR_ALGORITHMS,
        };
        memcpy(situation.share, shares[variant / 8], sizeof situation.share);
        if (variant % 4 == 2) {
            situation.selected = situation.sequences;
            memcpy(situation.select,
                   (uint32_t[]){0, situation.lengths[0], situation.lengths[0] + 3},
                   sizeof situation.select);
        }
        for (situation.devices = variant / 8 == 2 ? 2 : 1; situation.devices <= DEVICES_MOST;
             situation.devices++)
            for (uint32_t strategy = 0; strategy < 2 * dtr_strategy_count(); strategy++)
                if (strategy >= dtr_strategy_count() || model.divisions ||
                    !dtr_strategy_at(strategy)->decoupled)
                    check_situation(&situation, strategy);
    }
}

static void test_plain(void **state) {
    (void)state;
    check_model(shape_of(3, 0, 12, 3, 0, false));
}

static void test_full_width(void **state) {
    (void)state;
    check_model(shape_of(6, 2, 12, 2, 4, false));
    check_model(shape_of(4, 4, 12, 3, 3, false));
}

static void test_split_width(void **state) {
    (void)state;
    check_model(shape_of(4, 2, 16, 4, 2, true));
}

/* paper.md: megabytes that each device of four sends, BERT-Base, D = G = 4, s = 128. */
static uint64_t bytes_sent(const char *name, uint32_t device) {
    struct dtr_model_shape model = shape_of(12, 4, 768, 12, 4, false);
    struct situation situation = {
        .model = model,
        .devices = 4,
        .share = {1, 1, 1, 1},
        .lengths = {128},
        .sequences = 1,
        .tiles = 1,
    };
    struct dtr_error error = {0};
    struct dtr_plan *plan = place(&situation, (uint32_t)dtr_strategy_find(name));
    struct dtr_schedule *schedule;
    const struct dtr_lowering lowering = {
        .model = &model,
        .plan = plan,
        .device = device,
        .sequences = 1,
        .lengths = situation.lengths,
    };
    assert_int_equal(dtr_lower(&lowering, &schedule, &error), DTR_OK);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < schedule->messages_count; i++)
        if (schedule->messages[i].kind == DTR_MESSAGE_SEND)
            bytes += 4 * schedule->messages[i].values;
    dtr_schedule_free(schedule);
    dtr_plan_free(plan);
    return bytes;
}

static void test_traffic_of_the_paper(void **state) {
    (void)state;
    assert_int_equal(bytes_sent("tp", 0), 14155776);
    assert_int_equal(bytes_sent("bp+ag", 0), 1179648);
    /* Position-wise: one all-gather a layer; the workers send the result to the leader too. */
    assert_int_equal(bytes_sent("sp", 0), 12 * 294912);
    assert_int_equal(bytes_sent("sp", 1), 12 * 294912 + 98304);
    /* By heads, then by tokens: an all-gather and two exchanges of a sixteenth to each other. */
    assert_int_equal(bytes_sent("bp+sp", 0), 4 * (294912 + 73728) + 3 * 73728);
    assert_int_equal(bytes_sent("single", 0), 0);
}

/* Four devices of 31 GFLOP/s, for which only linear layers and attention count. */
static double step_s(void *arg, const struct dtr_schedule *schedule, const struct dtr_step *step) {
    (void)arg;
    return (double)dtr_account_flops(schedule, step) / 31e9;
}

static double simulated_s(const char *name, double mbit, uint32_t tiles) {
    struct dtr_model_shape model = shape_of(12, 4, 768, 12, 4, false);
    const struct situation situation = {
        .model = model, .devices = 4, .share = {1, 1, 1, 1}, .tiles = tiles};
    struct dtr_plan *plan = place(&situation, (uint32_t)dtr_strategy_find(name));
    struct dtr_schedule *schedules[4];
    struct dtr_error error = {0};
    struct dtr_link link[16];
    const uint32_t length = 128;
    for (uint32_t i = 0; i < 16; i++)
        link[i] = (struct dtr_link){.bytes_per_s = mbit * 1e6 / 8};
    for (uint32_t i = 0; i < 4; i++) {
        const struct dtr_lowering lowering = {
            .model = &model, .plan = plan, .device = i, .sequences = 1, .lengths = &length};
        assert_int_equal(dtr_lower(&lowering, &schedules[i], &error), DTR_OK);
    }
    const struct dtr_cost cost = {.step_s = step_s, .link = link};
    struct dtr_simulation simulation = {0};
    assert_int_equal(
        dtr_simulate((const struct dtr_schedule *const *)schedules, 4, &cost, &simulation, &error),
        DTR_OK);
    for (uint32_t i = 0; i < 4; i++)
        dtr_schedule_free(schedules[i]);
    dtr_plan_free(plan);
    return simulation.latency_s;
}

/* What the block-parallel strategies come to by hand: compute a quarter, and the bytes that the
 * busiest port carries. */
static void test_simulated_time(void **state) {
    (void)state;
    static const struct {
        double mbit, of_single;
    } expected[] = {{125, 0.418}, {250, 0.334}, {500, 0.292}, {1000, 0.271}};
    const double single_s = simulated_s("single", 125, 1);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const double ratio = simulated_s("bp+sp", expected[i].mbit, 1) / single_s;
        assert_true(ratio > expected[i].of_single - 0.002);
        assert_true(ratio < expected[i].of_single + 0.002);
        /* Tiles travel while others are computed. */
        assert_true(simulated_s("bp+sp", expected[i].mbit, 4) / single_s < ratio - 0.015);
    }
}

static void test_split_largest_remainder(void **state) {
    (void)state;
    struct dtr_range ranges[4];
    dtr_split(12, 1, (const double[]){1, 1, 1, 1}, 4, ranges);
    assert_int_equal(ranges[3].begin, 9);
    dtr_split(10, 1, (const double[]){1, 0, 1, 1}, 4, ranges);
    assert_int_equal(dtr_range_count(ranges[0]), 4);
    assert_int_equal(dtr_range_count(ranges[1]), 0);
    assert_int_equal(ranges[3].end, 10);
    dtr_split(100, 16, (const double[]){3, 1, 0, 0}, 4, ranges);
    assert_int_equal(ranges[0].end, 80);
    assert_int_equal(ranges[1].end, 100);
    assert_true(dtr_range_empty(ranges[2]));
    dtr_split(2, 1, (const double[]){1, 1, 1, 1}, 4, ranges);
    assert_int_equal(ranges[1].end, 2);
    assert_true(dtr_range_empty(ranges[3]));
}

/* Groups by different strategies have the buffers of all of them in one arena. */
static void test_memory_of_a_mixed_plan(void **state) {
    (void)state;
    struct dtr_model_shape model = shape_of(12, 4, 768, 12, 4, false);
    const struct situation situation = {
        .model = model, .devices = 4, .share = {1, 1, 1, 1}, .tiles = 1};
    const uint32_t length = 512;
    struct dtr_plan *plan = place(&situation, (uint32_t)dtr_strategy_find("bp+tp"));
    const uint32_t last = (uint32_t)dtr_strategy_find("bp+sp");
    plan->strategy[plan->groups - 1] = last;
    plan->open[last] = 1;
    uint64_t memory[4], weights[4];
    struct dtr_prediction prediction = {
        .size = sizeof prediction, .weight_bytes = weights, .memory_bytes = memory};
    struct dtr_error error = {0};
    struct dtr_lowering lowering = {
        .model = &model, .plan = plan, .sequences = 1, .lengths = &length};
    assert_int_equal(dtr_predict_memory(&lowering, plan, &prediction, &error), DTR_OK);
    for (uint32_t i = 0; i < 4; i++) {
        struct dtr_schedule *schedule;
        lowering.device = i;
        assert_int_equal(dtr_lower(&lowering, &schedule, &error), DTR_OK);
        assert_true(memory[i] - weights[i] >= schedule->arena_floats * sizeof(float));
        dtr_schedule_free(schedule);
    }
    dtr_plan_free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_largest_remainder),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_full_width),
        cmocka_unit_test(test_split_width),
        cmocka_unit_test(test_traffic_of_the_paper),
        cmocka_unit_test(test_simulated_time),
        cmocka_unit_test(test_memory_of_a_mixed_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

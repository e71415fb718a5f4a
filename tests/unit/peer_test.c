/* SPDX-License-Identifier: MIT
 *
 * peer_test.c -- the leader's end of a control channel: whose it is when it cannot be made, and
 * workers that ask for their weights.
 */
#include "unit.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plan/strategy.h"
#include "run/group.h"
#include "run/shard.h"

static void ignore(void *arg, const struct dtr_frame *frame) {
    (void)arg;
    (void)frame;
}

static const struct dtr_channel_events events = {.interrupted = ignore};

/* --- channels --------------------------------------------------------------------------------- */

static void no_channel(void **state) {
    (void)state;
    struct dtr_channel *channel;
    struct dtr_error error = {0};
    struct rlimit before, none;
    int ends[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const int status = dtr_channel_create(ends[0], NULL, &events, &channel, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, DTR_E_SYSTEM);
    assert_string_equal(error.text, "cannot make an event: Too many open files");
    assert_int_equal(recv(ends[1], &byte, 1, MSG_DONTWAIT), 0);
    close(ends[1]);
}

/* --- weights ---------------------------------------------------------------------------------- */

/* A leader of devices of which some are in the group, and one that is talked to. */
struct stage {
    struct dtr_log log;
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment;
    struct dtr_session session;
    struct dtr_session_options options;
    struct dtr_session_progress progress;
    struct dtr_peer peer;
    uint32_t member[3];
    struct dtr_channel *worker; /* its end */
};

static const struct dtr_piece piece = {.rows = 1, .columns = 8};

static void show_nothing(void *arg, const char *what, uint32_t done, uint32_t total) {
    (void)arg;
    (void)what;
    (void)done;
    (void)total;
}

static void open_device(struct stage *stage) {
    static const char keys[] = "task = classify\n"
                               "[input]\nrandom = yes\nsequence_length = 24\n"
                               "[kernel]\nplugin = reference\n";
    const char *tests = getenv("DTR_TESTS");
    struct dtr_error error = {0};
    char *text;
    assert_true(asprintf(&text,
                         "[model]\nconfig = %s/fixtures/full-4/config.json\n"
                         "weights = %s/fixtures/full-4/model.safetensors\n%s",
                         tests, tests, keys) > 0);
    if (dtr_experiment_parse("one", text, strlen(text), stage->plugins, &stage->log,
                             &stage->experiment, &error))
        fail_msg("%s", error.text);
    free(text);
    const struct dtr_model_source source = dtr_experiment_model(stage->experiment);
    if (dtr_device_open(stage->experiment, &source, stage->plugins, 0, &stage->options, &stage->log,
                        &stage->session.device, &error))
        fail_msg("%s", error.text);
}

/* The last holds the most of the weights. */
static struct dtr_plan *make_plan(const struct dtr_model_shape *shape) {
    const struct dtr_device_info info[3] = {{.share = 1}, {.share = 2}, {.share = 3}};
    struct dtr_plan *plan = dtr_plan_create(shape, 3, dtr_strategy_count(), NULL);
    assert_non_null(plan);
    assert_int_equal(dtr_plan_place(plan, info, sizeof info[0], NULL), DTR_OK);
    dtr_plan_make_uniform(plan, (uint32_t)dtr_strategy_find("bp+sp"));
    return plan;
}

static int set_up(void **state) {
    struct stage *stage = calloc(1, sizeof *stage);
    int ends[2];
    assert_non_null(stage);
    *state = stage;
    stage->log = (struct dtr_log){.level = DTR_LOG_ERROR, .fd = 2};
    stage->options = (struct dtr_session_options){.sequences_max = 1, .length_max = 24};
    stage->progress.stage = show_nothing;
    assert_int_equal(dtr_plugins_create(NULL, &stage->log, &stage->plugins, NULL), DTR_OK);
    open_device(stage);
    stage->session.device->plan = make_plan(&stage->session.device->model->shape);
    stage->session.progress = &stage->progress;
    stage->session.member = stage->member;
    stage->session.members = 3;
    stage->peer.session = &stage->session;
    atomic_store(&stage->session.epoch, 1);
    atomic_store(&stage->peer.state, DTR_PEER_MEMBER);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(dtr_channel_create(ends[0], NULL, &events, &stage->peer.channel, NULL),
                     DTR_OK);
    return dtr_channel_create(ends[1], NULL, &events, &stage->worker, NULL);
}

static int tear_down(void **state) {
    struct stage *stage = *state;
    dtr_channel_free(stage->worker);
    dtr_channel_free(stage->peer.channel);
    dtr_writer_free(&stage->peer.writer);
    dtr_device_close(stage->session.device);
    dtr_experiment_free(stage->experiment);
    dtr_plugins_free(stage->plugins);
    free(stage);
    return 0;
}

static void ask(const struct stage *stage) {
    struct dtr_writer writer = {0};
    dtr_write_piece(&writer, &piece);
    dtr_write_u64(&writer, 1);
    assert_int_equal(dtr_channel_send(stage->worker, DTR_FRAME_FETCH, writer.bytes, writer.length),
                     DTR_OK);
    dtr_writer_free(&writer);
}

/* The leader listens for no longer than it takes to answer what is there. */
static int listen_once(struct stage *stage) {
    struct dtr_reader reader;
    struct dtr_frame frame;
    struct dtr_error error = {0};
    assert_int_equal(dtr_channel_receive(stage->peer.channel, UINT64_MAX / 2, &frame), DTR_OK);
    dtr_channel_put_back(stage->peer.channel);
    return dtr_peer_expect(&stage->peer, DTR_FRAME_READY, 0, &reader, &error);
}

/* However much more it has asked for. */
static void one_turn(void **state) {
    struct stage *stage = *state;
    for (int i = 0; i < 8; i++)
        ask(stage);
    assert_int_equal(listen_once(stage), DTR_E_TIMEOUT);
    assert_int_equal(stage->peer.supplied_bytes, piece.columns * sizeof(float));
    assert_false(atomic_load(&stage->peer.lost));
}

static uint64_t expected(struct stage *stage, uint32_t device) {
    stage->peer.device = device;
    stage->peer.expected_bytes = 0;
    ask(stage);
    assert_int_equal(listen_once(stage), DTR_E_TIMEOUT);
    return stage->peer.expected_bytes;
}

/* Devices of the group are not numbered as those of the experiment. */
static void expected_bytes(void **state) {
    struct stage *stage = *state;
    memcpy(stage->member, (const uint32_t[]){0, 2, 1000}, sizeof stage->member);
    const uint64_t second = expected(stage, 2), third = expected(stage, 1000);
    assert_in_range(second, 1, third - 1);
    assert_int_equal(expected(stage, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_channel),
        cmocka_unit_test_setup_teardown(one_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(expected_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

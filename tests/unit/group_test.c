/* SPDX-License-Identifier: MIT
 *
 * group_test.c -- a group whose workers are played: what the leader makes of their losses, and of
 * the times that they tell.
 */
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "run/group.h"

static struct dtr_log quiet = {.level = DTR_LOG_ERROR, .fd = 2};

static struct dtr_experiment *parse(struct dtr_plugins *plugins) {
    struct dtr_experiment *experiment;
    struct dtr_error error = {0};
    const char *tests = getenv("DTR_TESTS");
    char text[1024];
    snprintf(text, sizeof text,
             "[model]\nconfig = %s/fixtures/full-4/config.json\nweights = random\n"
             "[input]\nrandom = yes\nsequence_length = 8\nbatch = 1\n"
             "[cluster]\ndevices = 2\n[kernel]\nplugin = reference\n[transport]\nplugin = shm\n",
             tests);
    if (dtr_experiment_parse("two", text, strlen(text), plugins, &quiet, &experiment, &error))
        fail_msg("%s", error.text);
    return experiment;
}

static void interrupted(void *arg, const struct dtr_frame *frame) {
    (void)arg;
    (void)frame;
}

/* --- losses ----------------------------------------------------------------------------------- */

/* While the plan was made, say, the group before still being the session's. */
static void test_lost_before(void **state) {
    struct dtr_plugins *plugins;
    struct dtr_error error = {0};
    uint32_t member[] = {0, 1};
    struct dtr_peer peers[2] = {{0}};
    struct dtr_session session = {
        .log = &quiet, .devices = 2, .members = 2, .member = member, .peers = peers, .epoch = 1};
    const struct dtr_session_options options = {.sequences_max = 1, .length_max = 8};
    const struct dtr_channel_events events = {.interrupted = interrupted};
    int ends[2];
    (void)state;
    assert_int_equal(dtr_plugins_create(NULL, &quiet, &plugins, &error), DTR_OK);
    struct dtr_experiment *experiment = parse(plugins);
    const struct dtr_model_source source = dtr_experiment_model(experiment);
    if (dtr_device_open(experiment, &source, plugins, 0, &options, &quiet, &session.device, &error))
        fail_msg("%s", error.text);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peers[1] = (struct dtr_peer){
        .session = &session, .device = 1, .state = DTR_PEER_READY, .lost = true, .suspect = -1};
    assert_int_equal(dtr_channel_create(ends[0], NULL, &events, &peers[1].channel, &error), DTR_OK);
    /* Of a process that is there, so that the transport sees nothing wrong. */
    assert_int_equal(dtr_device_address(session.device, NULL, peers[1].address, &error), DTR_OK);
    const uint64_t begin_ns = dtr_now_ns();
    assert_int_equal(dtr_group_form(&session, &error), DTR_E_ABORTED);
    assert_true(dtr_now_ns() - begin_ns < 5 * DTR_SECOND_NS);
    assert_int_equal(session.broken_epoch, session.epoch);
    dtr_channel_free(peers[1].channel);
    dtr_writer_free(&peers[1].writer);
    dtr_device_close(session.device);
    dtr_experiment_free(experiment);
    dtr_plugins_free(plugins);
    close(ends[1]);
}

/* --- clocks ----------------------------------------------------------------------------------- */

/* A request of a second that takes `there_ns` to a worker whose clock is behind, and so on. */
static int64_t learn(struct dtr_gap *gap, uint64_t sent_ns, int64_t behind_ns, uint64_t there_ns,
                     uint64_t back_ns) {
    const uint64_t taken_ns = sent_ns + there_ns, answered_ns = taken_ns + DTR_SECOND_NS;
    const struct dtr_round round = {
        .sent_ns = sent_ns,
        .taken_ns = taken_ns - (uint64_t)behind_ns,
        .answered_ns = answered_ns - (uint64_t)behind_ns,
        .received_ns = answered_ns + back_ns,
    };
    dtr_gap_learn(gap, &round);
    assert_int_equal(dtr_gap_bridge(0, dtr_gap_ns(gap)), 0);
    return dtr_gap_ns(gap);
}

static void test_same_clock(void **state) {
    struct dtr_gap gap = {0};
    (void)state;
    assert_int_equal(dtr_gap_ns(&gap), 0);
    assert_int_equal(learn(&gap, 5000, 0, 100, 9000000), 0);
    assert_int_equal(learn(&gap, 2 * DTR_SECOND_NS, 0, 0, 0), 0);
    assert_int_equal(learn(&gap, 4 * DTR_SECOND_NS, 0, 30, 20), 0);
    assert_int_equal(dtr_gap_bridge(77, 0), 77);
}

/* The machines were started at other times, either first. */
static void test_other_clocks(void **state) {
    static const int64_t hour_ns = 3600 * (int64_t)DTR_SECOND_NS;
    (void)state;
    for (int64_t behind_ns = -hour_ns; behind_ns <= hour_ns; behind_ns += 2 * hour_ns) {
        const uint64_t begin_ns = 2 * (uint64_t)hour_ns;
        struct dtr_gap gap = {0};
        assert_int_equal(learn(&gap, begin_ns, behind_ns, 2000, 2000), behind_ns);
        /* The shortest ways tell the most, whichever request they were of. */
        assert_int_equal(learn(&gap, begin_ns, behind_ns, 500, 9000000), behind_ns + 750);
        assert_int_equal(learn(&gap, begin_ns, behind_ns, 9000000, 500), behind_ns);
        const uint64_t theirs_ns = begin_ns - (uint64_t)behind_ns;
        assert_int_equal(dtr_gap_bridge(theirs_ns, dtr_gap_ns(&gap)), begin_ns);
        /* What contradicts the past is the present. */
        assert_int_equal(learn(&gap, begin_ns, behind_ns + 50000, 2000, 2000), behind_ns + 50000);
        assert_int_equal(learn(&gap, begin_ns, 0, 2000, 2000), 0);
    }
}

/* A worker may say anything. */
static void test_no_clock(void **state) {
    static const uint64_t words[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    enum { WORDS = sizeof words / sizeof words[0] };
    struct dtr_gap gap = {0};
    (void)state;
    for (uint32_t i = 0; i < WORDS * WORDS; i++) {
        dtr_gap_learn(&gap, &(struct dtr_round){.sent_ns = 1000,
                                                .taken_ns = words[i % WORDS],
                                                .answered_ns = words[i / WORDS],
                                                .received_ns = 2000});
        dtr_gap_ns(&gap);
    }
    assert_int_equal(learn(&gap, 2 * DTR_SECOND_NS, DTR_SECOND_NS, 0, 0), DTR_SECOND_NS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_clock),
        cmocka_unit_test(test_other_clocks),
        cmocka_unit_test(test_no_clock),
        cmocka_unit_test(test_lost_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * group_test.c -- a group whose workers are played: what the leader makes of their losses.
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

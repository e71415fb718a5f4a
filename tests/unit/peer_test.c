/* SPDX-License-Identifier: MIT
 *
 * peer_test.c -- the leader's end of a control channel: whose it is when it cannot be made.
 */
#include "unit.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/channel.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

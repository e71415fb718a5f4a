/* SPDX-License-Identifier: MIT
 *
 * tcp_test.c -- what the TCP transport says before the first message, and to whom: addresses,
 * handshakes that go wrong in every way, and a group that forms while strangers call.
 */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "plugin/host.h"
#include "common/handshake.h"
#include "tcp/tcp.h"

const struct dtr_plugin *dtr_plugin(void);

static const uint8_t key[PROOF_BYTES] = "the group's key", other_key[PROOF_BYTES] = "another key";

static struct dtr_services services;

static int set_up(void **state) {
    (void)state;
    dtr_services_init(&services, "tcp", NULL, NULL);
    return 0;
}

/* --- addresses --- */

static void addresses_are_numbers(void **state) {
    (void)state;
    static const char *const good[] = {"127.0.0.1:1", "192.168.0.7:65535", "[::1]:80",
                                       "[2001:db8::7]:4711"};
    static const char *const bad[] = {
        "",        ":",       "127.0.0.1",      "127.0.0.1:", "host:1",        "::1:80",
        "[::1:80", "[::1]80", "1.2.3.4:0",      "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:1x",
        "[]:1",    "1.2.3:4", "[1.2.3.4.5]:80", "1.2.3.4: 1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct endpoint endpoint;
        char text[64];
        assert_true(endpoint_parse(good[i], &endpoint));
        assert_int_equal(endpoint_print(&endpoint, text, sizeof text), 0);
        assert_string_equal(text, good[i]);
        assert_int_not_equal(endpoint_print(&endpoint, text, strlen(good[i])), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(endpoint_parse(bad[i], &(struct endpoint){.length = 0}));
}

static int choose(const char *interface, const char *address, const char *hint,
                  struct endpoint *endpoint_p, struct dtr_error *error) {
    const struct endpoint_choice choice = {
        .interface = interface, .address = address, .hint = hint};
    *error = (struct dtr_error){.status = DTR_OK};
    return endpoint_choose(&services.host, &choice, endpoint_p, error);
}

static void the_place_to_listen(void **state) {
    (void)state;
    struct dtr_error error;
    struct endpoint here;
    assert_int_equal(choose("lo", "", NULL, &here, &error), DTR_OK);
    assert_true(endpoint_is_loopback(&here));
    assert_int_equal(choose("", "", NULL, &here, &error), DTR_OK);
    assert_true(endpoint_is_loopback(&here));
    assert_int_equal(choose("", "", "192.0.2.1", &here, &error), DTR_OK);
    assert_false(endpoint_is_loopback(&here));
    assert_int_equal(choose("", "127.0.0.2", "192.0.2.1", &here, &error), DTR_OK);
    assert_true(endpoint_is_loopback(&here));
    assert_int_equal(choose("nonesuch0", "", NULL, &here, &error), DTR_E_CONFIG);
    assert_non_null(strstr(error.text, "'nonesuch0'; there are: "));
    assert_non_null(strstr(error.text, "lo"));
    static const char *const useless[] = {"0.0.0.0", "::", "fe80::1", "localhost", "1.2.3.4:5"};
    for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++) {
        assert_int_equal(choose("", useless[i], NULL, &here, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, useless[i]));
    }
}

/* Of what network an address is. */
static void networks_have_interfaces(void **state) {
    (void)state;
    static const struct {
        const char *address, *interface;
    } cases[] = {{"127.9.9.9:1", "lo"},
                 {"127.0.0.1:1", "lo"},
                 {"198.51.100.7:1", NULL},
                 {"[2001:db8::7]:1", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct endpoint endpoint;
        char name[IF_NAMESIZE] = "";
        assert_true(endpoint_parse(cases[i].address, &endpoint));
        const bool found = endpoint_interface(&endpoint, name);
        if (cases[i].interface)
            assert_string_equal(name, cases[i].interface);
        else
            assert_false(found);
    }
}

/* Connections of both kinds, those that call and those that are accepted. */
static void nobody_paces(void **state) {
    (void)state;
    static const char *const names[] = {"", "reno"};
    for (size_t i = 0; i < 2; i++) {
        struct meet_place place = {.listener = -1, .congestion = names[i]};
        const struct endpoint_choice choice = {.interface = "", .address = ""};
        char text[64], own[2][16] = {"", ""};
        int fd[2];
        assert_int_equal(meet_listen(&services.host, &choice, &place, text, sizeof text, NULL), 0);
        assert_int_equal(socket_connect(NULL, &place.here, names[i], &fd[0]), 0);
        fcntl(place.listener, F_SETFL, 0);
        fd[1] = accept(place.listener, NULL, NULL);
        assert_true(fd[1] >= 0);
        for (int k = 0; k < 2; k++) {
            socklen_t length = sizeof own[k] - 1;
            assert_int_equal(getsockopt(fd[k], IPPROTO_TCP, TCP_CONGESTION, own[k], &length), 0);
            close(fd[k]);
        }
        assert_string_equal(own[0], own[1]);
        assert_string_not_equal(own[0], "bbr");
        if (names[i][0])
            assert_string_equal(own[0], names[i]);
        meet_close(&place);
    }
    struct meet_place place = {.listener = -1, .congestion = "nonesuch"};
    const struct endpoint_choice choice = {.interface = "", .address = ""};
    struct dtr_error error = {.status = DTR_OK};
    char text[64];
    assert_int_equal(meet_listen(&services.host, &choice, &place, text, sizeof text, &error),
                     DTR_E_CONFIG);
    assert_non_null(strstr(error.text, "'nonesuch'"));
    assert_int_equal(place.listener, -1);
}

/* --- handshakes --- */

struct ends {
    int fd[2];
    struct handshake_group group[2];
    struct handshake shake[2]; /* 1 calls 0 */
};

static void ends_make(struct ends *ends) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends->fd), 0);
    for (uint32_t i = 0; i < 2; i++)
        ends->group[i] =
            (struct handshake_group){.epoch = 5, .devices = 2, .device = i, .key = key};
    assert_true(handshake_answer(&ends->shake[0], ends->fd[0], 0));
    assert_true(handshake_call(&ends->shake[1], &ends->group[1], ends->fd[1], 0, 0));
}

static void ends_free(struct ends *ends) {
    close(ends->fd[0]);
    close(ends->fd[1]);
}

/* Steps both until neither goes on by itself. */
static void ends_run(struct ends *ends, enum handshake_result result[2]) {
    result[0] = result[1] = HANDSHAKE_GOES_ON;
    for (int i = 0; i < 10; i++)
        for (int k = 1; k >= 0; k--)
            if (result[k] == HANDSHAKE_GOES_ON)
                result[k] = handshake_step(&ends->shake[k], &ends->group[k]);
}

static void friends_meet(void **state) {
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct ends ends;
        enum handshake_result result[2];
        ends_make(&ends);
        if (!keyed)
            ends.group[0].key = ends.group[1].key = NULL;
        ends_run(&ends, result);
        assert_int_equal(result[0], HANDSHAKE_READY);
        assert_int_equal(result[1], HANDSHAKE_READY);
        assert_int_equal(ends.shake[0].peer, 1);
        ends_free(&ends);
    }
}

static void keys_must_match(void **state) {
    (void)state;
    struct ends ends;
    enum handshake_result result[2];
    ends_make(&ends);
    ends.group[1].key = other_key;
    ends_run(&ends, result);
    assert_int_equal(result[1], HANDSHAKE_STRANGER);
    assert_int_not_equal(result[0], HANDSHAKE_READY);
    ends_free(&ends);

    /* A caller that does not mind is found out by the one it called. */
    ends_make(&ends);
    ends.group[0].key = other_key;
    ends.group[1].key = other_key;
    handshake_step(&ends.shake[1], &ends.group[1]);
    handshake_step(&ends.shake[0], &ends.group[0]);
    ends.group[0].key = key;
    handshake_step(&ends.shake[1], &ends.group[1]);
    assert_int_equal(handshake_step(&ends.shake[0], &ends.group[0]), HANDSHAKE_STRANGER);
    ends_free(&ends);
}

static void groups_must_match(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends ends;
        enum handshake_result result[2];
        ends_make(&ends);
        ends.group[0].epoch += i == 0;
        ends.group[0].devices += i == 1;
        ends.group[0].device += i == 2;          /* called by one who means another */
        ends.group[0].devices -= i == 3 ? 1 : 0; /* called by one who is none */
        ends_run(&ends, result);
        assert_int_equal(result[0], HANDSHAKE_BROKEN);
        ends_free(&ends);
    }
}

static void nobody_else_is_heard(void **state) {
    (void)state;
    static const char *const said[] = {
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: scanner of ports\r\nAccept: */*\r\n\r\n",
        "DTRTCP01 and then nothing that makes any sense, but long enough for it ........",
    };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        struct ends ends;
        ends_make(&ends);
        assert_true(write(ends.fd[1], said[i], strlen(said[i])) > 64);
        assert_int_equal(handshake_step(&ends.shake[0], &ends.group[0]), HANDSHAKE_BROKEN);
        ends_free(&ends);
    }
    struct ends ends;
    ends_make(&ends);
    assert_int_equal(write(ends.fd[1], "DTR", 3), 3);
    assert_int_equal(handshake_step(&ends.shake[0], &ends.group[0]), HANDSHAKE_GOES_ON);
    shutdown(ends.fd[1], SHUT_WR);
    assert_int_equal(handshake_step(&ends.shake[0], &ends.group[0]), HANDSHAKE_BROKEN);
    ends_free(&ends);
}

/* --- a group that forms among strangers --- */

struct device {
    const struct dtr_plugin *plugin;
    void *self;
    struct dtr_group group;
    int status;
    struct dtr_error error;
};

static const struct tcp_params plain = {.interface = "",
                                        .address = "",
                                        .congestion = "",
                                        .peer_timeout_ms = 10000,
                                        .unexpected = 1 << 20};

static void device_open(struct device *device, uint32_t index, char *address) {
    const struct dtr_open how = {
        .size = sizeof how, .params = &plain, .threads = 1, .device = index, .devices = 2};
    device->plugin = dtr_plugin();
    assert_int_equal(device->plugin->open(&services.host, &how, &device->self, NULL), DTR_OK);
    const struct dtr_transport_ops *ops = device->plugin->ops;
    assert_int_equal(ops->address(device->self, NULL, address, DTR_ADDRESS_MAX, NULL), DTR_OK);
}

static void *device_join(void *arg) {
    struct device *device = arg;
    const struct dtr_transport_ops *ops = device->plugin->ops;
    const uint64_t deadline = services.host.now_ns(&services.host) + UINT64_C(30000000000);
    device->status = ops->join(device->self, &device->group, deadline, &device->error);
    return NULL;
}

/* Calls and says nothing, or something, and stays. */
static int stranger(const char *address, const char *words) {
    struct endpoint endpoint;
    assert_true(endpoint_parse(address, &endpoint));
    const int fd = socket(endpoint.address.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&endpoint.address, endpoint.length), 0);
    const ssize_t sent = send(fd, words, strlen(words), MSG_NOSIGNAL);
    (void)sent;
    return fd;
}

static void strangers_do_not_disturb(void **state) {
    (void)state;
    enum { STRANGERS = 40 };
    static char address[2][DTR_ADDRESS_MAX];
    static const char *const addresses[2] = {address[0], address[1]};
    static struct device device[2];
    int fd[STRANGERS];
    pthread_t thread[2];
    memset(device, 0, sizeof device);
    for (uint32_t i = 0; i < 2; i++)
        device_open(&device[i], i, address[i]);
    for (int i = 0; i < STRANGERS; i++)
        fd[i] = stranger(address[i % 2], i % 3 ? i % 3 == 1 ? "" : "DTRTCP01" : "\r\nHELP\r\n");
    for (uint32_t i = 0; i < 2; i++) {
        device[i].group = (struct dtr_group){.size = sizeof device[i].group,
                                             .devices = 2,
                                             .device = i,
                                             .addresses = addresses,
                                             .epoch = 1,
                                             .key = key};
        assert_int_equal(pthread_create(&thread[i], NULL, device_join, &device[i]), 0);
    }
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(device[i].error.text, "");
        assert_int_equal(device[i].status, DTR_OK);
        device[i].plugin->close(device[i].self);
    }
    for (int i = 0; i < STRANGERS; i++)
        close(fd[i]);
}

static void other_machines_need_a_key(void **state) {
    (void)state;
    static char address[DTR_ADDRESS_MAX];
    static const char *const addresses[2] = {address, "192.0.2.1:4711"};
    struct device device = {.status = DTR_OK};
    device_open(&device, 0, address);
    device.group = (struct dtr_group){
        .size = sizeof device.group, .devices = 2, .addresses = addresses, .epoch = 1};
    device_join(&device);
    assert_int_equal(device.status, DTR_E_CONFIG);
    assert_non_null(strstr(device.error.text, "rank 1 listens at 192.0.2.1:4711"));
    device.plugin->close(device.self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_numbers),     cmocka_unit_test(the_place_to_listen),
        cmocka_unit_test(networks_have_interfaces),  cmocka_unit_test(friends_meet),
        cmocka_unit_test(keys_must_match),           cmocka_unit_test(groups_must_match),
        cmocka_unit_test(nobody_else_is_heard),      cmocka_unit_test(strangers_do_not_disturb),
        cmocka_unit_test(other_machines_need_a_key), cmocka_unit_test(nobody_paces),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Ports: what one lets out, and what one shares out among those who send to it.
 */
#include "unit.h"

#include <math.h>

#include "plan/ports.h"

/* When the next message gets through a port, as the simulator asks for it. */
static double through_s(struct dtr_ports *ports, uint32_t to, uint32_t *token_p) {
    double now_s = 0;
    for (int i = 0; i < 100; i++) {
        now_s = dtr_ports_next(ports, to);
        if (isinf(now_s))
            break;
        dtr_ports_advance(ports, to, now_s);
        if (dtr_ports_take(ports, to, token_p))
            return now_s;
    }
    return INFINITY;
}

/* A megabyte a second: a message alone takes one, and two that overlap by half share the port while
 * they do; a sender's own messages leave one after the other. */
static void test_ports_are_shared(void **state) {
    (void)state;
    struct dtr_link link[9];
    uint32_t token;
    for (uint32_t i = 0; i < 9; i++)
        link[i] = (struct dtr_link){.latency_s = 0.25, .bytes_per_s = 1e6};
    struct dtr_ports *ports = dtr_ports_create(3, link);
    assert_non_null(ports);
    assert_float_equal(dtr_ports_send(ports, 0, 1e6, 0), 0, 1e-9);
    assert_float_equal(dtr_ports_send(ports, 0, 1e6, 0), 1, 1e-9);
    assert_float_equal(dtr_ports_latency(ports, 0, 2), 0.25, 1e-9);
    dtr_ports_advance(ports, 2, 0.25);
    assert_int_equal(dtr_ports_enter(ports, 0, 2, 1e6, 7, 0.25), DTR_OK);
    dtr_ports_advance(ports, 2, 0.75);
    assert_false(dtr_ports_take(ports, 2, &token));
    assert_int_equal(dtr_ports_enter(ports, 1, 2, 1e6, 8, 0.75), DTR_OK);
    assert_float_equal(through_s(ports, 2, &token), 1.75, 1e-6);
    assert_int_equal(token, 7);
    assert_float_equal(through_s(ports, 2, &token), 2.25, 1e-6);
    assert_int_equal(token, 8);
    assert_true(isinf(through_s(ports, 2, &token)));
    dtr_ports_free(ports);
}

/* A port lets out four megabytes a second, and so much gets through where it goes, but the link
 * between them carries one: what follows at once does not come at once. */
static void test_a_slow_link_between_fast_ports(void **state) {
    (void)state;
    struct dtr_link link[9];
    uint32_t token;
    for (uint32_t i = 0; i < 9; i++)
        link[i] = (struct dtr_link){.latency_s = 0.25, .bytes_per_s = i == 1 ? 1e6 : 4e6};
    struct dtr_ports *ports = dtr_ports_create(3, link);
    assert_non_null(ports);
    for (uint32_t i = 0; i < 3; i++) {
        const double leaves_s = dtr_ports_send(ports, 0, 1e6, 0);
        assert_float_equal(leaves_s, 0.25f * (float)i, 1e-6);
        dtr_ports_advance(ports, 1, leaves_s + 0.25);
        assert_int_equal(dtr_ports_enter(ports, 0, 1, 1e6, 7 + i, leaves_s + 0.25), DTR_OK);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_float_equal(through_s(ports, 1, &token), 1.25f + (float)i, 1e-6);
        assert_int_equal(token, 7 + i);
    }
    assert_true(isinf(through_s(ports, 1, &token)));
    dtr_ports_free(ports);
}

/* --- beside a plain account in small steps of time -------------------------------------------- */

enum { SENDERS = 6, MESSAGES = 40, RECEIVER = SENDERS };

static const double tick_s = 1e-5;

/* What one device sends, one after the other, and how far it has come. */
struct sender {
    double begins_s[MESSAGES], ends_s[MESSAGES], bytes[MESSAGES];
    double through_s[MESSAGES]; /* INFINITY: not yet */
    double came, served,
        due; /* bytes; due: of all messages up to the next that is to get through */
    uint32_t next;
};

static double uniform(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state / 4294967296.0;
}

/* Messages of all lengths: some meet a port at rest, some pile up before it. */
static void invent(struct sender *sender, double rate, uint32_t *state) {
    double now_s = 0;
    *sender = (struct sender){0};
    for (uint32_t i = 0; i < MESSAGES; i++) {
        now_s += uniform(state) < 0.5 ? 0 : 0.05 * uniform(state);
        sender->bytes[i] = 100 + 2e4 * uniform(state);
        sender->begins_s[i] = now_s;
        sender->ends_s[i] = now_s += sender->bytes[i] / rate;
        sender->through_s[i] = INFINITY;
    }
    sender->due = sender->bytes[0];
}

static double came_until(const struct sender *sender, double now_s) {
    double came = 0;
    for (uint32_t i = 0; i < MESSAGES && sender->begins_s[i] < now_s; i++)
        came += sender->bytes[i] *
                fmin(1, (now_s - sender->begins_s[i]) / (sender->ends_s[i] - sender->begins_s[i]));
    return came;
}

/* Equal parts of what the port can carry, of which each takes no more than it has. */
static void serve(struct sender *senders, double budget) {
    bool open[SENDERS] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < SENDERS; i++)
        count += open[i] = senders[i].came > senders[i].served;
    while (count && budget > 1e-9) {
        const double part = budget / count;
        for (uint32_t i = 0; i < SENDERS; i++) {
            const double has = senders[i].came - senders[i].served;
            if (!open[i])
                continue;
            senders[i].served += fmin(has, part);
            budget -= fmin(has, part);
            if (has <= part) {
                open[i] = false;
                count--;
            }
        }
    }
}

static void account(struct sender *senders, double rate, double until_s) {
    for (uint32_t tick = 1; tick * tick_s < until_s; tick++) {
        for (uint32_t i = 0; i < SENDERS; i++)
            senders[i].came = came_until(&senders[i], tick * tick_s);
        serve(senders, rate * tick_s);
        for (uint32_t i = 0; i < SENDERS; i++) {
            struct sender *sender = &senders[i];
            while (sender->next < MESSAGES && sender->served > sender->due - 1e-3) {
                sender->through_s[sender->next++] = tick * tick_s;
                sender->due += sender->next < MESSAGES ? sender->bytes[sender->next] : 0;
            }
        }
    }
}

/* What is through at the port by `now_s` got through when the account says. */
static void take_until(struct dtr_ports *ports, const struct sender *senders, double now_s,
                       uint32_t *taken) {
    for (double next_s; (next_s = dtr_ports_next(ports, RECEIVER)) <= now_s;) {
        uint32_t token;
        dtr_ports_advance(ports, RECEIVER, next_s);
        for (; dtr_ports_take(ports, RECEIVER, &token); ++*taken)
            assert_true(fabs(next_s - senders[token / MESSAGES].through_s[token % MESSAGES]) <
                        50 * tick_s);
    }
    if (!isinf(now_s))
        dtr_ports_advance(ports, RECEIVER, now_s);
}

static void test_shares_follow_an_account(void **state) {
    (void)state;
    struct dtr_link link[(SENDERS + 1) * (SENDERS + 1)] = {{0}};
    struct sender senders[SENDERS];
    uint32_t random = 7, next[SENDERS] = {0}, taken = 0;
    const double rates[SENDERS] = {1e6, 1e6, 1e6, 4e5, 2e5, 1e5};
    for (uint32_t i = 0; i < SENDERS; i++) {
        link[i * (SENDERS + 1) + RECEIVER].bytes_per_s = rates[i];
        invent(&senders[i], rates[i], &random);
    }
    account(senders, 1e6, 6);
    struct dtr_ports *ports = dtr_ports_create(SENDERS + 1, link);
    assert_non_null(ports);
    for (uint32_t entered = 0; entered < SENDERS * MESSAGES; entered++) {
        uint32_t from = 0;
        double first_s = INFINITY;
        for (uint32_t i = 0; i < SENDERS; i++)
            if (next[i] < MESSAGES && senders[i].begins_s[next[i]] < first_s)
                first_s = senders[from = i].begins_s[next[i]];
        take_until(ports, senders, first_s, &taken);
        assert_int_equal(dtr_ports_enter(ports, from, RECEIVER, senders[from].bytes[next[from]],
                                         from * MESSAGES + next[from], first_s),
                         DTR_OK);
        next[from]++;
    }
    for (int i = 0; i < 100000 && taken < SENDERS * MESSAGES; i++)
        take_until(ports, senders, dtr_ports_next(ports, RECEIVER), &taken);
    assert_int_equal(taken, SENDERS * MESSAGES);
    dtr_ports_free(ports);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports_are_shared),
        cmocka_unit_test(test_a_slow_link_between_fast_ports),
        cmocka_unit_test(test_shares_follow_an_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

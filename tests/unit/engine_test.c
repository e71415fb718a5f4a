/* SPDX-License-Identifier: MIT
 *
 * engine_test.c -- looks at a transport while nothing is under way.
 */
#include "unit.h"

#include <detransformer/transport.h>

#include "plugin/registry.h"
#include "run/engine.h"

struct fake {
    uint32_t waits, blocking;
    int status;
};

static int fake_wait(void *self, uint64_t deadline_ns) {
    struct fake *fake = self;
    fake->waits++;
    fake->blocking += deadline_ns > 0;
    return fake->status;
}

static const struct dtr_transport_ops ops = {.size = sizeof ops, .wait = fake_wait};
static const struct dtr_plugin plugin = {.ops = &ops};

static void look(void **state) {
    (void)state;
    struct fake fake = {.status = DTR_E_TIMEOUT};
    const struct dtr_instance transport = {.plugin = &plugin, .self = &fake};
    struct dtr_engine *engine;
    struct dtr_error error = {0};
    assert_int_equal(dtr_engine_create(&transport, NULL, &engine, &error), DTR_OK);
    dtr_engine_look(engine);
    dtr_engine_look(engine);
    assert_int_equal(fake.waits, 2);
    assert_int_equal(fake.blocking, 0);

    /* What is broken is not looked at again. */
    fake.status = DTR_E_PEER;
    dtr_engine_look(engine);
    dtr_engine_look(engine);
    assert_int_equal(fake.waits, 3);
    dtr_engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

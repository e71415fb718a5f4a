/* SPDX-License-Identifier: MIT */
#include "check/transport.h"
#include "check/transport_rig.h"

/* Few devices, and as many as the case says: what breaks breaks at an end. */
static void run_case(const struct crew_order *order, const struct transport_case *one) {
    const uint64_t caps = order->chain->plugin[0]->caps;
    if ((one->caps & ~caps) || (one->without & caps)) {
        dtr_check_skip(order->check, one->without & caps ? "not for a wrapper" : "not promised",
                       "%s", one->name);
        return;
    }
    dtr_crew_run(order, one->least, one->name, one->body);
    if (one->least < 3 && one->most > 3)
        dtr_crew_run(order, 3, one->name, one->body);
    if (one->most > one->least)
        dtr_crew_run(order, one->most, one->name, one->body);
}

static int probe(const struct dtr_chain *chain, const struct dtr_log *log,
                 struct dtr_error *error) {
    for (uint32_t i = chain->count; i-- > 0;) {
        struct dtr_services services;
        dtr_services_init(&services, chain->plugin[i]->name, log, NULL);
        if (chain->plugin[i]->probe(&services.host, error) <= 0)
            return dtr_fail(error, DTR_E_UNSUPPORTED, "it cannot run here and does not say why");
    }
    return DTR_OK;
}

static int run_all(const struct crew_order *order, struct dtr_error *error) {
    if (probe(order->chain, order->log, error))
        return DTR_E_UNSUPPORTED;
    for (const struct transport_case *one = dtr_transport_message_cases; one->name; one++)
        run_case(order, one);
    for (const struct transport_case *one = dtr_transport_failure_cases; one->name; one++)
        run_case(order, one);
    return DTR_OK;
}

int dtr_check_transport(const struct dtr_chain *chain, const struct dtr_log *log,
                        struct dtr_check *check, struct dtr_error *error) {
    const struct crew_order order = {.chain = chain, .log = log, .check = check};
    return run_all(&order, error);
}

int dtr_check_transport_faults(const struct dtr_chain *chain, const struct dtr_log *log,
                               struct dtr_check *check, struct dtr_error *error) {
    const struct crew_order order = {.chain = chain, .log = log, .check = check, .faults = true};
    return run_all(&order, error);
}

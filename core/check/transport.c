/* SPDX-License-Identifier: MIT */
#include "check/transport.h"
#include "check/transport_rig.h"

#include <string.h>

const struct transport_case *dtr_transport_case(uint32_t index) {
    const struct transport_case *one = dtr_transport_message_cases;
    for (; one->name; one++)
        if (!index--)
            return one;
    for (one = dtr_transport_failure_cases; one->name; one++)
        if (!index--)
            return one;
    return NULL;
}

/* Few devices, and as many as the case says: what breaks breaks at an end. */
static void run_case(const struct crew_order *order, uint32_t index) {
    const struct transport_case *one = dtr_transport_case(index);
    const uint64_t caps = order->chain->plugin[0]->caps;
    if (order->only && !strstr(one->name, order->only))
        return;
    if ((one->caps & ~caps) || (one->without & caps)) {
        dtr_check_skip(order->check, one->without & caps ? one->reason : "not promised", "%s",
                       one->name);
        return;
    }
    dtr_crew_run(order, one->least, index);
    if (one->least < 3 && one->most > 3)
        dtr_crew_run(order, 3, index);
    if (one->most > one->least)
        dtr_crew_run(order, one->most, index);
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

int dtr_check_transport(const struct dtr_chain *chain, const struct dtr_check_how *how,
                        struct dtr_check *check, struct dtr_error *error) {
    if (how->member)
        return dtr_crew_member(chain, how->member, error);
    if (probe(chain, how->log, error))
        return DTR_E_UNSUPPORTED;
    if ((chain->plugin[0]->caps & DTR_CAP_LAUNCH) && !how->launch)
        return dtr_fail(error, DTR_E_CONFIG,
                        "the transport '%s' does not start by itself: --launch \"mpirun -n\"",
                        chain->plugin[0]->name);
    const struct crew_order order = {.chain = chain,
                                     .log = how->log,
                                     .check = check,
                                     .faults = how->faults,
                                     .only = how->only,
                                     .launch = how->launch,
                                     .argv = how->argv};
    for (uint32_t i = 0; dtr_transport_case(i); i++)
        run_case(&order, i);
    return DTR_OK;
}

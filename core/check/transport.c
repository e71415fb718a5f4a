/* SPDX-License-Identifier: MIT */
#include "check/transport.h"
#include "check/transport_rig.h"

/* Few devices, and as many as the case says: what breaks breaks at an end. */
static void run_case(const struct dtr_chain *chain, const struct dtr_log *log,
                     struct dtr_check *check, const struct transport_case *one) {
    if (one->caps & ~chain->plugin[0]->caps) {
        dtr_check_skip(check, "not promised", "%s", one->name);
        return;
    }
    dtr_crew_run(chain, log, check, one->least, one->name, one->body);
    if (one->least < 3 && one->most > 3)
        dtr_crew_run(chain, log, check, 3, one->name, one->body);
    if (one->most > one->least)
        dtr_crew_run(chain, log, check, one->most, one->name, one->body);
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

int dtr_check_transport(const struct dtr_chain *chain, const struct dtr_log *log,
                        struct dtr_check *check, struct dtr_error *error) {
    if (probe(chain, log, error))
        return DTR_E_UNSUPPORTED;
    for (const struct transport_case *one = dtr_transport_message_cases; one->name; one++)
        run_case(chain, log, check, one);
    for (const struct transport_case *one = dtr_transport_failure_cases; one->name; one++)
        run_case(chain, log, check, one);
    return DTR_OK;
}

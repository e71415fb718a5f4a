/* SPDX-License-Identifier: MIT
 *
 * check_plugin.c -- the conformance suite for a kernel plugin that is linked in, as one program
 * without libraries: for machines that are emulated.
 */
#include "check/kernel.h"
#include "config/experiment.h"

const struct dtr_plugin *dtr_plugin(void);

int main(void) {
    const struct dtr_log log = {.level = DTR_LOG_DEBUG, .fd = 2};
    const struct dtr_chain chain = {.count = 1, .plugin = {dtr_plugin()}};
    struct dtr_check check = {.out = stdout};
    struct dtr_error error = {.status = DTR_OK};
    if (dtr_check_kernel(&chain, &log, &check, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    dtr_check_end(&check);
    return check.failed != 0;
}

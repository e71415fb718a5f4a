/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tcp/arrival.h"

/* Of a message of which more is missing the beginning is read as it comes, so that neither the
 * sender's window nor ours stands still. */
static const size_t most_missing = 32768;
/* What should be there sooner is looked for without sleeping, since a sleep takes some 50 us longer
 * than it should; and a sender that did not run for a while is not slow. */
static const uint64_t least_ns = 100000, most_pause_ns = 1000000;

static void grow(struct arrival *arrival, size_t there, size_t missing, uint64_t now_ns) {
    const double per_byte_ns =
        (double)(now_ns - arrival->grew_ns) / (double)(there - arrival->there);
    const uint64_t rest_ns = (uint64_t)(per_byte_ns * (double)(missing - there));
    arrival->whole_ns = now_ns + (rest_ns > least_ns ? rest_ns : least_ns);
    arrival->there = there;
    arrival->grew_ns = now_ns;
}

/* Half of it, since what comes in bursts, or between what others send, does not come evenly. */
static uint64_t pause_of(uint64_t rest_ns) {
    const uint64_t pause_ns = rest_ns / 2;
    if (pause_ns < least_ns)
        return 0;
    return pause_ns < most_pause_ns ? pause_ns : most_pause_ns;
}

bool arrival_goes_on(struct arrival *arrival, size_t there, size_t missing, uint64_t now_ns) {
    if (there >= missing || missing > most_missing)
        return false;
    if (there > arrival->there)
        grow(arrival, there, missing, now_ns);
    if (now_ns >= arrival->whole_ns)
        return false;
    arrival->look_again_ns = now_ns + pause_of(arrival->whole_ns - now_ns);
    return true;
}

void arrival_read(struct arrival *arrival, uint64_t now_ns) {
    *arrival = (struct arrival){.grew_ns = now_ns};
}

void arrival_end(struct arrival *arrival) {
    *arrival = (struct arrival){.there = SIZE_MAX};
}

/* SPDX-License-Identifier: MIT */
#include "run/gap.h"

/* Nothing is taken before it was sent, in either direction. */
void dtr_gap_learn(struct dtr_gap *gap, const struct dtr_round *round) {
    const struct dtr_gap now = {
        .known = true,
        .least_ns = (int64_t)(round->sent_ns - round->taken_ns),
        .most_ns = (int64_t)(round->received_ns - round->answered_ns),
    };
    const int64_t least_ns = gap->least_ns > now.least_ns ? gap->least_ns : now.least_ns;
    const int64_t most_ns = gap->most_ns < now.most_ns ? gap->most_ns : now.most_ns;
    /* Clocks drift apart, and another machine may have taken over. */
    const bool agree = gap->known && least_ns <= most_ns;
    *gap = agree ? (struct dtr_gap){true, least_ns, most_ns} : now;
}

int64_t dtr_gap_ns(const struct dtr_gap *gap) {
    if (gap->least_ns <= 0 && gap->most_ns >= 0)
        return 0;
    const uint64_t width_ns = (uint64_t)gap->most_ns - (uint64_t)gap->least_ns;
    return (int64_t)((uint64_t)gap->least_ns + width_ns / 2);
}

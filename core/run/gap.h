/* SPDX-License-Identifier: MIT
 *
 * gap.h -- how far another process's clock is behind this one's, which is not at all on the same
 * machine, from the times of messages there and back.
 */
#ifndef DTR_RUN_GAP_H
#define DTR_RUN_GAP_H

#include <stdbool.h>
#include <stdint.h>

/* Bounds of the gap; all zeros: nothing is known. */
struct dtr_gap {
    bool known;
    int64_t least_ns, most_ns;
};

/* A message and its answer: sent and received by this clock, taken and answered by the other. */
struct dtr_round {
    uint64_t sent_ns, taken_ns, answered_ns, received_ns;
};

/* Learns from a round; whatever the times are, there are bounds then. */
void dtr_gap_learn(struct dtr_gap *gap, const struct dtr_round *round);

/* What the other clock is to be put forward by, with an error of at most half the shortest way
 * there and back; 0 as long as it may be the same clock. */
int64_t dtr_gap_ns(const struct dtr_gap *gap);

/* A time of the other clock by this one's; 0, no time, stays. */
static inline uint64_t dtr_gap_bridge(uint64_t ns, int64_t gap_ns) {
    return ns ? ns + (uint64_t)gap_ns : 0;
}

#endif

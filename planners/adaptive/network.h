/* SPDX-License-Identifier: MIT
 *
 * network.h -- the links as the requests show them: medians of what was observed lately, begun anew
 * when the network has changed for good, and a guess at links that carried nothing.
 */
#ifndef DTR_PLANNERS_NETWORK_H
#define DTR_PLANNERS_NETWORK_H

#include <detransformer/planner.h>
#include <stdbool.h>

#define DTR_NETWORK_WINDOW 5u /* observations of a link that are kept */

struct dtr_network {
    const struct dtr_host *host;
    uint32_t devices;
    double bytes;             /* of the message by which links are compared */
    struct dtr_link *profile; /* [from][to] as measured beforehand */
    struct dtr_link *now;     /* [from][to] the estimate */
    struct dtr_link *basis;   /* [from][to] the estimate when it was last acted upon */
    struct dtr_link *window;  /* [from][to][DTR_NETWORK_WINDOW] the newest first */
    uint8_t *kept;            /* [from][to] how many of them there are */
    double *change;           /* [devices] how much slower the last request saw its links (log) */
    double *since;            /* [devices] how much slower they are than in the profile (log) */
    double *scratch;          /* [2 devices] */
    double noise;             /* how much the links of a device vary between requests (log) */
};

/* `bytes`: the size of a typical message.  NULL: out of memory. */
struct dtr_network *dtr_network_create(const struct dtr_host *host, uint32_t devices,
                                       const struct dtr_link *profile, double bytes);
void dtr_network_free(struct dtr_network *network);

/* Takes in the links that carried something, bytes_per_s > 0; what is not a number or not positive
 * counts as not seen.  False: nothing was seen. */
bool dtr_network_observe(struct dtr_network *network, const struct dtr_link *link);

/* True when the links of a device are by a fifth slower or faster than the basis, which is then set
 * to what they are now. */
bool dtr_network_moved(struct dtr_network *network);

#endif

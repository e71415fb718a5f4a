/* SPDX-License-Identifier: MIT
 *
 * One message that was late is no news; a device all of whose links have become slower is, at once:
 * the next request must run on what is known of it.
 */
#include "adaptive/network.h"

#include <math.h>
#include <string.h>

#define STEP 0.3       /* log: beyond this (35 %) a device's links have changed, not varied */
#define STEP_NOISE 4.0 /* ... or beyond so many times what they vary by */
#define NOISE_MOST 0.5 /* log: a step counts no more than this as noise */
#define NOISE_PART 0.2 /* weight of the latest request in what is thought of the noise */
#define MOVED 0.1824   /* log 1.2 */

static size_t pair(const struct dtr_network *network, uint32_t from, uint32_t to) {
    return (size_t)from * network->devices + to;
}

static bool is_seen(const struct dtr_link *link) {
    return isfinite(link->bytes_per_s) && link->bytes_per_s > 0 && isfinite(link->latency_s) &&
           link->latency_s >= 0;
}

/* By how much a typical message is slower on a than on b. */
static double slower(const struct dtr_network *network, const struct dtr_link *a,
                     const struct dtr_link *b) {
    const double a_s = a->latency_s + network->bytes / a->bytes_per_s;
    const double b_s = b->latency_s + network->bytes / b->bytes_per_s;
    return a_s > 0 && b_s > 0 && isfinite(a_s) && isfinite(b_s) ? log(a_s / b_s) : 0.0;
}

struct dtr_network *dtr_network_create(const struct dtr_host *host, uint32_t devices,
                                       const struct dtr_link *profile, double bytes) {
    const size_t pairs = (size_t)devices * devices;
    struct dtr_network *network =
        host->allocate(host, _Alignof(struct dtr_network), sizeof *network);
    if (!network)
        return NULL;
    *network = (struct dtr_network){
        .host = host,
        .devices = devices,
        .bytes = bytes,
        .profile = host->allocate(host, _Alignof(struct dtr_link),
                                  (3 + DTR_NETWORK_WINDOW) * pairs * sizeof *profile),
        .kept = host->allocate(host, 1, pairs),
        .change = host->allocate(host, _Alignof(double), 4 * devices * sizeof(double)),
    };
    if (!network->profile || !network->kept || !network->change) {
        dtr_network_free(network);
        return NULL;
    }
    network->now = network->profile + pairs;
    network->basis = network->now + pairs;
    network->window = network->basis + pairs;
    network->since = network->change + devices;
    network->scratch = network->since + devices;
    memset(network->kept, 0, pairs);
    memcpy(network->profile, profile, pairs * sizeof *profile);
    memcpy(network->now, profile, pairs * sizeof *profile);
    memcpy(network->basis, profile, pairs * sizeof *profile);
    return network;
}

void dtr_network_free(struct dtr_network *network) {
    if (!network)
        return;
    const struct dtr_host *host = network->host;
    host->release(host, network->profile);
    host->release(host, network->kept);
    host->release(host, network->change);
    host->release(host, network);
}

/* Sorts; few values. */
static double median(double *values, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        const double value = values[i];
        uint32_t at = i;
        for (; at && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return count ? 0.5 * (values[(count - 1) / 2] + values[count / 2]) : NAN;
}

/* How much slower the links of a device are in `a` than in `b`, as the median of those seen;
 * NAN: none was. */
static double device_change(const struct dtr_network *network, uint32_t device,
                            const struct dtr_link *seen, const struct dtr_link *a,
                            const struct dtr_link *b) {
    uint32_t count = 0;
    for (uint32_t other = 0; other < network->devices; other++) {
        const size_t out = pair(network, device, other), in = pair(network, other, device);
        if (other == device)
            continue;
        if (is_seen(&seen[out]))
            network->scratch[count++] = slower(network, &a[out], &b[out]);
        if (is_seen(&seen[in]))
            network->scratch[count++] = slower(network, &a[in], &b[in]);
    }
    return median(network->scratch, count);
}

/* Learns how much a stationary network varies, and returns what is beyond that. */
static double step_size(const struct dtr_network *network) {
    const double noisy = STEP_NOISE * network->noise;
    return noisy > STEP ? noisy : STEP;
}

static void learn_noise(struct dtr_network *network) {
    double sum = 0.0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < network->devices; i++)
        if (!isnan(network->change[i])) {
            const double size = fabs(network->change[i]);
            sum += size < NOISE_MOST ? size : NOISE_MOST;
            count++;
        }
    if (count)
        network->noise += NOISE_PART * (sum / count - network->noise);
}

static void remember(struct dtr_network *network, size_t at, const struct dtr_link *link,
                     bool anew) {
    struct dtr_link *window = network->window + at * DTR_NETWORK_WINDOW;
    uint32_t kept = anew ? 0 : network->kept[at];
    if (!kept && !anew)
        window[kept++] = network->now[at];
    if (kept == DTR_NETWORK_WINDOW)
        kept--;
    memmove(window + 1, window, kept * sizeof *window);
    window[0] = *link;
    network->kept[at] = (uint8_t)(kept + 1);
}

/* The median of what is kept; of less than three there is no telling which is the outlier. */
static struct dtr_link settle(const struct dtr_network *network, size_t at) {
    const struct dtr_link *window = network->window + at * DTR_NETWORK_WINDOW;
    const uint32_t kept = network->kept[at];
    double latency_s[DTR_NETWORK_WINDOW], bytes_per_s[DTR_NETWORK_WINDOW];
    if (kept < 3)
        return window[0];
    for (uint32_t i = 0; i < kept; i++) {
        latency_s[i] = window[i].latency_s;
        bytes_per_s[i] = window[i].bytes_per_s;
    }
    return (struct dtr_link){median(latency_s, kept), median(bytes_per_s, kept)};
}

static bool has_stepped(const struct dtr_network *network, uint32_t from, uint32_t to,
                        double step) {
    return fabs(network->change[from]) > step || fabs(network->change[to]) > step;
}

/* A link that carried nothing, and is not known from before or has stepped since, is thought to
 * have changed with the links of its devices: as the slower of the two ports. */
static void guess(struct dtr_network *network, const struct dtr_link *seen, double step) {
    for (uint32_t i = 0; i < network->devices; i++)
        network->since[i] = device_change(network, i, seen, network->now, network->profile);
    for (uint32_t from = 0; from < network->devices; from++)
        for (uint32_t to = 0; to < network->devices; to++) {
            const size_t at = pair(network, from, to);
            const double since = fmax(network->since[from], network->since[to]);
            if (from == to || is_seen(&seen[at]) || isnan(since) ||
                (network->kept[at] && !has_stepped(network, from, to, step)))
                continue;
            network->now[at] = network->profile[at];
            network->now[at].bytes_per_s /= exp(since);
            network->kept[at] = 0;
        }
}

bool dtr_network_observe(struct dtr_network *network, const struct dtr_link *link) {
    const double step = step_size(network);
    bool any = false;
    for (uint32_t i = 0; i < network->devices; i++)
        network->change[i] = device_change(network, i, link, link, network->now);
    for (uint32_t from = 0; from < network->devices; from++)
        for (uint32_t to = 0; to < network->devices; to++) {
            const size_t at = pair(network, from, to);
            if (from == to || !is_seen(&link[at]))
                continue;
            remember(network, at, &link[at], has_stepped(network, from, to, step));
            network->now[at] = settle(network, at);
            any = true;
        }
    if (!any)
        return false;
    learn_noise(network);
    guess(network, link, step);
    return true;
}

bool dtr_network_moved(struct dtr_network *network) {
    bool moved = false;
    for (uint32_t i = 0; i < network->devices; i++) {
        const double change = device_change(network, i, network->now, network->now, network->basis);
        moved |= fabs(change) > MOVED;
    }
    if (moved)
        memcpy(network->basis, network->now,
               (size_t)network->devices * network->devices * sizeof *network->now);
    return moved;
}

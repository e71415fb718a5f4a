/* SPDX-License-Identifier: MIT */
#include "plan/route.h"

const char *dtr_algorithm_name(enum dtr_algorithm algorithm) {
    static const char *const names[] = {
        [DTR_DIRECT] = "direct",     [DTR_PAIRWISE] = "pairwise", [DTR_RING] = "ring",
        [DTR_DOUBLING] = "doubling", [DTR_BRUCK] = "bruck",       [DTR_STAR] = "star",
        [DTR_ONE_SHOT] = "one-shot",
    };
    return algorithm < DTR_ALGORITHMS ? names[algorithm] : "?";
}

bool dtr_route_works(enum dtr_algorithm algorithm, uint32_t count) {
    return algorithm != DTR_DOUBLING || (count & (count - 1)) == 0;
}

enum dtr_algorithm dtr_route_sparing(uint32_t count) {
    return dtr_route_works(DTR_DOUBLING, count) ? DTR_DOUBLING : DTR_BRUCK;
}

bool dtr_route_relays(enum dtr_algorithm algorithm) {
    return algorithm != DTR_DIRECT && algorithm != DTR_PAIRWISE && algorithm != DTR_ONE_SHOT;
}

/* The number of binary digits. */
static uint32_t digits(uint32_t number) {
    return number ? 32 - (uint32_t)__builtin_clz(number) : 0;
}

uint32_t dtr_route_rounds(enum dtr_algorithm algorithm, uint32_t count) {
    if (count < 2)
        return 0;
    switch (algorithm) {
    case DTR_DIRECT:
    case DTR_ONE_SHOT:
        return 1;
    case DTR_STAR:
        return 2;
    case DTR_PAIRWISE:
    case DTR_RING:
        return count - 1;
    default:
        return digits(count - 1);
    }
}

struct dtr_hop dtr_route_hop(enum dtr_algorithm algorithm, uint32_t count, uint32_t source,
                             uint32_t target) {
    const uint32_t distance = (target + count - source) % count;
    uint32_t last;
    switch (algorithm) {
    case DTR_PAIRWISE:
        return (struct dtr_hop){source, distance - 1};
    case DTR_RING:
        return (struct dtr_hop){(target + count - 1) % count, distance - 1};
    case DTR_DOUBLING:
        last = digits(source ^ target) - 1;
        return (struct dtr_hop){target ^ (1u << last), last};
    case DTR_BRUCK:
        last = digits(distance) - 1;
        return (struct dtr_hop){(target + count - (1u << last)) % count, last};
    case DTR_STAR:
        return target == 0 ? (struct dtr_hop){source, 0} : (struct dtr_hop){0, 1};
    default:
        return (struct dtr_hop){source, 0};
    }
}

bool dtr_route_onward(enum dtr_algorithm algorithm, uint32_t count, uint32_t from, uint32_t index,
                      uint32_t *to) {
    const bool by_digits = algorithm == DTR_DOUBLING || algorithm == DTR_BRUCK;
    const bool one = algorithm == DTR_RING || (algorithm == DTR_STAR && from);
    if (index >= (by_digits ? digits(count - 1) : one ? 1 : count - 1))
        return false;
    if (algorithm == DTR_DOUBLING)
        *to = from ^ (1u << index);
    else if (algorithm == DTR_BRUCK)
        *to = (from + (1u << index)) % count;
    else if (algorithm == DTR_STAR && from)
        *to = 0;
    else
        *to = (from + 1 + index) % count;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "common/arrange.h"

#include <math.h>
#include <string.h>

#include "common/placement.h"

#define SAME 0.93   /* of the speed of another device: as good as equal */
#define EXACT 8u    /* so many devices: every number of them is tried */
#define FEW 16u     /* so many devices: each is left out or added */
#define REPAIRS 4u  /* attempts to fit a placement into memory */
#define MARGIN 0.97 /* of a budget, since shares are rounded */
#define CLOSE 1.5   /* times the best: worth trying on yet more devices */
#define GAVE_UP 4u  /* trials on more devices that were no better */

struct arranger {
    struct dtr_contest *contest;
    struct dtr_search *search;
    const struct dtr_plan *given;
    double *speed;   /* [devices] 0: takes no part */
    uint32_t *order; /* [devices] the fastest first */
    uint32_t count;  /* devices of a speed above 0 */
    double *share;   /* [devices] scratch: of the set that is being tried */
    double *merit;   /* [strategies] scratch */
    struct dtr_room room;
};

/* --- devices ---------------------------------------------------------------------------------- */

/* Devices that were not measured are taken for the mean of those that were. */
static double mean_gflops(const struct dtr_problem *problem) {
    double sum = 0.0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < problem->devices; i++) {
        const double gflops = dtr_problem_device(problem, i)->gflops;
        sum += gflops > 0 ? gflops : 0.0;
        known += gflops > 0;
    }
    return known ? sum / known : 1.0;
}

static void sort_devices(struct arranger *a) {
    a->count = 0;
    for (uint32_t i = 0; i < a->given->devices; i++) {
        if (!(a->speed[i] > 0))
            continue;
        uint32_t at = a->count++;
        for (; at && a->speed[a->order[at - 1]] < a->speed[i]; at--)
            a->order[at] = a->order[at - 1];
        a->order[at] = i;
    }
}

/* Speeds that hardly differ are made the same: that is how far they can be measured, and equal
 * parts are better than nearly equal ones. */
static void even_out(struct arranger *a) {
    uint32_t next;
    for (uint32_t first = 0; first < a->count; first = next) {
        const double least = SAME * a->speed[a->order[first]];
        double sum = 0.0;
        for (next = first; next < a->count && a->speed[a->order[next]] >= least; next++)
            sum += a->speed[a->order[next]];
        for (uint32_t n = first; n < next; n++)
            a->speed[a->order[n]] = sum / (next - first);
    }
}

static void order_devices(struct arranger *a) {
    const struct dtr_problem *problem = a->search->problem;
    const double mean = mean_gflops(problem);
    for (uint32_t i = 0; i < problem->devices; i++) {
        const struct dtr_device_info *device = dtr_problem_device(problem, i);
        a->speed[i] = device->share * (device->gflops > 0 ? device->gflops : mean);
    }
    sort_devices(a);
    even_out(a);
    sort_devices(a);
}

static void *allocate(struct arranger *a, size_t count, size_t size) {
    void *memory =
        a->search->host->allocate(a->search->host, _Alignof(max_align_t), count * size + 1);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

static void finish(struct arranger *a) {
    const struct dtr_host *host = a->search->host;
    host->release(host, a->speed);
    host->release(host, a->order);
    host->release(host, a->share);
    host->release(host, a->merit);
    host->release(host, a->room.most);
    host->release(host, a->room.given);
    host->release(host, a->room.sum);
}

static int begin(struct arranger *a, struct dtr_contest *contest, const struct dtr_plan *given,
                 struct dtr_error *error) {
    const uint32_t devices = given->devices;
    *a = (struct arranger){.contest = contest, .search = contest->search, .given = given};
    a->speed = allocate(a, devices, sizeof *a->speed);
    a->order = allocate(a, devices, sizeof *a->order);
    a->share = allocate(a, devices, sizeof *a->share);
    a->merit = allocate(a, given->strategies, sizeof *a->merit);
    a->room = (struct dtr_room){
        .most = allocate(a, devices, sizeof *a->room.most),
        .given = allocate(a, devices, sizeof *a->room.given),
        .sum = allocate(a, given->divisions, sizeof *a->room.sum),
        .by_hand = dtr_placed_by_hand(a->search->problem),
    };
    if (!a->speed || !a->order || !a->share || !a->merit || !a->room.most || !a->room.given ||
        !a->room.sum) {
        finish(a);
        return a->search->host->fail(error, DTR_E_MEMORY, "out of memory");
    }
    order_devices(a);
    return DTR_OK;
}

/* --- one set of devices ----------------------------------------------------------------------- */

/* Less on each device whose memory is short: a smaller share, fewer sub-blocks. */
static void tighten(struct arranger *a, const struct dtr_plan *plan) {
    for (uint32_t i = 0; i < plan->devices; i++) {
        const uint64_t has = dtr_problem_device(a->search->problem, i)->memory;
        const uint64_t needs = a->search->memory_bytes[i];
        if (!has || needs <= has)
            continue;
        const double part = MARGIN * (double)has / (double)needs;
        uint32_t held = 0;
        for (uint32_t d = 0; d < plan->divisions; d++)
            held += plan->holds[(size_t)d * plan->devices + i];
        a->room.most[i] = (uint32_t)(held * part);
        a->share[i] *= part;
    }
}

/* Whether the experiment has placed sub-blocks here: then the device stays. */
static bool is_bound(const struct arranger *a, uint32_t device) {
    for (uint32_t d = 0; a->room.by_hand && d < a->given->divisions; d++)
        if (a->given->holds[(size_t)d * a->given->devices + device])
            return true;
    return false;
}

/* Device 0 alone runs every strategy as it does `single`, the first of all. */
static bool is_single(const struct arranger *a, uint32_t strategy) {
    if (!strategy || !a->search->allowed[0] || !(a->share[0] > 0))
        return false;
    for (uint32_t i = 1; i < a->given->devices; i++)
        if (a->share[i] > 0 || is_bound(a, i))
            return false;
    return true;
}

/* One strategy on the devices whose share is above 0, within their memory if that is possible. */
static int try_set(struct arranger *a, uint32_t strategy, uint32_t tiles, bool shared,
                   struct dtr_trial *trial, struct dtr_error *error) {
    struct dtr_plan *draft = a->contest->draft;
    int status = DTR_OK;
    *trial = dtr_trial_none;
    if (is_single(a, strategy))
        return DTR_OK;
    for (uint32_t i = 0; i < draft->devices; i++)
        a->room.most[i] = draft->divisions;
    for (uint32_t attempt = 0; !status && attempt <= REPAIRS && !trial->fits; attempt++) {
        dtr_draft_copy(draft, a->given);
        memcpy(draft->share, a->share, draft->devices * sizeof *draft->share);
        draft->tiles = tiles;
        dtr_draft_run(a->search, draft, strategy);
        if (!dtr_place(draft, &a->room, shared) || !dtr_search_affords(a->search, draft))
            break;
        status = dtr_contest_try(a->contest, strategy, trial, error);
        if (isinf(trial->latency_s))
            break;
        tighten(a, draft);
    }
    return status;
}

/* The `count` fastest devices, and those that are bound to take part. */
static void take_fastest(struct arranger *a, uint32_t count) {
    memset(a->share, 0, a->given->devices * sizeof *a->share);
    for (uint32_t n = 0; n < a->count; n++)
        if (n < count || is_bound(a, a->order[n]))
            a->share[a->order[n]] = a->speed[a->order[n]];
}

/* More devices cost more trials: beyond a few only those that gain from them, and near the best. */
static bool is_promising(const struct arranger *a, uint32_t strategy, uint32_t count,
                         double least) {
    const struct dtr_contender *contender = &a->contest->contender[strategy];
    if (!a->search->allowed[strategy])
        return false;
    if (count <= EXACT || isinf(least))
        return true;
    return contender->worse <= GAVE_UP && contender->trial.score <= CLOSE * least;
}

static double least_score(const struct arranger *a) {
    double least = INFINITY;
    for (uint32_t s = 0; s < a->given->strategies; s++)
        if (a->contest->contender[s].trial.score < least)
            least = a->contest->contender[s].trial.score;
    return least;
}

/* Whether several devices share a division in this plan. */
static bool is_shared(const struct dtr_plan *plan) {
    for (uint32_t d = 0; d < plan->divisions; d++) {
        uint32_t holders = 0;
        for (uint32_t i = 0; i < plan->devices; i++)
            holders += plan->holds[(size_t)d * plan->devices + i];
        if (holders > 1)
            return true;
    }
    return false;
}

/* One strategy on so many devices, every sub-block on one of them, and shared where there are more
 * devices than divisions: as was better with fewer devices first. */
static int try_strategy(struct arranger *a, uint32_t strategy, uint32_t count,
                        struct dtr_error *error) {
    struct dtr_contender *contender = &a->contest->contender[strategy];
    const bool both = a->given->divisions && count > a->given->divisions && !a->room.by_hand &&
                      !contender->unplaced;
    const bool shared = both && is_shared(contender->plan);
    struct dtr_trial first, second;
    take_fastest(a, count);
    int status = try_set(a, strategy, DTR_CONTEST_TILES, shared, &first, error);
    if (status || !both)
        return status;
    take_fastest(a, count);
    status = try_set(a, strategy, DTR_CONTEST_TILES, !shared, &second, error);
    contender->unplaced = count >= 2 * a->given->divisions &&
                          fabs(first.latency_s - second.latency_s) <= 1e-9 * first.latency_s;
    return status;
}

/* The best so far first, for there may be no work left for the others. */
static int try_count(struct arranger *a, uint32_t count, struct dtr_error *error) {
    const uint32_t strategies = a->given->strategies;
    const double least = least_score(a);
    int status = DTR_OK;
    for (uint32_t s = 0; s < strategies; s++)
        a->merit[s] = a->contest->contender[s].trial.score;
    for (uint32_t place = 0; !status && place < strategies; place++) {
        const uint32_t s = dtr_strategy_by_merit(a->merit, strategies, place);
        if (is_promising(a, s, count, least))
            status = try_strategy(a, s, count, error);
    }
    return status;
}

/* Numbers that the divisions can be shared out to evenly are preferred. */
static uint32_t near_multiple(const struct arranger *a, uint32_t count) {
    const uint32_t divisions = a->given->divisions ? a->given->divisions : 1;
    return count > divisions ? count / divisions * divisions : count;
}

static uint32_t next_count(const struct arranger *a, uint32_t count) {
    const uint32_t next = a->count <= EXACT ? count + 1 : near_multiple(a, 2 * count);
    return next < a->count ? next : count < a->count ? a->count : count + 1;
}

/* --- other sets ------------------------------------------------------------------------------- */

static bool takes_any(const struct arranger *a) {
    for (uint32_t i = 0; i < a->given->devices; i++)
        if (a->share[i] > 0)
            return true;
    return false;
}

/* The best plan of a strategy without each of its devices in turn, and with each of the others. */
static int try_neighbours(struct arranger *a, uint32_t strategy, struct dtr_error *error) {
    const struct dtr_contender *contender = &a->contest->contender[strategy];
    const bool shared = is_shared(contender->plan);
    const uint32_t tiles = contender->plan->tiles;
    int status = DTR_OK;
    for (uint32_t i = 0; !status && i < a->given->devices; i++) {
        struct dtr_trial trial;
        if (!(a->speed[i] > 0) || is_bound(a, i))
            continue;
        memcpy(a->share, contender->plan->share, a->given->devices * sizeof *a->share);
        a->share[i] = a->share[i] > 0 ? 0.0 : a->speed[i];
        if (takes_any(a))
            status = try_set(a, strategy, tiles, shared, &trial, error);
    }
    return status;
}

/* The numbers of devices between those that were tried, for the best strategy. */
static int try_between(struct arranger *a, uint32_t strategy, struct dtr_error *error) {
    const uint32_t best = dtr_draft_taking(a->contest->contender[strategy].plan);
    int status = DTR_OK;
    for (uint32_t quarters = 3; !status && quarters <= 7; quarters++) {
        const uint32_t count = near_multiple(a, best * quarters / 4);
        if (quarters != 4 && count != best && count && count <= a->count)
            status = try_strategy(a, strategy, count, error);
    }
    return status;
}

/* Other sets of devices than the fastest, which avoids one behind a slow link; half of the work
 * that is left is kept for what comes after. */
static int improve_set(struct arranger *a, struct dtr_error *error) {
    uint32_t best = 0;
    while (best < a->given->strategies && dtr_contest_rank(a->contest, best))
        best++;
    const struct dtr_contender *contender = &a->contest->contender[best];
    const uint64_t limit = a->search->limit;
    struct dtr_trial before;
    int status = DTR_OK;
    if (isinf(contender->trial.score) || a->search->spent >= limit)
        return DTR_OK;
    a->search->limit -= (limit - a->search->spent) / 2;
    if (a->count > EXACT)
        status = try_between(a, best, error);
    while (!status && a->count <= FEW) {
        before = contender->trial;
        status = try_neighbours(a, best, error);
        if (!dtr_trial_better(&contender->trial, &before))
            break;
    }
    a->search->limit = limit;
    return status;
}

int dtr_arrange(struct dtr_contest *contest, const struct dtr_plan *given,
                struct dtr_error *error) {
    struct arranger a;
    int status = begin(&a, contest, given, error);
    if (status)
        return status;
    if (!a.count)
        status = a.search->host->fail(error, DTR_E_CONFIG,
                                      "every device has share 0; one must take part");
    for (uint32_t count = 1; !status && count <= a.count; count = next_count(&a, count))
        status = try_count(&a, count, error);
    if (!status)
        status = improve_set(&a, error);
    finish(&a);
    return status ? status : dtr_contest_finish(contest, error);
}

/* --- strategies that may be chosen ------------------------------------------------------------ */

static int allow_named(const struct dtr_host *host, const struct dtr_problem *problem,
                       const char *name, uint8_t *allowed, struct dtr_error *error) {
    for (uint32_t s = 0; s < problem->strategies; s++) {
        const struct dtr_strategy_info *info = dtr_problem_strategy(problem, s);
        if (strcmp(info->name, name))
            continue;
        if (!info->usable)
            return host->fail(error, DTR_E_CONFIG, "strategy '%s': %s", name,
                              info->reason ? info->reason : "not for this model");
        allowed[s] = 1;
        return DTR_OK;
    }
    return host->fail(error, DTR_E_CONFIG, "unknown strategy '%s'", name);
}

int dtr_allow(const struct dtr_host *host, const struct dtr_problem *problem,
              const struct dtr_list *names, uint8_t *allowed, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t s = 0; s < problem->strategies; s++)
        allowed[s] = !names->count && dtr_problem_strategy(problem, s)->usable;
    for (size_t i = 0; !status && i < names->count; i++)
        status = allow_named(host, problem, names->words[i], allowed, error);
    return status;
}

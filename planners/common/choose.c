/* SPDX-License-Identifier: MIT */
#include "common/choose.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FEW 3u           /* contenders that are worth more trials */
#define HOPELESS 2.5     /* times the best: no number of tiles makes up for it */
#define GROUP_GAIN 0.999 /* a group that runs by another strategy must be worth it */

int dtr_contest_begin(struct dtr_contest *contest, struct dtr_search *search,
                      const struct dtr_plan *like, struct dtr_error *error) {
    const struct dtr_host *host = search->host;
    const uint32_t strategies = search->problem->strategies;
    *contest = (struct dtr_contest){.search = search, .trial = dtr_trial_none};
    contest->contender = host->allocate(host, _Alignof(struct dtr_contender),
                                        strategies * sizeof *contest->contender);
    contest->draft = dtr_draft_create(host, like);
    contest->best = dtr_draft_create(host, like);
    bool complete = contest->contender && contest->draft && contest->best;
    for (uint32_t s = 0; contest->contender && s < strategies; s++) {
        contest->contender[s] = (struct dtr_contender){
            .plan = complete ? dtr_draft_create(host, like) : NULL, .trial = dtr_trial_none};
        complete = complete && contest->contender[s].plan;
    }
    if (complete)
        return DTR_OK;
    dtr_contest_end(contest);
    return host->fail(error, DTR_E_MEMORY, "out of memory");
}

void dtr_contest_end(struct dtr_contest *contest) {
    const struct dtr_host *host = contest->search->host;
    for (uint32_t s = 0; contest->contender && s < contest->search->problem->strategies; s++)
        host->release(host, contest->contender[s].plan);
    host->release(host, contest->contender);
    host->release(host, contest->draft);
    host->release(host, contest->best);
    contest->contender = NULL;
    contest->draft = contest->best = NULL;
}

int dtr_contest_try(struct dtr_contest *contest, uint32_t strategy, struct dtr_trial *trial,
                    struct dtr_error *error) {
    struct dtr_contender *contender = &contest->contender[strategy];
    const int status = dtr_search_try(contest->search, contest->draft, trial, error);
    if (status)
        return status;
    /* What every strategy comes to on device 0 alone. */
    const bool worth_it = dtr_trial_better(trial, &contest->contender[0].trial);
    contender->worse++;
    if (!dtr_trial_better(trial, &contender->trial))
        return DTR_OK;
    dtr_draft_copy(contender->plan, contest->draft);
    contender->trial = *trial;
    if (worth_it)
        contender->worse = 0;
    return DTR_OK;
}

uint32_t dtr_strategy_by_merit(const double *merit, uint32_t strategies, uint32_t place) {
    for (uint32_t s = 0; merit && s < strategies; s++) {
        uint32_t before = 0;
        for (uint32_t other = 0; other < strategies; other++)
            before += merit[other] < merit[s] || (merit[other] <= merit[s] && other < s);
        if (before == place)
            return s;
    }
    return place;
}

int dtr_contest_strategies(struct dtr_contest *contest, const struct dtr_plan *plan,
                           const double *merit, struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t place = 0; !status && place < plan->strategies; place++) {
        const uint32_t s = dtr_strategy_by_merit(merit, plan->strategies, place);
        struct dtr_trial trial;
        if (!contest->search->allowed[s])
            continue;
        dtr_draft_copy(contest->draft, plan);
        contest->draft->tiles = DTR_CONTEST_TILES;
        dtr_draft_run(contest->search, contest->draft, s);
        if (dtr_search_affords(contest->search, contest->draft))
            status = dtr_contest_try(contest, s, &trial, error);
    }
    return status;
}

uint32_t dtr_contest_rank(const struct dtr_contest *contest, uint32_t strategy) {
    uint32_t rank = 0;
    const struct dtr_trial *own = &contest->contender[strategy].trial;
    for (uint32_t s = 0; s < contest->search->problem->strategies; s++)
        rank += dtr_trial_better(&contest->contender[s].trial, own);
    return rank;
}

static void keep_best(struct dtr_contest *contest, const struct dtr_plan *plan,
                      const struct dtr_trial *trial) {
    if (!dtr_trial_better(trial, &contest->trial))
        return;
    dtr_draft_copy(contest->best, plan);
    contest->trial = *trial;
}

int dtr_contest_keep(struct dtr_contest *contest, const struct dtr_plan *plan,
                     struct dtr_error *error) {
    const uint64_t spent = contest->search->spent;
    struct dtr_trial trial;
    const int status = dtr_search_try(contest->search, plan, &trial, error);
    contest->search->spent = spent;
    if (!status)
        keep_best(contest, plan, &trial);
    return status;
}

/* The best plan of a strategy in so many tiles; *better_p when that is better. */
static int try_tiles(struct dtr_contest *contest, uint32_t strategy, uint32_t tiles, bool *better_p,
                     struct dtr_error *error) {
    const struct dtr_contender *contender = &contest->contender[strategy];
    const struct dtr_trial before = contender->trial;
    struct dtr_trial trial;
    *better_p = false;
    dtr_draft_copy(contest->draft, contender->plan);
    contest->draft->tiles = tiles;
    if (!dtr_search_affords(contest->search, contest->draft))
        return DTR_OK;
    const int status = dtr_contest_try(contest, strategy, &trial, error);
    *better_p = dtr_trial_better(&trial, &before);
    if (tiles == 1 && !*better_p && trial.latency_s <= before.latency_s * (1 + 1e-9))
        contender->plan->tiles = 1; /* they make no difference */
    return status;
}

/* Fewer tiles or more, while that helps. */
static int choose_tiles(struct dtr_contest *contest, uint32_t strategy, struct dtr_error *error) {
    static const uint32_t fewer[] = {2, 0},
                          more[] = {2 * DTR_CONTEST_TILES, 4 * DTR_CONTEST_TILES, 0};
    const struct dtr_plan *plan = contest->contender[strategy].plan;
    bool better;
    int status = try_tiles(contest, strategy, 1, &better, error);
    if (status || (!better && plan->tiles == 1))
        return status;
    const uint32_t *next = better ? fewer : more;
    for (better = true; !status && better && *next; next++)
        status = try_tiles(contest, strategy, *next, &better, error);
    if (!status && plan->tiles == DTR_CONTEST_TILES)
        status = try_tiles(contest, strategy, 2, &better, error);
    return status;
}

/* One group by another strategy, where that is better. */
static int try_group(struct dtr_contest *contest, uint32_t group, struct dtr_error *error) {
    for (uint32_t s = 0; s < contest->best->strategies; s++) {
        if (!contest->search->allowed[s] || contest->best->strategy[group] == s ||
            contest->contender[s].trial.score > HOPELESS * contest->trial.score)
            continue;
        struct dtr_trial trial;
        dtr_draft_copy(contest->draft, contest->best);
        contest->draft->strategy[group] = s;
        dtr_draft_open(contest->search, contest->draft);
        if (!dtr_search_affords(contest->search, contest->draft))
            return DTR_OK;
        const int status = dtr_search_try(contest->search, contest->draft, &trial, error);
        if (status)
            return status;
        if (trial.score < GROUP_GAIN * contest->trial.score)
            keep_best(contest, contest->draft, &trial);
    }
    return DTR_OK;
}

/* The ends first: they are where the hidden state comes from one device and must get back to it. */
static int try_groups(struct dtr_contest *contest, struct dtr_error *error) {
    const uint32_t last = contest->best->groups - 1;
    int status = try_group(contest, last, error);
    for (uint32_t g = 0; !status && g < last; g++)
        status = try_group(contest, g, error);
    return status;
}

int dtr_contest_finish(struct dtr_contest *contest, struct dtr_error *error) {
    const uint32_t strategies = contest->search->problem->strategies;
    double least = INFINITY;
    int status = DTR_OK;
    for (uint32_t s = 0; s < strategies; s++)
        if (contest->contender[s].trial.score < least)
            least = contest->contender[s].trial.score;
    if (isinf(least))
        return DTR_OK;
    for (uint32_t s = 0; !status && s < strategies; s++)
        if (contest->contender[s].trial.score <= HOPELESS * least &&
            dtr_contest_rank(contest, s) < FEW)
            status = choose_tiles(contest, s, error);
    for (uint32_t s = 0; s < strategies; s++)
        keep_best(contest, contest->contender[s].plan, &contest->contender[s].trial);
    return status || contest->best->groups < 2 ? status : try_groups(contest, error);
}

/* --- the reason ------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t bytes, const char *format,
                                                      ...) {
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, bytes - used, format, args);
    va_end(args);
}

static const char *name_of(const struct dtr_contest *contest, uint32_t strategy) {
    return dtr_problem_strategy(contest->search->problem, strategy)->name;
}

/* "3 x bp+sp, 1 x bp+root", or one name. */
static void add_strategies(const struct dtr_contest *contest, char *text, size_t bytes) {
    const struct dtr_plan *best = contest->best;
    uint32_t first = 0;
    while (first < best->groups) {
        uint32_t next = first;
        while (next < best->groups && best->strategy[next] == best->strategy[first])
            next++;
        if (next - first == best->groups)
            add(text, bytes, "%s", name_of(contest, best->strategy[first]));
        else
            add(text, bytes, "%s%u x %s", first ? ", " : "", next - first,
                name_of(contest, best->strategy[first]));
        first = next;
    }
}

/* The others, the best first. */
static void add_others(const struct dtr_contest *contest, char *text, size_t bytes) {
    const uint32_t strategies = contest->search->problem->strategies;
    const char *before = "; ";
    for (uint32_t rank = 0; rank < strategies; rank++)
        for (uint32_t s = 0; s < strategies; s++) {
            const double latency_s = contest->contender[s].trial.latency_s;
            if (isinf(contest->contender[s].trial.score) ||
                dtr_draft_is_uniform(contest->best, s) || dtr_contest_rank(contest, s) != rank)
                continue;
            add(text, bytes, "%s%s %.4g ms", before, name_of(contest, s), 1e3 * latency_s);
            before = ", ";
        }
}

void dtr_contest_explain(const struct dtr_contest *contest, char *text, size_t bytes) {
    const struct dtr_plan *best = contest->best;
    if (!bytes)
        return;
    text[0] = '\0';
    add_strategies(contest, text, bytes);
    if (best->tiles > 1)
        add(text, bytes, " in %u tiles", best->tiles);
    add(text, bytes, " on %u of %u devices, %.4g ms predicted", dtr_draft_working(best),
        best->devices, 1e3 * contest->trial.latency_s);
    if (contest->search->problem->objective == DTR_THROUGHPUT)
        add(text, bytes, ", at most one request each %.4g ms", 1e3 * contest->trial.score);
    add_others(contest, text, bytes);
}

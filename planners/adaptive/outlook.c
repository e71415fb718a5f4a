/* SPDX-License-Identifier: MIT */
#include "adaptive/outlook.h"

#include <math.h>
#include <string.h>

#define ALIKE 1.03 /* times the best: a strategy so good is worth being kept open */
#define NOT_FAR 1.5
#define SINGLE "single"

/* Of the work of a search: for the measured network, with the others, and for the last choice. */
#define WORK_MEASURED (DTR_SEARCH_WORK / 2)
#define WORK_ALL (DTR_SEARCH_WORK * 3 / 5)
#define WORK_CHOICE (DTR_SEARCH_WORK / 6)

/* Where the outlook looks: bandwidths as multiples of what was measured, the measured one first. */
static const double factors[] = {1.0, 8.0, 0.125, 0.02, 2.5, 0.4};
enum {
    FACTORS = sizeof factors / sizeof factors[0],
    EXTREMES = 3, /* placements are looked for at the first so many */
    SHORTER = 4   /* lengths are also tried at this part of the longest */
};

struct outlook {
    const struct dtr_host *host;
    const struct dtr_problem *given;
    const uint8_t *allowed;
    struct dtr_problem *problem; /* with links and lengths of its own */
    struct dtr_link *link;
    struct dtr_request_shape request;
    uint32_t *lengths;
    uint8_t *useful; /* [strategies] win somewhere */
    double *merit;   /* [strategies] the best score anywhere, relative to the best there */
    uint64_t spent, limit;
    struct dtr_plan *candidate[EXTREMES];
    double cost[EXTREMES];  /* mean of log latency */
    double score[EXTREMES]; /* on the network as it was measured */
    uint32_t candidates;
};

struct dtr_problem *dtr_problem_copy(const struct dtr_host *host,
                                     const struct dtr_problem *problem) {
    struct dtr_problem *copy = host->allocate(host, _Alignof(struct dtr_problem), problem->size);
    if (copy)
        memcpy(copy, problem, problem->size);
    return copy;
}

static void look_at(struct outlook *outlook, double factor, uint32_t shorter) {
    const struct dtr_problem *given = outlook->given;
    const size_t pairs = (size_t)given->devices * given->devices;
    for (size_t i = 0; given->link && i < pairs; i++) {
        outlook->link[i] = given->link[i];
        outlook->link[i].bytes_per_s *= factor;
    }
    outlook->request.tokens = 0;
    for (uint32_t i = 0; i < given->request->sequences; i++) {
        outlook->lengths[i] = (given->request->lengths[i] + shorter - 1) / shorter;
        outlook->request.tokens += outlook->lengths[i];
    }
}

static void finish(struct outlook *outlook) {
    const struct dtr_host *host = outlook->host;
    for (uint32_t i = 0; i < EXTREMES; i++)
        host->release(host, outlook->candidate[i]);
    host->release(host, outlook->problem);
    host->release(host, outlook->link);
    host->release(host, outlook->lengths);
    host->release(host, outlook->useful);
    host->release(host, outlook->merit);
}

static int begin(struct outlook *outlook, const struct dtr_host *host,
                 const struct dtr_problem *problem, const uint8_t *allowed,
                 struct dtr_error *error) {
    const size_t pairs = (size_t)problem->devices * problem->devices;
    *outlook = (struct outlook){
        .host = host,
        .given = problem,
        .allowed = allowed,
        .problem = dtr_problem_copy(host, problem),
        .link = host->allocate(host, _Alignof(struct dtr_link), pairs * sizeof *outlook->link),
        .request = *problem->request,
        .lengths = host->allocate(host, _Alignof(uint32_t),
                                  problem->request->sequences * sizeof *outlook->lengths),
        .useful = host->allocate(host, 1, problem->strategies),
        .merit =
            host->allocate(host, _Alignof(double), problem->strategies * sizeof *outlook->merit),
        .limit = WORK_ALL,
    };
    if (!outlook->problem || !outlook->link || !outlook->lengths || !outlook->useful ||
        !outlook->merit) {
        finish(outlook);
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    }
    memset(outlook->useful, 0, problem->strategies);
    for (uint32_t s = 0; s < problem->strategies; s++)
        outlook->merit[s] = INFINITY;
    outlook->request.size = sizeof outlook->request;
    outlook->request.lengths = outlook->lengths;
    outlook->problem->request = &outlook->request;
    if (problem->link)
        outlook->problem->link = outlook->link;
    return DTR_OK;
}

/* A contest on the problem as it is looked at now, within what is left of the limit. */
static int open_contest(struct outlook *outlook, const uint8_t *allowed, uint64_t limit,
                        const struct dtr_plan *like, struct dtr_search *search,
                        struct dtr_contest *contest, struct dtr_error *error) {
    int status = dtr_search_begin(search, outlook->host, outlook->problem, allowed, error);
    if (status)
        return status;
    const uint64_t left = outlook->limit > outlook->spent ? outlook->limit - outlook->spent : 0;
    search->limit = limit < left ? limit : left;
    status = dtr_contest_begin(contest, search, like, error);
    if (status)
        dtr_search_end(search);
    return status;
}

static void close_contest(struct outlook *outlook, struct dtr_search *search,
                          struct dtr_contest *contest) {
    outlook->spent += search->spent;
    dtr_contest_end(contest);
    dtr_search_end(search);
}

/* --- placements ------------------------------------------------------------------------------- */

static bool places_alike(const struct dtr_plan *a, const struct dtr_plan *b) {
    return !memcmp(a->share, b->share, a->devices * sizeof *a->share) &&
           (!a->divisions || !memcmp(a->holds, b->holds, (size_t)a->divisions * a->devices));
}

static int add_candidate(struct outlook *outlook, const struct dtr_plan *plan,
                         struct dtr_error *error) {
    for (uint32_t i = 0; i < outlook->candidates; i++)
        if (places_alike(outlook->candidate[i], plan))
            return DTR_OK;
    struct dtr_plan *copy = dtr_draft_create(outlook->host, plan);
    if (!copy)
        return outlook->host->fail(error, DTR_E_MEMORY, "out of memory");
    outlook->candidate[outlook->candidates++] = copy;
    return DTR_OK;
}

static void learn_merit(struct outlook *outlook, const struct dtr_contest *contest) {
    for (uint32_t s = 0; s < outlook->given->strategies; s++) {
        const double merit = contest->contender[s].trial.score / contest->trial.score;
        if (merit < outlook->merit[s])
            outlook->merit[s] = merit;
    }
}

/* The best placement for the problem as it is looked at, within so much work. */
static int find_candidate(struct outlook *outlook, uint64_t limit, const struct dtr_plan *plan,
                          struct dtr_error *error) {
    struct dtr_search search;
    struct dtr_contest contest;
    int status = open_contest(outlook, outlook->allowed, limit, plan, &search, &contest, error);
    if (status)
        return status;
    status = dtr_arrange(&contest, plan, error);
    if (!status && contest.trial.fits) {
        learn_merit(outlook, &contest);
        status = add_candidate(outlook, contest.best, error);
    } else if (!status && !outlook->candidates) {
        status = dtr_search_nothing(&search, error);
    }
    close_contest(outlook, &search, &contest);
    return status;
}

/* For the measured bandwidth; and for others, as long as that leaves work for what follows. */
static int find_candidates(struct outlook *outlook, const struct dtr_plan *plan,
                           struct dtr_error *error) {
    look_at(outlook, factors[0], 1);
    int status = find_candidate(outlook, WORK_MEASURED, plan, error);
    const uint64_t first = outlook->spent;
    for (uint32_t f = 1; !status && f < EXTREMES && outlook->given->link; f++) {
        if (outlook->spent + 2 * first > outlook->limit)
            break;
        look_at(outlook, factors[f], 1);
        status = find_candidate(outlook, first, plan, error);
    }
    return status;
}

/* --- which strategies are of use -------------------------------------------------------------- */

/* In one placement at one point: marks what comes near the best, and returns the best's score. */
static int visit(struct outlook *outlook, const struct dtr_plan *placement, bool mark,
                 double *score_p, struct dtr_error *error) {
    struct dtr_search search;
    struct dtr_contest contest;
    int status =
        open_contest(outlook, outlook->allowed, UINT64_MAX, placement, &search, &contest, error);
    if (status)
        return status;
    status = dtr_contest_strategies(&contest, placement, outlook->merit, error);
    if (!status)
        status = dtr_contest_finish(&contest, error);
    for (uint32_t s = 0; !status && mark && s < placement->strategies; s++)
        if (contest.contender[s].trial.fits &&
            contest.contender[s].trial.score <= ALIKE * contest.trial.score)
            outlook->useful[s] = 1;
    for (uint32_t g = 0; !status && mark && contest.trial.fits && g < placement->groups; g++)
        outlook->useful[contest.best->strategy[g]] = 1;
    *score_p = contest.trial.score;
    close_contest(outlook, &search, &contest);
    return status;
}

/* The placement whose best strategies are best over the bandwidths; the measured one counts
 * double, and one that is clearly worse there than another is out. */
static int compare_candidates(struct outlook *outlook, uint32_t *best_p, struct dtr_error *error) {
    *best_p = 0;
    for (uint32_t i = 0; i < outlook->candidates; i++) {
        outlook->cost[i] = 0.0;
        for (uint32_t f = 0; f < EXTREMES; f++) {
            double score;
            look_at(outlook, factors[f], 1);
            const int status = visit(outlook, outlook->candidate[i], false, &score, error);
            if (status)
                return status;
            outlook->cost[i] += (f ? 1.0 : 2.0) * log(score);
            if (f == 0)
                outlook->score[i] = score;
        }
        if (outlook->score[i] < outlook->score[*best_p])
            *best_p = i;
    }
    const double most = ALIKE * outlook->score[*best_p];
    for (uint32_t i = 0; i < outlook->candidates; i++)
        if (outlook->score[i] <= most && outlook->cost[i] < outlook->cost[*best_p])
            *best_p = i;
    return DTR_OK;
}

static int find_useful(struct outlook *outlook, const struct dtr_plan *placement,
                       struct dtr_error *error) {
    int status = DTR_OK;
    for (uint32_t shorter = 1; !status && shorter <= SHORTER; shorter += SHORTER - 1)
        for (uint32_t f = 0; !status && f < FACTORS; f++) {
            double score;
            look_at(outlook, factors[f], shorter);
            status = visit(outlook, placement, true, &score, error);
        }
    /* Where the work did not suffice to see, what is not far behind may win. */
    for (uint32_t s = 0; s < placement->strategies && outlook->spent >= outlook->limit; s++)
        outlook->useful[s] |= outlook->merit[s] <= NOT_FAR;
    return status;
}

/* --- what is kept open ------------------------------------------------------------------------ */

/* Device 0 alone: where nothing else is of use. */
static void mark_single(struct outlook *outlook) {
    for (uint32_t s = 0; s < outlook->given->strategies; s++)
        if (outlook->allowed[s] && !strcmp(dtr_problem_strategy(outlook->given, s)->name, SINGLE))
            outlook->useful[s] = 1;
}

static bool is_used(const struct dtr_plan *plan, uint32_t strategy) {
    for (uint32_t g = 0; g < plan->groups; g++)
        if (plan->strategy[g] == strategy)
            return true;
    return false;
}

/* Keeps open what is of use, one after another as long as the weights fit; `search` is that of a
 * contest whose best plan is `plan`. */
static int open_useful(struct outlook *outlook, struct dtr_search *search, struct dtr_plan *plan,
                       struct dtr_error *error) {
    if (search->problem->objective == DTR_MEMORY)
        return DTR_OK;
    for (uint32_t s = 0; s < plan->strategies; s++) {
        struct dtr_trial trial;
        if (!outlook->useful[s] || is_used(plan, s))
            continue;
        plan->open[s] = 1;
        const int status = dtr_search_try(search, plan, &trial, error);
        if (status)
            return status;
        plan->open[s] = trial.fits;
    }
    return DTR_OK;
}

/* The best strategies in the chosen placement on the measured network. */
static int settle(struct outlook *outlook, const struct dtr_plan *placement, struct dtr_plan *plan,
                  struct dtr_error *error) {
    struct dtr_search search;
    struct dtr_contest contest;
    look_at(outlook, 1.0, 1);
    outlook->spent = 0;
    int status =
        open_contest(outlook, outlook->allowed, UINT64_MAX, placement, &search, &contest, error);
    if (status)
        return status;
    status = dtr_contest_strategies(&contest, placement, outlook->merit, error);
    if (!status)
        status = dtr_contest_finish(&contest, error);
    if (!status && !contest.trial.fits)
        status = dtr_search_nothing(&search, error);
    if (!status)
        status = open_useful(outlook, &search, contest.best, error);
    if (!status) {
        dtr_draft_copy(plan, contest.best);
        dtr_contest_explain(&contest, plan->reason, plan->reason_bytes);
    }
    close_contest(outlook, &search, &contest);
    return status;
}

int dtr_outlook(const struct dtr_host *host, const struct dtr_problem *problem,
                const uint8_t *allowed, struct dtr_plan *plan, struct dtr_error *error) {
    struct outlook outlook;
    uint32_t best = 0;
    int status = begin(&outlook, host, problem, allowed, error);
    if (status)
        return status;
    status = find_candidates(&outlook, plan, error);
    if (!status && outlook.candidates > 1)
        status = compare_candidates(&outlook, &best, error);
    if (!status)
        status = find_useful(&outlook, outlook.candidate[best], error);
    if (!status) {
        mark_single(&outlook);
        status = settle(&outlook, outlook.candidate[best], plan, error);
    }
    finish(&outlook);
    return status;
}

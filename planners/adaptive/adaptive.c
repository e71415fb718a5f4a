/* SPDX-License-Identifier: MIT
 *
 * adaptive -- the planner that places the weights for a network that will change, and decides
 * before every request how the groups run, for its lengths and the links as the last requests
 * showed them.
 */
#include <detransformer/planner.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adaptive/network.h"
#include "adaptive/outlook.h"

#define DECISIONS 16u        /* kinds of request for which a decision is remembered */
#define KINDS_PER_DOUBLE 6.0 /* lengths that differ by less than an eighth are of one kind */
#define GAIN 0.95            /* a change of strategy must be predicted to take less than this */
#define PROBE_SOONEST 20u    /* requests that carried nothing before the network is probed */
#define PROBE_COST 100.0     /* what a probe takes is at most one part in so many */
#define PROBE_LATEST 1e6
#define REASON_BYTES 400u

struct params {
    struct dtr_list strategies;
};

/* What was decided for requests of one kind. */
struct decision {
    uint32_t sequences, tokens, longest; /* the kind; sequences 0: unused */
    uint64_t generation;                 /* of the network when it was made */
    uint64_t used;                       /* when, to find the one that was not for longest */
    struct dtr_plan *plan;
    double latency_s; /* as predicted */
    bool may_probe;   /* there is a strategy to probe with */
    uint32_t probe;   /* the strategy of the last group */
    double probe_after;
    char reason[REASON_BYTES];
};

struct adaptive {
    const struct dtr_host *host;
    const struct params *params;
    struct dtr_network *network; /* NULL: one device, or links that nobody measured */
    uint64_t generation, requests;
    uint32_t unseen; /* requests on end that carried nothing */
    double probe_after;
    double usual_s; /* the latency of the last request that was no probe */
    bool probing;
    struct decision decision[DECISIONS];
};

static const struct dtr_param params[] = {
    {.key = "strategies",
     .fallback = "",
     .help = "The strategies that may be chosen; none named: all that the model allows.",
     .type = DTR_LIST,
     .offset = offsetof(struct params, strategies)},
    {.key = NULL},
};

static int adaptive_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                         struct dtr_error *error) {
    struct adaptive *self = host->allocate(host, _Alignof(struct adaptive), sizeof *self);
    if (!self)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *self = (struct adaptive){.host = host, .params = how->params};
    *self_p = self;
    return DTR_OK;
}

/* Forgets the placement and what was decided in it. */
static void forget(struct adaptive *self) {
    const struct dtr_host *host = self->host;
    for (uint32_t i = 0; i < DECISIONS; i++)
        host->release(host, self->decision[i].plan);
    dtr_network_free(self->network);
    *self = (struct adaptive){.host = host, .params = self->params};
}

static void adaptive_close(void *self) {
    struct adaptive *adaptive = self;
    forget(adaptive);
    adaptive->host->release(adaptive->host, adaptive);
}

/* --- before the first request ----------------------------------------------------------------- */

static int watch_network(struct adaptive *self, const struct dtr_problem *problem,
                         struct dtr_network **network_p, struct dtr_error *error) {
    *network_p = NULL;
    if (problem->devices < 2 || !problem->link)
        return DTR_OK;
    const double bytes = 4.0 * problem->request->tokens * problem->model->hidden / problem->devices;
    *network_p = dtr_network_create(self->host, problem->devices, problem->link, bytes);
    return *network_p ? DTR_OK : self->host->fail(error, DTR_E_MEMORY, "out of memory");
}

static int adaptive_plan(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                         struct dtr_error *error) {
    struct adaptive *adaptive = self;
    const struct dtr_host *host = adaptive->host;
    struct dtr_network *network;
    if (!problem->predict)
        return host->fail(error, DTR_E_CONFIG, "planning needs a profile of devices and links");
    uint8_t *allowed = host->allocate(host, 1, problem->strategies);
    if (!allowed)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    int status = dtr_allow(host, problem, &adaptive->params->strategies, allowed, error);
    if (!status)
        status = watch_network(adaptive, problem, &network, error);
    if (status)
        goto out_allowed;
    status = dtr_outlook(host, problem, allowed, plan, error);
    if (status) {
        dtr_network_free(network);
        goto out_allowed;
    }
    forget(adaptive);
    adaptive->network = network;
out_allowed:
    host->release(host, allowed);
    return status;
}

/* --- after a request -------------------------------------------------------------------------- */

/* How many requests must follow for a probe that took so much longer to be one part in a hundred.
 */
static double requests_worth(double extra_s, double usual_s) {
    const double worth = usual_s > 0 ? PROBE_COST * extra_s / usual_s : PROBE_LATEST;
    return worth < PROBE_SOONEST ? PROBE_SOONEST : worth < PROBE_LATEST ? worth : PROBE_LATEST;
}

static int adaptive_observe(void *self, const struct dtr_observation *observation) {
    struct adaptive *adaptive = self;
    if (!adaptive->network || observation->devices != adaptive->network->devices)
        return DTR_OK;
    const bool seen =
        observation->link && dtr_network_observe(adaptive->network, observation->link);
    adaptive->unseen = seen ? 0 : adaptive->unseen + 1;
    if (!adaptive->probing) {
        adaptive->usual_s = observation->latency_s;
        return DTR_OK;
    }
    adaptive->probing = false;
    adaptive->unseen = 0;
    adaptive->probe_after =
        requests_worth(observation->latency_s - adaptive->usual_s, adaptive->usual_s);
    return DTR_OK;
}

/* --- before a request ------------------------------------------------------------------------- */

static uint32_t kind_of(uint32_t tokens) {
    return (uint32_t)lround(KINDS_PER_DOUBLE * log2(tokens + 1.0));
}

static bool same_kind(const struct decision *a, const struct decision *b) {
    return a->sequences == b->sequences && a->tokens == b->tokens && a->longest == b->longest;
}

static struct decision kind_of_request(const struct dtr_request_shape *request) {
    uint32_t longest = 0;
    for (uint32_t i = 0; i < request->sequences; i++)
        if (request->lengths[i] > longest)
            longest = request->lengths[i];
    return (struct decision){.sequences = request->sequences,
                             .tokens = kind_of(request->tokens),
                             .longest = kind_of(longest)};
}

/* The decision for requests like this, or the place for it. */
static struct decision *find_decision(struct adaptive *self,
                                      const struct dtr_request_shape *request) {
    const struct decision kind = kind_of_request(request);
    struct decision *oldest = &self->decision[0];
    for (uint32_t i = 0; i < DECISIONS; i++) {
        struct decision *decision = &self->decision[i];
        if (decision->plan && same_kind(decision, &kind))
            return decision;
        if (decision->used < oldest->used)
            oldest = decision;
    }
    struct dtr_plan *plan = oldest->plan;
    *oldest = kind;
    oldest->plan = plan;
    oldest->sequences = 0; /* until it is made */
    return oldest;
}

/* A contest in the placement of the plan, between the strategies that it keeps open. */
struct review {
    struct dtr_problem *problem;
    struct dtr_search search;
    struct dtr_contest contest;
};

static int review_begin(struct review *review, const struct adaptive *self,
                        const struct dtr_problem *problem, const struct dtr_plan *plan,
                        struct dtr_error *error) {
    review->problem = dtr_problem_copy(self->host, problem);
    if (!review->problem)
        return self->host->fail(error, DTR_E_MEMORY, "out of memory");
    if (self->network)
        review->problem->link = self->network->now;
    int status = dtr_search_begin(&review->search, self->host, review->problem, plan->open, error);
    if (!status) {
        review->search.keep_open = true;
        review->search.weigh = false; /* the weights are there */
        review->search.limit = DTR_SEARCH_WORK / 4;
        status = dtr_contest_begin(&review->contest, &review->search, plan, error);
        if (!status)
            return DTR_OK;
        dtr_search_end(&review->search);
    }
    self->host->release(self->host, review->problem);
    return status;
}

static void review_end(struct review *review) {
    const struct dtr_host *host = review->search.host;
    dtr_contest_end(&review->contest);
    dtr_search_end(&review->search);
    host->release(host, review->problem);
}

/* What the links carry as they are seen now, on average over all of them. */
static double mean_mbit(const struct dtr_network *network) {
    double sum = 0.0;
    uint32_t links = 0;
    for (uint32_t from = 0; from < network->devices; from++)
        for (uint32_t to = 0; to < network->devices; to++)
            if (from != to) {
                sum += network->now[(size_t)from * network->devices + to].bytes_per_s;
                links++;
            }
    return 8e-6 * sum / links;
}

/* What was decided before stays unless another plan is clearly better. */
static int keep_or_change(struct review *review, const struct dtr_network *network,
                          struct decision *decision, bool decided, struct dtr_error *error) {
    struct dtr_contest *contest = &review->contest;
    struct dtr_trial before = dtr_trial_none;
    const int status =
        decided ? dtr_search_try(&review->search, decision->plan, &before, error) : DTR_OK;
    if (status)
        return status;
    if (decided && contest->trial.score >= GAIN * before.score) {
        dtr_draft_copy(contest->best, decision->plan);
        contest->trial = before;
    }
    dtr_draft_copy(decision->plan, contest->best);
    decision->latency_s = contest->trial.latency_s;
    dtr_contest_explain(contest, decision->reason, sizeof decision->reason);
    const size_t used = strlen(decision->reason);
    if (network)
        snprintf(decision->reason + used, sizeof decision->reason - used,
                 "; links seen at %.3g Mbit/s", mean_mbit(network));
    return DTR_OK;
}

static int decide(struct adaptive *self, const struct dtr_problem *problem,
                  const struct dtr_plan *plan, struct decision *decision, struct dtr_error *error) {
    struct review review;
    const bool decided = decision->sequences != 0;
    if (!decision->plan && !(decision->plan = dtr_draft_create(self->host, plan)))
        return self->host->fail(error, DTR_E_MEMORY, "out of memory");
    int status = review_begin(&review, self, problem, plan, error);
    if (status)
        return status;
    status = dtr_contest_keep(&review.contest, plan, error);
    if (!status)
        status = dtr_contest_strategies(&review.contest, plan, NULL, error);
    if (!status)
        status = dtr_contest_finish(&review.contest, error);
    if (!status && !review.contest.trial.fits)
        status = dtr_search_nothing(&review.search, error);
    if (!status)
        status = keep_or_change(&review, self->network, decision, decided, error);
    if (!status) {
        decision->sequences = problem->request->sequences;
        decision->generation = self->generation;
        decision->probe_after = 0.0;
    }
    review_end(&review);
    return status;
}

/* --- probes ----------------------------------------------------------------------------------- */

/* The cheapest plan that runs the last group otherwise, so that something is sent. */
static int find_probe(struct adaptive *self, const struct dtr_problem *problem,
                      const struct dtr_plan *plan, struct decision *decision,
                      struct dtr_error *error) {
    struct review review;
    int status = review_begin(&review, self, problem, plan, error);
    if (status)
        return status;
    double least_s = INFINITY;
    const uint32_t last = plan->groups - 1;
    for (uint32_t s = 0; !status && s < plan->strategies; s++) {
        struct dtr_trial trial;
        if (!plan->open[s] || decision->plan->strategy[last] == s)
            continue;
        dtr_draft_copy(review.contest.draft, decision->plan);
        review.contest.draft->strategy[last] = s;
        status = dtr_search_try(&review.search, review.contest.draft, &trial, error);
        if (!status && trial.fits && trial.latency_s < least_s) {
            least_s = trial.latency_s;
            decision->probe = s;
        }
    }
    review_end(&review);
    if (status)
        return status;
    decision->may_probe = !isinf(least_s);
    decision->probe_after = requests_worth(least_s - decision->latency_s, decision->latency_s);
    return DTR_OK;
}

/* Where requests have carried nothing for long, one of them is made to. */
static int probe(struct adaptive *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                 struct decision *decision, struct dtr_error *error) {
    if (!self->network || self->unseen < PROBE_SOONEST || self->unseen < self->probe_after)
        return DTR_OK;
    const int status =
        decision->probe_after > 0 ? DTR_OK : find_probe(self, problem, plan, decision, error);
    if (status || !decision->may_probe || self->unseen < decision->probe_after)
        return status;
    plan->strategy[plan->groups - 1] = decision->probe;
    self->probing = true;
    if (plan->reason_bytes)
        snprintf(plan->reason, plan->reason_bytes,
                 "a probe of the network: %u requests carried nothing", self->unseen);
    return DTR_OK;
}

static int adaptive_replan(void *self, const struct dtr_problem *problem, struct dtr_plan *plan,
                           struct dtr_error *error) {
    struct adaptive *adaptive = self;
    if (!problem->predict || !problem->request->sequences)
        return DTR_OK;
    if (adaptive->network && problem->devices != adaptive->network->devices)
        return adaptive->host->fail(error, DTR_E_CONFIG, "the plan was made for %u devices, not %u",
                                    adaptive->network->devices, problem->devices);
    if (adaptive->network && dtr_network_moved(adaptive->network))
        adaptive->generation++;
    struct decision *decision = find_decision(adaptive, problem->request);
    decision->used = ++adaptive->requests;
    if (!decision->sequences || decision->generation != adaptive->generation) {
        const int status = decide(adaptive, problem, plan, decision, error);
        if (status)
            return status;
    }
    memcpy(plan->strategy, decision->plan->strategy, plan->groups * sizeof *plan->strategy);
    plan->tiles = decision->plan->tiles;
    if (plan->reason_bytes)
        snprintf(plan->reason, plan->reason_bytes, "%s", decision->reason);
    return probe(adaptive, problem, plan, decision, error);
}

static const struct dtr_planner_ops ops = {
    .size = sizeof ops,
    .plan = adaptive_plan,
    .observe = adaptive_observe,
    .replan = adaptive_replan,
};

static int adaptive_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 3;
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_PLANNER,
    .name = "adaptive",
    .version = "1.0",
    .summary = "places the weights for a changing network, and plans every request anew",
    .caps = DTR_CAP_ADAPTIVE | DTR_CAP_PREDICTS,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct params),
    .probe = adaptive_probe,
    .open = adaptive_open,
    .close = adaptive_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

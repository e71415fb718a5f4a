/* SPDX-License-Identifier: MIT */
#include "run/planning.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/params.h"
#include "plan/account.h"
#include "plan/collective.h"
#include "plan/predict.h"
#include "plan/strategy.h"
#include "run/weighing.h"

struct dtr_planning {
    struct dtr_problem problem; /* first: predict() is given its address */
    const struct dtr_experiment *experiment;
    const struct dtr_model *model;
    const struct dtr_log *log;
    uint32_t *member; /* [count] the numbers of the devices that are planned for */
    uint32_t count;
    struct dtr_profile *profile;  /* of these */
    bool chosen;                  /* not by the planner, which is not asked again */
    struct dtr_lowering lowering; /* of the request in the problem */
    struct dtr_ways ways;
    struct dtr_device_info *devices;
    struct dtr_strategy_info *strategies;
    uint8_t *divisions; /* [devices][D] */
    struct dtr_request_shape request;
    uint32_t *lengths;         /* of the largest request */
    struct dtr_link *observed; /* [from][to] */
    struct dtr_open_chain *planner;
    struct dtr_weighing *weighing;
    struct dtr_weigher weigher;
};

/* Where a key of one device was set, be it for all. */
static const char *device_origin(const struct dtr_experiment *experiment, uint32_t device,
                                 const char *key) {
    char section[32];
    snprintf(section, sizeof section, "device.%u", device);
    const char *origin = dtr_experiment_origin(experiment, section, key);
    return strcmp(origin, "default") ? origin : dtr_experiment_origin(experiment, "device", key);
}

/* `divisions = 0 1` of one device. */
static int place_by_hand(const struct dtr_experiment *experiment, uint32_t device,
                         uint32_t divisions, uint8_t *holds, struct dtr_error *error) {
    const struct dtr_list *list = &experiment->device[device].divisions;
    for (size_t i = 0; i < list->count; i++) {
        char *end;
        const unsigned long division = strtoul(list->words[i], &end, 10);
        if (*end || end == list->words[i] || division >= divisions)
            return dtr_fail(error, DTR_E_CONFIG,
                            "%s: [device] divisions: device %u cannot hold division %s of a "
                            "model with %u divisions",
                            device_origin(experiment, device, "divisions"), device, list->words[i],
                            divisions);
        holds[division] = 1;
    }
    return DTR_OK;
}

static bool is_whole(const struct dtr_planning *planning) {
    return planning->count == planning->experiment->devices;
}

static int describe_devices(struct dtr_planning *planning, struct dtr_error *error) {
    const struct dtr_experiment *experiment = planning->experiment;
    const uint32_t divisions = planning->model->shape.divisions;
    for (uint32_t i = 0; i < planning->count; i++) {
        const uint32_t number = planning->member[i];
        const struct dtr_device_settings *settings = &experiment->device[number];
        uint8_t *holds = planning->divisions + (size_t)i * divisions;
        planning->devices[i] = (struct dtr_device_info){
            .size = sizeof(struct dtr_device_info),
            .share = settings->share,
            .memory = settings->memory,
            .divisions = settings->has_divisions && divisions ? holds : NULL,
            .gflops = planning->profile ? dtr_profile_gflops(planning->profile, i) : 0,
        };
        const int status = settings->has_divisions
                               ? place_by_hand(experiment, number, divisions, holds, error)
                               : DTR_OK;
        if (status)
            return status;
    }
    return DTR_OK;
}

/* --- the simulator, as planners see it -------------------------------------------------------- */

/* A planner may hand in a copy of the problem, with other links or another request. */
static int predict(const struct dtr_problem *problem, const struct dtr_plan *plan,
                   struct dtr_prediction *prediction, struct dtr_error *error) {
    const struct dtr_planning *planning = problem->service;
    struct dtr_lowering lowering = planning->lowering;
    lowering.sequences = problem->request->sequences;
    lowering.lengths = problem->request->lengths;
    if (problem->request != &planning->request) {
        lowering.select = NULL;
        lowering.selected = 0;
        lowering.pooled = planning->model->has_pooler;
    }
    const int status = dtr_plan_check(plan, error);
    return status
               ? status
               : dtr_predict(&lowering, plan, planning->profile, problem->link, prediction, error);
}

static void set_request(struct dtr_planning *planning, uint32_t sequences,
                        const uint32_t *lengths) {
    planning->request = (struct dtr_request_shape){
        .size = sizeof planning->request,
        .sequences = sequences,
        .lengths = lengths,
    };
    for (uint32_t i = 0; i < sequences; i++)
        planning->request.tokens += lengths[i];
}

static uint64_t weigh(void *arg, uint32_t device, const struct dtr_weight_key *key) {
    const struct dtr_planning *planning = arg;
    return dtr_weighing_bytes(planning->weighing, planning->member[device], key);
}

/* --- profiles --------------------------------------------------------------------------------- */

bool dtr_planning_needs_profile(const struct dtr_experiment *experiment) {
    struct dtr_chain chain;
    struct dtr_error ignored = {0};
    return !experiment->profile &&
           !dtr_experiment_chain(experiment, DTR_PLANNER, 0, &chain, &ignored) &&
           chain.plugin[0]->caps & DTR_CAP_PREDICTS;
}

void dtr_planning_cpu(char *name, size_t bytes) {
    char line[300];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, bytes, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, bytes, "%s", value + 2);
        break;
    }
    if (file)
        fclose(file);
}

static int stale(const struct dtr_experiment *experiment, struct dtr_error *error, const char *what,
                 const char *measured, const char *found) {
    return dtr_fail(error, DTR_E_CONFIG,
                    "%s: [planner] profile is stale: it was measured with %s %s, here is %s; "
                    "measure again with detransformer profile",
                    dtr_experiment_origin(experiment, "planner", "profile"), what, measured, found);
}

static int check_profile(const struct dtr_experiment *experiment, const struct dtr_model *model,
                         const struct dtr_profile *profile, struct dtr_error *error) {
    char digest[65], cpu[200], measured[16], wanted[16];
    sodium_bin2hex(digest, sizeof digest, model->digest, sizeof model->digest);
    dtr_planning_cpu(cpu, sizeof cpu);
    snprintf(measured, sizeof measured, "%u", profile->devices);
    snprintf(wanted, sizeof wanted, "%u", experiment->devices);
    if (profile->devices != experiment->devices)
        return stale(experiment, error, "a number of devices of", measured, wanted);
    if (profile->model[0] && strcmp(profile->model, digest) != 0)
        return stale(experiment, error, "the model", profile->model, digest);
    if (profile->cpu[0] && strcmp(profile->cpu, cpu) != 0)
        return stale(experiment, error, "the CPU", profile->cpu, cpu);
    for (uint32_t i = 0; i < profile->devices; i++) {
        struct dtr_chain chain;
        const int status = dtr_experiment_chain(experiment, DTR_KERNEL, i, &chain, error);
        if (status)
            return status;
        if (profile->kernel[i] && strcmp(profile->kernel[i], chain.plugin[0]->name) != 0)
            return stale(experiment, error, "the kernel plugin", profile->kernel[i],
                         chain.plugin[0]->name);
    }
    return DTR_OK;
}

int dtr_planning_read_profile(const struct dtr_experiment *experiment,
                              const struct dtr_model *model, struct dtr_profile **profile_p,
                              struct dtr_error *error) {
    *profile_p = NULL;
    if (!experiment->profile)
        return DTR_OK;
    int status = dtr_profile_load(experiment->profile, profile_p, error);
    if (!status)
        status = check_profile(experiment, model, *profile_p, error);
    if (status) {
        dtr_profile_free(*profile_p);
        *profile_p = NULL;
    }
    return status;
}

/* --- the problem ------------------------------------------------------------------------------ */

static void describe_problem(struct dtr_planning *planning,
                             const struct dtr_session_options *options) {
    const struct dtr_model *model = planning->model;
    const struct dtr_profile *profile = planning->profile;
    planning->lowering = dtr_experiment_lowering(planning->experiment, model, options);
    planning->lowering.ways = &planning->ways;
    planning->lowering.weigher = &planning->weigher;
    planning->problem = (struct dtr_problem){
        .size = sizeof planning->problem,
        .model = &model->shape,
        .devices = planning->count,
        .device = planning->devices,
        .device_stride = sizeof *planning->devices,
        .link = profile ? profile->link : NULL,
        .request = &planning->request,
        .strategies = dtr_strategy_count(),
        .strategy = planning->strategies,
        .strategy_stride = sizeof *planning->strategies,
        .predict = profile ? predict : NULL,
        .objective = planning->experiment->objective,
        .service = planning,
    };
}

static int open_planner(struct dtr_planning *planning, const struct dtr_log *log,
                        struct dtr_error *error) {
    struct dtr_chain chain;
    const struct dtr_experiment *experiment = planning->experiment;
    const int status = dtr_experiment_chain(experiment, DTR_PLANNER, 0, &chain, error);
    return status ? status
                  : dtr_chain_open(&chain, log, 1, 0, planning->count, &planning->planner, error);
}

static bool allocate(struct dtr_planning *planning, const struct dtr_session_options *options) {
    const uint32_t devices = planning->count;
    planning->devices = calloc(devices, sizeof *planning->devices);
    planning->strategies = calloc(dtr_strategy_count(), sizeof *planning->strategies);
    planning->divisions = calloc((size_t)devices * planning->model->shape.divisions + 1, 1);
    planning->lengths = malloc(options->sequences_max * sizeof *planning->lengths);
    planning->observed = calloc((size_t)devices * devices, sizeof *planning->observed);
    return planning->devices && planning->strategies && planning->divisions && planning->lengths &&
           planning->observed;
}

static int take_members(struct dtr_planning *planning, const struct dtr_members *members,
                        const struct dtr_profile *profile, struct dtr_error *error) {
    planning->count = members ? members->count : planning->experiment->devices;
    planning->member = malloc(planning->count * sizeof *planning->member);
    if (!planning->member)
        return dtr_fail_memory(error);
    for (uint32_t i = 0; i < planning->count; i++)
        planning->member[i] = members ? members->number[i] : i;
    return profile ? dtr_profile_select(profile, planning->member, planning->count,
                                        &planning->profile, error)
                   : DTR_OK;
}

/* --- collectives ------------------------------------------------------------------------------ */

/* The keys of [transport] that say how they go. */
static const char *const way_keys[] = {
    [DTR_ALL_GATHER] = "all_gather", [DTR_ALL_TO_ALL] = "all_to_all",
    [DTR_GATHER] = "gather",         [DTR_SCATTER] = "scatter",
    [DTR_BROADCAST] = "broadcast",   [DTR_REDUCE_SCATTER] = "reduce_scatter",
    [DTR_ALL_REDUCE] = "all_reduce",
};
enum { WAYS = sizeof way_keys / sizeof way_keys[0] };

static enum dtr_algorithm wanted_way(const struct dtr_experiment *experiment, uint32_t kind) {
    return (enum dtr_algorithm)(experiment->way[kind] - 1);
}

/* Whether large messages of several devices to one get in each other's way. */
static bool collides(const struct dtr_experiment *experiment) {
    struct dtr_chain chain;
    struct dtr_error ignored = {0};
    return !dtr_experiment_chain(experiment, DTR_TRANSPORT, 0, &chain, &ignored) &&
           chain.plugin[0]->caps & DTR_CAP_COLLIDES;
}

/* Links as of a switch of 1000 Mbit/s, for want of measured ones.  The caller frees. */
static struct dtr_link *usual_links(uint32_t devices) {
    const size_t links = (size_t)devices * devices;
    struct dtr_link *link = malloc(links * sizeof *link);
    for (size_t i = 0; i < links && link; i++)
        link[i] = (struct dtr_link){.latency_s = 100e-6, .bytes_per_s = 125e6};
    return link;
}

/* What suits the links, if they were measured or messages collide. */
static int suit_links(const struct dtr_experiment *experiment, const struct dtr_profile *profile,
                      uint32_t devices, struct dtr_ways *ways, struct dtr_error *error) {
    const bool collide = collides(experiment);
    if (!profile && !collide)
        return DTR_OK;
    struct dtr_link *usual = profile ? NULL : usual_links(devices);
    const struct dtr_cost cost = dtr_profile_cost(profile, profile ? profile->link : usual);
    const int status = cost.link ? dtr_collective_choose(ways, devices, &cost, collide, error)
                                 : dtr_fail_memory(error);
    free(usual);
    return status;
}

int dtr_planning_choose_ways(const struct dtr_experiment *experiment,
                             const struct dtr_profile *profile, uint32_t devices,
                             struct dtr_ways *ways, struct dtr_error *error) {
    for (uint32_t kind = 0; kind < WAYS; kind++)
        if (experiment->way[kind] && devices == experiment->devices)
            dtr_ways_insist(ways, kind, wanted_way(experiment, kind));
    return suit_links(experiment, profile, devices, ways, error);
}

static int try_lowering(const struct dtr_lowering *lowering, struct dtr_error *error) {
    const uint32_t devices = lowering->plan->devices;
    struct dtr_schedule **schedules = calloc(devices, sizeof *schedules);
    const int status =
        schedules ? dtr_lower_all(lowering, schedules, error) : dtr_fail_memory(error);
    dtr_schedules_free(schedules, devices);
    return status;
}

/* Whether the collectives of one kind can go as the experiment says, in every open strategy. */
static int check_way(const struct dtr_planning *planning, struct dtr_plan *plan, uint32_t kind,
                     struct dtr_error *error) {
    struct dtr_ways only = {0};
    struct dtr_lowering lowering = planning->lowering;
    lowering.sequences = planning->request.sequences;
    lowering.lengths = planning->request.lengths;
    lowering.plan = plan;
    lowering.ways = &only;
    dtr_ways_insist(&only, kind, wanted_way(planning->experiment, kind));
    int status = DTR_OK;
    for (uint32_t i = 0; i < plan->strategies && !status; i++) {
        if (!plan->open[i])
            continue;
        dtr_plan_make_uniform(plan, i);
        status = try_lowering(&lowering, error);
    }
    if (status == DTR_E_CONFIG)
        dtr_error_prefix(error, "%s: [transport] %s",
                         dtr_experiment_origin(planning->experiment, "transport", way_keys[kind]),
                         way_keys[kind]);
    return status;
}

static int check_ways(const struct dtr_planning *planning, const struct dtr_plan *plan,
                      struct dtr_error *error) {
    struct dtr_plan *copy = dtr_plan_copy(plan, error);
    int status = copy ? DTR_OK : DTR_E_MEMORY;
    for (uint32_t kind = 0; kind < WAYS && !status; kind++)
        if (dtr_ways_insist_on(&planning->ways, kind))
            status = check_way(planning, copy, kind, error);
    dtr_plan_free(copy);
    return status;
}

/* --- creation --------------------------------------------------------------------------------- */

int dtr_planning_create(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                        const struct dtr_session_options *options, const struct dtr_model *model,
                        const struct dtr_profile *profile, const struct dtr_members *members,
                        const struct dtr_log *log, struct dtr_planning **planning_p,
                        struct dtr_error *error) {
    struct dtr_planning *planning = calloc(1, sizeof *planning);
    if (!planning)
        return dtr_fail_memory(error);
    planning->experiment = experiment;
    planning->model = model;
    planning->log = log;
    planning->weigher = (struct dtr_weigher){planning, weigh};
    int status = take_members(planning, members, profile, error);
    if (!status && !allocate(planning, options))
        status = dtr_fail_memory(error);
    if (!status)
        status = dtr_weighing_create(experiment, plugins, model,
                                     options->sequences_max * options->length_max,
                                     &planning->weighing, error);
    if (!status) {
        dtr_strategy_infos(&model->shape, planning->strategies);
        for (uint32_t i = 0; i < options->sequences_max; i++)
            planning->lengths[i] = options->length_max;
        set_request(planning, options->sequences_max, planning->lengths);
        describe_problem(planning, options);
        status = describe_devices(planning, error);
    }
    if (!status)
        status = dtr_planning_choose_ways(experiment, planning->profile, planning->count,
                                          &planning->ways, error);
    if (!status)
        status = open_planner(planning, log, error);
    if (status)
        dtr_planning_free(planning);
    else
        *planning_p = planning;
    return status;
}

void dtr_planning_free(struct dtr_planning *planning) {
    if (!planning)
        return;
    dtr_chain_close(planning->planner);
    dtr_weighing_free(planning->weighing);
    dtr_profile_free(planning->profile);
    free(planning->member);
    free(planning->devices);
    free(planning->strategies);
    free(planning->divisions);
    free(planning->lengths);
    free(planning->observed);
    free(planning);
}

/* --- plans ------------------------------------------------------------------------------------ */

/* Says where the experiment gives the planner its orders: the first of its keys that is there. */
static void blame_section(const struct dtr_experiment *experiment, const struct dtr_plugin *planner,
                          struct dtr_error *error) {
    const struct dtr_table table = dtr_plugin_table(planner);
    char section[80];
    snprintf(section, sizeof section, "planner.%s", planner->name);
    for (size_t i = 0; i < dtr_table_count(table); i++) {
        const char *origin =
            dtr_experiment_origin(experiment, section, dtr_table_row(table, i)->key);
        if (strcmp(origin, "default") == 0)
            continue;
        dtr_error_prefix(error, "%s: [%s]", origin, section);
        return;
    }
    dtr_error_prefix(error, "%s: planner '%s'", experiment->file, planner->name);
}

static int ask(struct dtr_planning *planning, struct dtr_plan *plan, bool again,
               struct dtr_error *error) {
    const struct dtr_instance *planner = dtr_chain_top(planning->planner);
    const struct dtr_planner_ops *ops = planner->plugin->ops;
    int status = (again ? ops->replan : ops->plan)(planner->self, &planning->problem, plan, error);
    if (!status)
        status = dtr_plan_check(plan, error);
    if (status)
        blame_section(planning->experiment, planner->plugin, error);
    return status;
}

static int over_budget(const struct dtr_experiment *experiment, uint32_t device, uint64_t needed,
                       struct dtr_error *error) {
    return dtr_fail(error, DTR_E_CONFIG,
                    "%s: [device] memory: the plan needs %.2f MiB on device %u of %.2f",
                    device_origin(experiment, device, "memory"), (double)needed / 1048576, device,
                    (double)experiment->device[device].memory / 1048576);
}

/* Found before anything is loaded. */
static int check_memory(const struct dtr_planning *planning, const struct dtr_plan *plan,
                        struct dtr_error *error) {
    bool limited = false;
    for (uint32_t i = 0; i < planning->count; i++)
        limited |= planning->devices[i].memory != 0;
    if (!limited)
        return DTR_OK;
    struct dtr_lowering lowering = planning->lowering;
    lowering.sequences = planning->request.sequences;
    lowering.lengths = planning->request.lengths;
    struct dtr_prediction prediction = {
        .size = sizeof prediction,
        .memory_bytes = calloc(planning->count, sizeof *prediction.memory_bytes),
    };
    int status = prediction.memory_bytes ? dtr_predict_memory(&lowering, plan, &prediction, error)
                                         : dtr_fail_memory(error);
    for (uint32_t i = 0; i < planning->count && !status; i++) {
        const uint64_t budget = planning->devices[i].memory;
        if (budget && prediction.memory_bytes[i] > budget)
            status = over_budget(planning->experiment, planning->member[i],
                                 prediction.memory_bytes[i], error);
    }
    free(prediction.memory_bytes);
    return status;
}

/* As the planner wants it, or (`strategy` not NULL) all groups by that strategy. */
static int try_plan(struct dtr_planning *planning, const uint32_t *strategy,
                    struct dtr_plan **plan_p, struct dtr_error *error) {
    struct dtr_plan *plan =
        dtr_plan_create(&planning->model->shape, planning->count, dtr_strategy_count(), error);
    int status = plan ? dtr_plan_place(plan, planning->devices, sizeof *planning->devices, error)
                      : DTR_E_MEMORY;
    if (!status && !strategy)
        status = ask(planning, plan, false, error);
    if (!status && strategy) {
        dtr_plan_make_uniform(plan, *strategy);
        plan->open[*strategy] = 1;
    }
    if (!status) {
        *plan->ways = planning->ways;
        status = check_ways(planning, plan, error);
    }
    if (!status)
        status = check_memory(planning, plan, error);
    if (status)
        dtr_plan_free(plan);
    else
        *plan_p = plan;
    return status;
}

/* --- where devices are missing ---------------------------------------------------------------- */

/* Divisions that only missing devices were to hold, shares that only they had, are forgotten. */
static void forget_orders(struct dtr_planning *planning) {
    bool shared = false;
    for (uint32_t i = 0; i < planning->count; i++)
        shared |= planning->devices[i].share > 0;
    for (uint32_t i = 0; i < planning->count; i++) {
        planning->devices[i].divisions = NULL;
        planning->devices[i].share = shared ? planning->devices[i].share : 1;
    }
}

/* The strategy with the best prediction among those that fit, or the first of them; a device that
 * is alone takes `single`, the first of all. */
static int choose_strategy(struct dtr_planning *planning, struct dtr_plan **plan_p,
                           struct dtr_error *error) {
    const uint32_t strategies = planning->count == 1 ? 1 : dtr_strategy_count();
    struct dtr_plan *best = NULL;
    double best_s = 0;
    int status = DTR_OK;
    for (uint32_t i = 0; i < strategies; i++) {
        struct dtr_prediction prediction = {.size = sizeof prediction};
        struct dtr_plan *plan;
        if (!planning->strategies[i].usable)
            continue;
        status = try_plan(planning, &i, &plan, error);
        if (status)
            continue;
        if (planning->profile)
            status = predict(&planning->problem, plan, &prediction, error);
        if (status || (best && prediction.latency_s >= best_s)) {
            dtr_plan_free(plan);
            continue;
        }
        dtr_plan_free(best);
        best = plan;
        best_s = prediction.latency_s;
    }
    if (!best)
        return status;
    *error = (struct dtr_error){0};
    planning->chosen = true;
    snprintf(best->reason, best->reason_bytes, "chosen for the devices that are left");
    *plan_p = best;
    return DTR_OK;
}

static int plan_for_those_left(struct dtr_planning *planning, struct dtr_plan **plan_p,
                               struct dtr_error *error) {
    struct dtr_error cause = {0};
    int status = planning->count > 1 ? try_plan(planning, NULL, plan_p, &cause) : DTR_E_CONFIG;
    if (!status)
        return DTR_OK;
    forget_orders(planning);
    if (planning->count > 1)
        status = try_plan(planning, NULL, plan_p, &cause);
    if (status)
        status = choose_strategy(planning, plan_p, error);
    if (!status && cause.status)
        dtr_log(planning->log, DTR_LOG_WARN, "the devices that are left cannot do as told (%s)",
                cause.text);
    return status;
}

int dtr_planning_plan(struct dtr_planning *planning, struct dtr_plan **plan_p,
                      struct dtr_error *error) {
    return is_whole(planning) ? try_plan(planning, NULL, plan_p, error)
                              : plan_for_those_left(planning, plan_p, error);
}

const struct dtr_weigher *dtr_planning_weigher(const struct dtr_planning *planning) {
    return &planning->weigher;
}

const struct dtr_profile *dtr_planning_profile(const struct dtr_planning *planning) {
    return planning->profile;
}

static bool adaptive(const struct dtr_planning *planning) {
    return !planning->chosen && dtr_chain_top(planning->planner)->plugin->caps & DTR_CAP_ADAPTIVE;
}

/* The problem is about this request until the next. */
static void take_request(struct dtr_planning *planning, const struct dtr_request *request) {
    set_request(planning, request->sequences, request->lengths);
    dtr_lowering_take(&planning->lowering, planning->experiment, planning->model, request);
}

int dtr_planning_replan(struct dtr_planning *planning, const struct dtr_request *request,
                        struct dtr_plan *plan, struct dtr_error *error) {
    if (!adaptive(planning))
        return DTR_OK;
    take_request(planning, request);
    return ask(planning, plan, true, error);
}

int dtr_planning_foresee(struct dtr_planning *planning, const struct dtr_request *request,
                         const struct dtr_plan *plan, struct dtr_prediction *prediction,
                         struct dtr_error *error) {
    take_request(planning, request);
    return predict(&planning->problem, plan, prediction, error);
}

int dtr_planning_predict(struct dtr_planning *planning, const struct dtr_request *request,
                         const struct dtr_plan *plan, double *latency_s_p,
                         struct dtr_error *error) {
    struct dtr_prediction prediction = {.size = sizeof prediction};
    const int status = planning->profile
                           ? dtr_planning_foresee(planning, request, plan, &prediction, error)
                           : DTR_OK;
    *latency_s_p = prediction.latency_s;
    return status;
}

void dtr_planning_observe(struct dtr_planning *planning, uint64_t number, double latency_s,
                          double link_factor) {
    const struct dtr_instance *planner = dtr_chain_top(planning->planner);
    const struct dtr_planner_ops *ops = planner->plugin->ops;
    const uint32_t devices = planning->count;
    if (!adaptive(planning) || !planning->profile)
        return;
    for (uint32_t i = 0; i < devices * devices; i++) {
        planning->observed[i] = planning->profile->link[i];
        planning->observed[i].bytes_per_s *= link_factor;
    }
    const struct dtr_observation observation = {
        .size = sizeof observation,
        .request = number,
        .latency_s = latency_s,
        .devices = devices,
        .link = planning->observed,
    };
    ops->observe(planner->self, &observation);
}

const struct dtr_link *dtr_planning_links(const struct dtr_planning *planning) {
    return planning->profile ? planning->profile->link : NULL;
}

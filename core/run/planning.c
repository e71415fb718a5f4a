/* SPDX-License-Identifier: MIT
 *
 * planning.c -- puts the problem to the experiment's planner.
 */
#include <stdlib.h>

#include "plan/strategy.h"
#include "run/session.h"

struct problem {
    struct dtr_problem problem;
    struct dtr_device_info *devices;
    struct dtr_strategy_info *strategies;
    uint8_t *divisions; /* [devices][D] */
    struct dtr_request_shape request;
    uint32_t *lengths;
};

static void problem_free(struct problem *problem) {
    free(problem->devices);
    free(problem->strategies);
    free(problem->divisions);
    free(problem->lengths);
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
                            dtr_experiment_origin(experiment, "device", "divisions"), device,
                            list->words[i], divisions);
        holds[division] = 1;
    }
    return DTR_OK;
}

static int describe_devices(const struct dtr_experiment *experiment,
                            const struct dtr_model_shape *shape, struct problem *problem,
                            struct dtr_error *error) {
    for (uint32_t i = 0; i < experiment->devices; i++) {
        const struct dtr_device_settings *settings = &experiment->device[i];
        uint8_t *holds = problem->divisions + (size_t)i * shape->divisions;
        problem->devices[i] = (struct dtr_device_info){
            .size = sizeof(struct dtr_device_info),
            .share = settings->share,
            .memory = settings->memory,
            .divisions = settings->has_divisions && shape->divisions ? holds : NULL,
        };
        const int status =
            settings->has_divisions
                ? place_by_hand(experiment, i, shape->divisions, holds, error)
                : DTR_OK;
        if (status)
            return status;
    }
    return DTR_OK;
}

static int problem_describe(const struct dtr_experiment *experiment,
                            const struct dtr_session_options *options,
                            const struct dtr_model *model, struct problem *problem,
                            struct dtr_error *error) {
    const uint32_t devices = experiment->devices, strategies = dtr_strategy_count();
    *problem = (struct problem){
        .devices = calloc(devices, sizeof *problem->devices),
        .strategies = calloc(strategies, sizeof *problem->strategies),
        .divisions = calloc((size_t)devices * model->shape.divisions + 1, 1),
        .lengths = malloc(options->sequences_max * sizeof *problem->lengths),
    };
    if (!problem->devices || !problem->strategies || !problem->divisions || !problem->lengths)
        return dtr_fail_memory(error);
    dtr_strategy_infos(&model->shape, problem->strategies);
    for (uint32_t i = 0; i < options->sequences_max; i++)
        problem->lengths[i] = options->length_max;
    problem->request = (struct dtr_request_shape){
        .size = sizeof problem->request,
        .sequences = options->sequences_max,
        .lengths = problem->lengths,
        .tokens = options->sequences_max * options->length_max,
    };
    problem->problem = (struct dtr_problem){
        .size = sizeof problem->problem,
        .model = &model->shape,
        .devices = devices,
        .device = problem->devices,
        .device_stride = sizeof *problem->devices,
        .request = &problem->request,
        .strategies = strategies,
        .strategy = problem->strategies,
        .strategy_stride = sizeof *problem->strategies,
    };
    return describe_devices(experiment, &model->shape, problem, error);
}

static int ask_planner(const struct dtr_experiment *experiment, const struct dtr_log *log,
                       const struct dtr_problem *problem, struct dtr_plan *plan,
                       struct dtr_error *error) {
    struct dtr_chain chain;
    struct dtr_open_chain *open;
    int status = dtr_experiment_chain(experiment, DTR_PLANNER, 0, &chain, error);
    if (!status)
        status = dtr_chain_open(&chain, log, 1, 0, experiment->devices, &open, error);
    if (status)
        return status;
    const struct dtr_instance *planner = dtr_chain_top(open);
    const struct dtr_planner_ops *ops = planner->plugin->ops;
    status = ops->plan(planner->self, problem, plan, error);
    if (!status)
        status = dtr_plan_check(plan, error);
    if (status)
        dtr_error_prefix(error, "planner '%s'", planner->plugin->name);
    dtr_chain_close(open);
    return status;
}

int dtr_session_plan(const struct dtr_experiment *experiment,
                     const struct dtr_session_options *options, const struct dtr_model *model,
                     const struct dtr_log *log, struct dtr_plan **plan_p,
                     struct dtr_error *error) {
    struct problem problem;
    struct dtr_plan *plan = NULL;
    int status = problem_describe(experiment, options, model, &problem, error);
    if (status)
        goto out_free;
    plan = dtr_plan_create(&model->shape, experiment->devices, dtr_strategy_count(), error);
    status = plan ? dtr_plan_place(plan, problem.devices, sizeof *problem.devices, error)
                  : DTR_E_MEMORY;
    if (!status)
        status = ask_planner(experiment, log, &problem.problem, plan, error);
    if (!status) {
        *plan_p = plan;
        plan = NULL;
    }
out_free:
    dtr_plan_free(plan);
    problem_free(&problem);
    return status;
}

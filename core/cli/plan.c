/* SPDX-License-Identifier: MIT
 *
 * plan.c -- `detransformer plan EXP.ini`: what every strategy would cost, and which is chosen.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/measure.h"
#include "plan/account.h"
#include "plan/predict.h"
#include "plan/strategy.h"
#include "report/report.h"

static const struct dtr_option options[] = {
    {"explain", NULL, "every device of every candidate, and the chosen plan's steps", false},
    {"set", "K=V", "lay a value over the file's, as section.key=value; may be repeated", true},
    {"json", "FILE", "write the candidates as JSON; - is standard output", false},
    {NULL, NULL, NULL, false},
};

struct job {
    struct dtr_opened opened;
    uint32_t *lengths; /* of the largest request */
    cJSON *json;
    bool explain, quiet;
};

/* The largest request. */
static struct dtr_lowering request_of(const struct job *job) {
    const struct dtr_opened *opened = &job->opened;
    struct dtr_lowering lowering =
        dtr_experiment_lowering(opened->experiment, opened->model, &opened->options);
    lowering.sequences = opened->options.sequences_max;
    lowering.lengths = job->lengths;
    lowering.weigher = dtr_planning_weigher(opened->planning);
    return lowering;
}

/* The schedule that one device would run for it. */
static int lower(const struct job *job, const struct dtr_plan *plan, uint32_t device,
                 struct dtr_schedule **schedule_p, struct dtr_error *error) {
    struct dtr_lowering lowering = request_of(job);
    lowering.plan = plan;
    lowering.device = device;
    return dtr_lower(&lowering, schedule_p, error);
}

static cJSON *account_json(const struct dtr_account *account) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "bytes_sent", (double)account->bytes_sent);
    cJSON_AddNumberToObject(json, "bytes_received", (double)account->bytes_received);
    cJSON_AddNumberToObject(json, "flops", (double)account->flops);
    cJSON_AddNumberToObject(json, "weight_bytes", (double)account->weight_bytes);
    cJSON_AddNumberToObject(json, "buffer_bytes", (double)account->arena_bytes);
    return json;
}

/* predicted_s: 0 where it is not known. */
static void print_account(const char *name, double predicted_s, const struct dtr_account *account,
                          bool chosen) {
    char predicted[32] = "-";
    if (predicted_s > 0)
        snprintf(predicted, sizeof predicted, "%.2f", predicted_s * 1e3);
    printf("%-10s %12s %10.2f %10.1f %12.1f %12.1f%s\n", name, predicted,
           (double)account->flops * 1e-9, (double)account->bytes_sent * 1e-3,
           (double)account->weight_bytes / 1048576, (double)account->arena_bytes / 1048576,
           chosen ? "  <- chosen" : "");
}

static void take_most(struct dtr_account *most, const struct dtr_account *one) {
    most->bytes_sent = one->bytes_sent > most->bytes_sent ? one->bytes_sent : most->bytes_sent;
    most->flops = one->flops > most->flops ? one->flops : most->flops;
    most->weight_bytes =
        one->weight_bytes > most->weight_bytes ? one->weight_bytes : most->weight_bytes;
    most->arena_bytes = one->arena_bytes > most->arena_bytes ? one->arena_bytes : most->arena_bytes;
}

static int candidate(struct job *job, const struct dtr_plan *plan, const char *name, bool chosen,
                     struct dtr_error *error) {
    struct dtr_account most = {0};
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToArray(job->json, json);
    cJSON_AddStringToObject(json, "strategy", name);
    cJSON_AddBoolToObject(json, "chosen", chosen);
    struct dtr_prediction prediction = {.size = sizeof prediction};
    const struct dtr_lowering request = request_of(job);
    if (job->opened.profile) {
        const int status =
            dtr_predict(&request, plan, job->opened.profile, NULL, &prediction, error);
        if (status)
            return status;
        cJSON_AddNumberToObject(json, "predicted_ms", prediction.latency_s * 1e3);
    } else {
        cJSON_AddNullToObject(json, "predicted_ms");
    }
    cJSON_AddItemToObject(json, "plan", dtr_report_plan_json(plan, NULL));
    cJSON *devices = cJSON_AddArrayToObject(json, "devices");
    for (uint32_t i = 0; i < plan->devices; i++) {
        struct dtr_schedule *schedule;
        struct dtr_account account;
        const int status = lower(job, plan, i, &schedule, error);
        if (status)
            return status;
        dtr_account_schedule(schedule, &job->opened.model->shape,
                             dtr_planning_weigher(job->opened.planning), &account);
        dtr_schedule_free(schedule);
        take_most(&most, &account);
        cJSON_AddItemToArray(devices, account_json(&account));
        if (job->explain && !job->quiet) {
            char row[32];
            snprintf(row, sizeof row, "  device %u", i);
            print_account(row, 0, &account, false);
        }
    }
    if (!job->quiet)
        print_account(name, prediction.latency_s, &most, chosen);
    return DTR_OK;
}

/* Every strategy is `single` then. */
static bool is_alone(const struct dtr_plan *plan) {
    for (uint32_t i = 1; i < plan->devices; i++)
        if (dtr_plan_uses(plan, i))
            return false;
    return plan->devices > 1;
}

static int candidates(struct job *job, struct dtr_error *error) {
    struct dtr_plan *plan = dtr_plan_copy(job->opened.plan, error);
    if (!plan)
        return DTR_E_MEMORY;
    int status = DTR_OK;
    bool found = false;
    for (uint32_t i = 0; i < plan->strategies && !status; i++) {
        const struct dtr_strategy *strategy = dtr_strategy_at(i);
        if (strategy->decoupled && !job->opened.model->shape.divisions)
            continue;
        /* Each as if it alone had to be open: cut as it needs, and no finer. */
        memset(plan->open, 0, plan->strategies);
        plan->open[i] = 1;
        dtr_plan_make_uniform(plan, i);
        const bool chosen = dtr_plan_is_uniform(job->opened.plan, i);
        if (i && !chosen && is_alone(plan))
            continue;
        found |= chosen;
        memcpy(plan->reason, chosen ? job->opened.plan->reason : "",
               chosen ? plan->reason_bytes : 1);
        status = candidate(job, plan, strategy->name, chosen, error);
    }
    if (!status && !found)
        status = candidate(job, job->opened.plan, "mixed", true, error);
    dtr_plan_free(plan);
    return status;
}

static int print_steps(const struct job *job, struct dtr_error *error) {
    for (uint32_t i = 0; i < job->opened.plan->devices; i++) {
        struct dtr_schedule *schedule;
        const int status = lower(job, job->opened.plan, i, &schedule, error);
        if (status)
            return status;
        printf("\ndevice %u\n", i);
        dtr_schedule_print(schedule, stdout);
        dtr_schedule_free(schedule);
    }
    return DTR_OK;
}

static void print_placement(const struct dtr_plan *plan) {
    for (uint32_t i = 0; i < plan->devices; i++) {
        printf("device %u: share %g", i, plan->share[i]);
        const char *separator = ", divisions ";
        for (uint32_t d = 0; d < plan->divisions; d++)
            if (dtr_plan_holds(plan, d, i)) {
                printf("%s%u", separator, d);
                separator = " ";
            }
        putchar('\n');
    }
    printf("\n%-10s %12s %10s %10s %12s %12s\n", "strategy", "predicted ms", "GFLOP", "sent kB",
           "weights MiB", "buffers MiB");
}

static int show(struct job *job, const char *json_path, struct dtr_error *error) {
    if (!job->quiet)
        print_placement(job->opened.plan);
    int status = candidates(job, error);
    if (!status && !job->quiet)
        puts("\nEach figure is that of the device with the most of it.");
    if (!status && !job->quiet && job->opened.plan->reason[0])
        printf("%s\n", job->opened.plan->reason);
    if (!status && job->explain && !job->quiet)
        status = print_steps(job, error);
    if (!status && json_path)
        status = dtr_report_write_json(json_path, job->json, error);
    return status;
}

static int measure_and_plan(const struct dtr_cli *cli, struct job *job,
                            struct dtr_progress *progress, struct dtr_error *error) {
    const int status = dtr_cli_profile(cli, &job->opened, progress, error);
    return status ? status : dtr_cli_plan(cli, &job->opened, error);
}

static int prepare_lengths(struct job *job, struct dtr_error *error) {
    const uint32_t sequences = job->opened.options.sequences_max;
    job->lengths = malloc(sequences * sizeof *job->lengths);
    if (!job->lengths)
        return dtr_fail_memory(error);
    for (uint32_t i = 0; i < sequences; i++)
        job->lengths[i] = job->opened.options.length_max;
    return DTR_OK;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    struct dtr_error error = {0};
    const char *json_path = dtr_argument(&dtr_command_plan, arguments, "json");
    struct job job = {
        .explain = dtr_argument(&dtr_command_plan, arguments, "explain") != NULL,
        .quiet = json_path && strcmp(json_path, "-") == 0,
        .json = cJSON_CreateArray(),
    };
    struct dtr_progress progress;
    dtr_progress_begin(&progress);
    int status = job.json ? DTR_OK : dtr_fail_memory(&error);
    if (!status)
        status = dtr_cli_open(&dtr_command_plan, cli, arguments, &job.opened, &error);
    if (!status)
        status = dtr_cli_check(cli, &job.opened, &error);
    if (!status && !job.opened.plan)
        status = measure_and_plan(cli, &job, &progress, &error);
    if (!status)
        status = prepare_lengths(&job, &error);
    if (!status)
        status = show(&job, json_path, &error);
    free(job.lengths);
    cJSON_Delete(job.json);
    dtr_cli_close(&job.opened);
    return status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_plan = {
    .name = "plan",
    .summary = "show what every strategy would cost, and the plan that is chosen",
    .operands = "EXP.ini",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .leads = true,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
#include "cli/measure.h"

#include <stdlib.h>
#include <string.h>

#include "report/outcome.h"
#include "report/report.h"
#include "run/session.h"

struct job {
    const struct dtr_experiment *experiment;
    const struct dtr_measure *wanted;
    struct dtr_input *input;
    struct dtr_session *session;
    struct dtr_report *report;
};

static void show(void *arg, const char *what, uint32_t done, uint32_t total) {
    if (arg)
        dtr_progress_step(arg, what, done, total);
}

static int take_in(struct job *job, const struct dtr_request *request,
                   const struct dtr_response *response, struct dtr_error *error) {
    cJSON *outcome = dtr_outcome_create(job->experiment, dtr_session_model(job->session),
                                        job->input, request, response);
    if (!outcome)
        return dtr_fail_memory(error);
    if (job->wanted->outcomes) {
        if (job->wanted->progress)
            dtr_progress_end(job->wanted->progress);
        dtr_outcome_print(job->experiment, outcome, stdout);
        fflush(stdout);
    }
    return dtr_report_add(job->report, response, outcome, error);
}

static int keep(const struct job *job, const struct dtr_response *response,
                struct dtr_error *error) {
    struct dtr_kept *kept = job->wanted->kept;
    const size_t hidden = dtr_session_model(job->session)->shape.hidden;
    kept->count = response->rows * hidden;
    kept->hidden = malloc(kept->count * sizeof *kept->hidden);
    if (!kept->hidden)
        return dtr_fail_memory(error);
    memcpy(kept->hidden, response->hidden, kept->count * sizeof *kept->hidden);
    return DTR_OK;
}

static int write_last(const struct job *job, const struct dtr_response *response,
                      struct dtr_error *error) {
    const struct dtr_measure *wanted = job->wanted;
    int status = wanted->kept ? keep(job, response, error) : DTR_OK;
    if (!status && wanted->dump)
        status = dtr_report_dump(wanted->dump, dtr_session_model(job->session), response, error);
    if (!status && wanted->trace)
        status = dtr_report_trace(wanted->trace, job->session, job->experiment->devices, error);
    return status;
}

uint64_t dtr_cli_requests(const struct dtr_experiment *experiment, const struct dtr_input *input) {
    return experiment->requests ? experiment->requests : dtr_input_pass(input);
}

static int run_requests(struct job *job, struct dtr_error *error) {
    const struct dtr_experiment *experiment = job->experiment;
    const uint64_t requests =
        job->wanted->requests ? job->wanted->requests : dtr_cli_requests(experiment, job->input);
    const uint64_t total = experiment->warmup + requests;
    for (uint64_t i = 0; i < total; i++) {
        const bool warm = i >= experiment->warmup;
        struct dtr_request request;
        struct dtr_response response;
        const uint64_t number = job->wanted->first + (warm ? i - experiment->warmup : i);
        int status = dtr_input_request(job->input, number, &request, error);
        show(job->wanted->progress, "requests", (uint32_t)i, (uint32_t)total);
        if (!status)
            status = dtr_session_run(job->session, &request, &response, error);
        if (!status && warm)
            status = take_in(job, &request, &response, error);
        if (!status && i + 1 == total)
            status = write_last(job, &response, error);
        if (status)
            return status;
    }
    return DTR_OK;
}

int dtr_cli_measure(const struct dtr_cli *cli, struct dtr_opened *opened,
                    const struct dtr_measure *wanted, cJSON **report_p, struct dtr_error *error) {
    struct job job = {
        .experiment = opened->experiment,
        .wanted = wanted,
        .input = opened->input,
    };
    const struct dtr_session_progress progress = {wanted->progress, show};
    int status = dtr_session_open(opened->experiment, opened->plugins, &cli->launch,
                                  &opened->options, &cli->log, &progress, &job.session, error);
    if (!status)
        status = dtr_report_create(opened->experiment, job.session, &job.report, error);
    if (!status)
        status = run_requests(&job, error);
    if (wanted->progress)
        dtr_progress_end(wanted->progress);
    if (!status && !(*report_p = dtr_report_json(job.report)))
        status = dtr_fail_memory(error);
    if (!status && wanted->outcomes)
        dtr_report_print(job.report, stdout);
    dtr_report_free(job.report);
    dtr_session_close(job.session);
    return status;
}

static cJSON *predicted_json(const struct dtr_prediction *prediction, uint32_t devices) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "predicted_ms", prediction->latency_s * 1e3);
    cJSON *list = cJSON_AddArrayToObject(json, "devices");
    for (uint32_t i = 0; i < devices; i++) {
        cJSON *device = cJSON_CreateObject();
        cJSON_AddNumberToObject(device, "bytes_sent", (double)prediction->bytes_sent[i]);
        cJSON_AddNumberToObject(device, "weight_bytes", (double)prediction->weight_bytes[i]);
        cJSON_AddItemToArray(list, device);
    }
    cJSON_AddTrueToObject(json, "valid");
    return json;
}

int dtr_cli_predict(struct dtr_opened *opened, cJSON **report_p, struct dtr_error *error) {
    const uint32_t devices = opened->experiment->devices;
    if (!opened->profile)
        return dtr_fail(error, DTR_E_CONFIG, "%s: [planner] profile: predicting needs one",
                        opened->experiment->file);
    uint64_t *bytes = calloc(2 * (size_t)devices, sizeof *bytes);
    if (!bytes)
        return dtr_fail_memory(error);
    struct dtr_prediction prediction = {
        .size = sizeof prediction, .bytes_sent = bytes, .weight_bytes = bytes + devices};
    struct dtr_request request;
    int status = dtr_input_request(opened->input, 0, &request, error);
    if (!status)
        status = dtr_planning_replan(opened->planning, &request, opened->plan, error);
    if (!status)
        status = dtr_planning_foresee(opened->planning, &request, opened->plan, &prediction, error);
    if (!status)
        *report_p = predicted_json(&prediction, devices);
    free(bytes);
    return status;
}

int dtr_cli_profile(const struct dtr_cli *cli, struct dtr_opened *opened,
                    struct dtr_progress *progress, struct dtr_error *error) {
    const struct dtr_session_progress stages = {progress, show};
    struct dtr_session_options options = opened->options;
    struct dtr_session *session = NULL;
    options.only_profile = true;
    const int status = dtr_session_open(opened->experiment, opened->plugins, &cli->launch,
                                        &options, &cli->log, &stages, &session, error);
    if (progress)
        dtr_progress_end(progress);
    if (status)
        return status;
    dtr_profile_free(opened->profile);
    opened->profile = dtr_session_take_profile(session);
    dtr_session_close(session);
    return DTR_OK;
}

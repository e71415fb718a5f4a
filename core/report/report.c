/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/sort.h"
#include "plan/strategy.h"

struct dtr_report {
    const struct dtr_experiment *experiment;
    struct dtr_session *session;
    double *samples_ms;
    size_t count, capacity;
    struct dtr_device_report *devices; /* the last request's, with the sums of lateness */
    cJSON *outputs;                    /* of every request, flat */
    cJSON *decisions;                  /* the first request's plan, and every other one since */
    double predicted_s;                /* of the last request; 0: no profile */
    uint64_t replans;
};

int dtr_report_create(const struct dtr_experiment *experiment, struct dtr_session *session,
                      struct dtr_report **report_p, struct dtr_error *error) {
    struct dtr_report *report = calloc(1, sizeof *report);
    if (!report)
        return dtr_fail_memory(error);
    report->experiment = experiment;
    report->session = session;
    report->devices = calloc(experiment->devices, sizeof *report->devices);
    report->outputs = cJSON_CreateArray();
    report->decisions = cJSON_CreateArray();
    if (!report->devices || !report->outputs || !report->decisions) {
        dtr_report_free(report);
        return dtr_fail_memory(error);
    }
    *report_p = report;
    return DTR_OK;
}

void dtr_report_free(struct dtr_report *report) {
    if (!report)
        return;
    cJSON_Delete(report->outputs);
    cJSON_Delete(report->decisions);
    free(report->devices);
    free(report->samples_ms);
    free(report);
}

static cJSON *strategies_json(const struct dtr_plan *plan) {
    cJSON *json = cJSON_CreateArray();
    for (uint32_t g = 0; g < plan->groups; g++)
        cJSON_AddItemToArray(json, cJSON_CreateString(dtr_strategy_at(plan->strategy[g])->name));
    return json;
}

/* What the planner decided for this request, where that is not what it decided before. */
static void add_decision(struct dtr_report *report, const struct dtr_plan *plan) {
    const int count = cJSON_GetArraySize(report->decisions);
    const cJSON *before = count ? cJSON_GetArrayItem(report->decisions, count - 1) : NULL;
    const cJSON *tiles = cJSON_GetObjectItem(before, "tiles");
    cJSON *strategies = strategies_json(plan);
    if (before && tiles && tiles->valuedouble == plan->tiles &&
        cJSON_Compare(cJSON_GetObjectItem(before, "strategy"), strategies, true)) {
        cJSON_Delete(strategies);
        return;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "request", (double)report->count);
    cJSON_AddItemToObject(json, "strategy", strategies);
    cJSON_AddNumberToObject(json, "tiles", plan->tiles);
    cJSON_AddStringToObject(json, "reason", plan->reason);
    cJSON_AddItemToArray(report->decisions, json);
}

int dtr_report_add(struct dtr_report *report, const struct dtr_response *response, cJSON *outcome,
                   struct dtr_error *error) {
    if (report->count == report->capacity) {
        const size_t capacity = report->capacity ? 2 * report->capacity : 64;
        double *larger = realloc(report->samples_ms, capacity * sizeof *larger);
        if (!larger) {
            cJSON_Delete(outcome);
            return dtr_fail_memory(error);
        }
        report->samples_ms = larger;
        report->capacity = capacity;
    }
    add_decision(report, dtr_session_current_plan(report->session));
    report->predicted_s = response->predicted_s;
    report->replans = response->replans;
    report->samples_ms[report->count++] = (double)response->latency_ns * 1e-6;
    for (uint32_t i = 0; i < report->experiment->devices; i++) {
        const struct dtr_device_report before = report->devices[i];
        report->devices[i] = response->devices[i];
        report->devices[i].late_ns += before.late_ns;
        report->devices[i].due_ns += before.due_ns;
    }
    while (outcome && cJSON_GetArraySize(outcome))
        cJSON_AddItemToArray(report->outputs, cJSON_DetachItemFromArray(outcome, 0));
    cJSON_Delete(outcome);
    return DTR_OK;
}

/* More than this fraction late, and an emulated device was not what it says it was. */
static const double late_most = 0.01;

bool dtr_report_valid(const struct dtr_report *report, char *why, size_t bytes) {
    for (uint32_t i = 0; i < report->experiment->devices; i++) {
        const struct dtr_device_report *device = &report->devices[i];
        const double late = device->due_ns ? (double)device->late_ns / (double)device->due_ns : 0;
        if (late > late_most) {
            snprintf(why, bytes, "device %u ran %.1f %% late", i, 100 * late);
            return false;
        }
    }
    return true;
}

/* --- statistics ------------------------------------------------------------------------------- */

struct latency {
    double median, least, mean, p95;
};

static bool latency_of(const struct dtr_report *report, struct latency *latency) {
    const size_t count = report->count;
    double *sorted = count ? malloc(count * sizeof *sorted) : NULL;
    if (!sorted)
        return false;
    double sum = 0;
    memcpy(sorted, report->samples_ms, count * sizeof *sorted);
    dtr_sort_doubles(sorted, count);
    for (size_t i = 0; i < count; i++)
        sum += sorted[i];
    *latency = (struct latency){
        .median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2,
        .least = sorted[0],
        .mean = sum / (double)count,
        /* The smallest sample that 95 in 100 are not above. */
        .p95 = sorted[(count * 95 + 99) / 100 - 1],
    };
    free(sorted);
    return true;
}

/* --- for people ------------------------------------------------------------------------------- */

static void print_strategies(const struct dtr_plan *plan, FILE *out) {
    bool same = true;
    for (uint32_t g = 1; g < plan->groups; g++)
        same &= plan->strategy[g] == plan->strategy[0];
    for (uint32_t g = 0; g < (same ? 1 : plan->groups); g++)
        fprintf(out, "%s%s", g ? " " : "", dtr_strategy_at(plan->strategy[g])->name);
}

/* The planner's reason; where it has changed its mind, every one with the request it was for. */
static void print_decisions(const struct dtr_report *report, FILE *out) {
    const int count = cJSON_GetArraySize(report->decisions);
    for (int i = 0; i < count; i++) {
        const cJSON *decision = cJSON_GetArrayItem(report->decisions, i);
        const char *reason = cJSON_GetStringValue(cJSON_GetObjectItem(decision, "reason"));
        const int request = cJSON_GetObjectItem(decision, "request")->valueint;
        if (reason && reason[0] && count > 1)
            fprintf(out, "request %d: %s\n", request, reason);
        else if (reason && reason[0])
            fprintf(out, "%s\n", reason);
        if (reason && reason[0] && i + 1 == count)
            putc('\n', out);
    }
}

/* Requests as the samples are counted; below 0 before them. */
static double request_of(const struct dtr_report *report, const struct dtr_event *event) {
    return (double)event->request - 1 - (double)report->experiment->warmup;
}

static void print_events(const struct dtr_report *report, FILE *out) {
    size_t count;
    const struct dtr_event *events = dtr_session_events(report->session, &count);
    for (size_t i = 0; i < count; i++) {
        const struct dtr_event *event = &events[i];
        if (request_of(report, event) < 0)
            fputs("before: ", out);
        else
            fprintf(out, "request %.0f: ", request_of(report, event));
        if (!event->lost)
            fprintf(out, "device %u was taken in again\n", event->device);
        else
            fprintf(out, "%s; answered %.0f ms later\n", event->cause, event->answered_ms);
    }
    if (count)
        fputc('\n', out);
}

/* What was kept in which type, where some was narrowed. */
static void print_narrowed(const struct dtr_report *report, FILE *out) {
    if (report->experiment->device[0].dtype == DTR_F32)
        return;
    fputs("\ndevice 0 keeps", out);
    const char *separator = " ";
    for (uint32_t i = DTR_DTYPES; i-- > 0;) {
        const struct dtr_weight_sum sum = dtr_session_weights(report->session, i);
        if (!sum.weights)
            continue;
        fprintf(out, "%s%u linear layers in %s (%.1f MiB; in f32 %.1f)", separator, sum.weights,
                dtr_dtype_name(i), (double)sum.bytes / 1048576, (double)sum.numbers * 4 / 1048576);
        separator = ", ";
    }
    fputs("; normalisations and embeddings stay f32\n", out);
}

/* The part of the time in which collectives were under way that the device computed in. */
static double hidden_of(const struct dtr_device_times *times) {
    return (double)times->hidden_ns / (double)times->under_way_ns;
}

void dtr_report_print(const struct dtr_report *report, FILE *out) {
    const struct dtr_plan *plan = dtr_session_current_plan(report->session);
    struct latency latency;
    char why[100];
    if (!latency_of(report, &latency))
        return;
    fputs("\nstrategy  ", out);
    print_strategies(plan, out);
    fprintf(out,
            "\nlatency   median %.2f ms, min %.2f, mean %.2f, p95 %.2f over %zu request%s; "
            "%.2f requests/s\n\n",
            latency.median, latency.least, latency.mean, latency.p95, report->count,
            report->count == 1 ? "" : "s", 1000 / latency.mean);
    if (report->predicted_s > 0)
        fprintf(out, "predicted %.2f ms for the last request; replanned %llu times\n\n",
                report->predicted_s * 1e3, (unsigned long long)report->replans);
    print_decisions(report, out);
    print_events(report, out);
    fputs("device  kernel      compute ms  communicate ms  hidden     sent kB  received kB  "
          "weights MiB  peak MiB\n",
          out);
    for (uint32_t i = 0; i < report->experiment->devices; i++) {
        const struct dtr_device_report *device = &report->devices[i];
        char hidden[16] = "-";
        if (device->times.under_way_ns)
            snprintf(hidden, sizeof hidden, "%.0f%%", 100 * hidden_of(&device->times));
        fprintf(out, "%6u  %-10s  %10.2f  %14.2f  %6s  %10.1f  %11.1f  %11.1f  %8.1f\n", i,
                dtr_session_kernel(report->session, i), (double)device->times.compute_ns * 1e-6,
                (double)device->times.communicate_ns * 1e-6, hidden,
                (double)device->bytes_sent * 1e-3, (double)device->bytes_received * 1e-3,
                (double)device->weight_bytes / 1048576, (double)device->peak_rss_bytes / 1048576);
    }
    print_narrowed(report, out);
    if (!dtr_report_valid(report, why, sizeof why))
        fprintf(out, "\nINVALID: %s; give it more cores or a slower device\n", why);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static cJSON *model_json(const struct dtr_report *report) {
    const struct dtr_model *model = dtr_session_model(report->session);
    const struct dtr_model_shape *shape = &model->shape;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "config", report->experiment->model_config);
    cJSON_AddNumberToObject(json, "layers", shape->layers);
    cJSON_AddNumberToObject(json, "hidden", shape->hidden);
    cJSON_AddNumberToObject(json, "heads", shape->heads);
    cJSON_AddNumberToObject(json, "intermediate", shape->intermediate);
    cJSON_AddNumberToObject(json, "divisions", shape->divisions);
    cJSON_AddNumberToObject(json, "groups", shape->groups);
    cJSON_AddNumberToObject(json, "parameters", (double)model->parameters);
    return json;
}

cJSON *dtr_report_plan_json(const struct dtr_plan *plan, const uint32_t *members) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "strategy", strategies_json(plan));
    cJSON *placement = cJSON_AddArrayToObject(json, "placement");
    for (uint32_t i = 0; i < plan->devices; i++) {
        cJSON *device = cJSON_CreateObject();
        cJSON *divisions = cJSON_AddArrayToObject(device, "divisions");
        cJSON_AddNumberToObject(device, "device", members ? members[i] : i);
        cJSON_AddNumberToObject(device, "share", plan->share[i]);
        for (uint32_t d = 0; d < plan->divisions; d++)
            if (dtr_plan_holds(plan, d, i))
                cJSON_AddItemToArray(divisions, cJSON_CreateNumber(d));
        cJSON_AddItemToArray(placement, device);
    }
    cJSON_AddNumberToObject(json, "tiles", plan->tiles);
    if (plan->reason[0])
        cJSON_AddStringToObject(json, "reason", plan->reason);
    return json;
}

static void add_latency(const struct dtr_report *report, cJSON *json) {
    struct latency latency;
    if (!latency_of(report, &latency)) {
        cJSON_AddNullToObject(json, "latency_ms");
        cJSON_AddNullToObject(json, "requests_per_s");
        return;
    }
    cJSON *object = cJSON_AddObjectToObject(json, "latency_ms");
    cJSON_AddNumberToObject(object, "median", latency.median);
    cJSON_AddNumberToObject(object, "min", latency.least);
    cJSON_AddNumberToObject(object, "mean", latency.mean);
    cJSON_AddNumberToObject(object, "p95", latency.p95);
    cJSON *samples = cJSON_AddArrayToObject(object, "samples");
    for (size_t i = 0; i < report->count; i++)
        cJSON_AddItemToArray(samples, cJSON_CreateNumber(report->samples_ms[i]));
    cJSON_AddNumberToObject(json, "requests_per_s", 1000 / latency.mean);
}

/* The leader's matrices by type. */
static void add_types(const struct dtr_report *report, cJSON *json) {
    cJSON *types = cJSON_AddObjectToObject(json, "matrices");
    for (uint32_t i = 0; i < DTR_DTYPES; i++) {
        const struct dtr_weight_sum sum = dtr_session_weights(report->session, i);
        cJSON *type = sum.weights ? cJSON_AddObjectToObject(types, dtr_dtype_name(i)) : NULL;
        if (!type)
            continue;
        cJSON_AddNumberToObject(type, "count", sum.weights);
        cJSON_AddNumberToObject(type, "numbers", (double)sum.numbers);
        cJSON_AddNumberToObject(type, "bytes", (double)sum.bytes);
    }
}

static cJSON *device_json(const struct dtr_report *report, uint32_t index) {
    const struct dtr_device_report *device = &report->devices[index];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "kernel", dtr_session_kernel(report->session, index));
    if (dtr_session_cores(report->session, index))
        cJSON_AddStringToObject(json, "cores", dtr_session_cores(report->session, index));
    else
        cJSON_AddNullToObject(json, "cores");
    cJSON_AddNumberToObject(json, "compute_ms", (double)device->times.compute_ns * 1e-6);
    cJSON_AddNumberToObject(json, "communicate_ms", (double)device->times.communicate_ns * 1e-6);
    if (device->times.under_way_ns)
        cJSON_AddNumberToObject(json, "hidden", hidden_of(&device->times));
    else
        cJSON_AddNullToObject(json, "hidden");
    cJSON_AddNumberToObject(json, "bytes_sent", (double)device->bytes_sent);
    cJSON_AddNumberToObject(json, "bytes_received", (double)device->bytes_received);
    cJSON_AddNumberToObject(json, "weight_bytes", (double)device->weight_bytes);
    cJSON_AddNumberToObject(json, "buffer_bytes", (double)device->buffer_bytes);
    cJSON_AddNumberToObject(json, "peak_rss_bytes", (double)device->peak_rss_bytes);
    if (!index)
        add_types(report, json);
    if (device->due_ns)
        cJSON_AddNumberToObject(json, "late", (double)device->late_ns / (double)device->due_ns);
    else
        cJSON_AddNullToObject(json, "late");
    return json;
}

static cJSON *event_json(const struct dtr_report *report, const struct dtr_event *event) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "device", event->device);
    cJSON_AddStringToObject(json, "event", event->lost ? "lost" : "returned");
    cJSON_AddNumberToObject(json, "time", event->time_s);
    if (request_of(report, event) < 0)
        cJSON_AddNullToObject(json, "request");
    else
        cJSON_AddNumberToObject(json, "request", request_of(report, event));
    if (!event->lost)
        return json;
    cJSON_AddStringToObject(json, "cause", event->cause);
    cJSON_AddNumberToObject(json, "silent_ms", event->silent_ms);
    cJSON_AddNumberToObject(json, "answered_ms", event->answered_ms);
    return json;
}

static void add_events(const struct dtr_report *report, cJSON *json) {
    size_t count;
    const struct dtr_event *events = dtr_session_events(report->session, &count);
    cJSON *list = cJSON_AddArrayToObject(json, "events");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, event_json(report, &events[i]));
}

cJSON *dtr_report_json(const struct dtr_report *report) {
    char why[100];
    uint32_t count;
    const uint32_t *members = dtr_session_members(report->session, &count);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "experiment", report->experiment->name);
    cJSON_AddStringToObject(json, "version", PACKAGE_VERSION);
    cJSON_AddBoolToObject(json, "valid", dtr_report_valid(report, why, sizeof why));
    cJSON_AddItemToObject(json, "model", model_json(report));
    cJSON_AddItemToObject(json, "plan",
                          dtr_report_plan_json(dtr_session_current_plan(report->session), members));
    add_latency(report, json);
    if (report->predicted_s > 0)
        cJSON_AddNumberToObject(json, "predicted_ms", report->predicted_s * 1e3);
    else
        cJSON_AddNullToObject(json, "predicted_ms");
    cJSON *devices = cJSON_AddArrayToObject(json, "devices");
    for (uint32_t i = 0; i < report->experiment->devices; i++)
        cJSON_AddItemToArray(devices, device_json(report, i));
    cJSON_AddNumberToObject(json, "replans", (double)report->replans);
    cJSON_AddItemToObject(json, "decisions", cJSON_Duplicate(report->decisions, true));
    add_events(report, json);
    cJSON_AddItemToObject(json, "outputs", cJSON_Duplicate(report->outputs, true));
    return json;
}

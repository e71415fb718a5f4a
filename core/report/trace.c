/* SPDX-License-Identifier: MIT
 *
 * trace.c -- a request as Chrome trace events ("Trace Event Format", Google 2016): a process for
 * each device, in it a thread for its steps and threads for what was under way meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/account.h"
#include "plan/route.h"
#include "report/report.h"

/* Collectives that overlap in time go to different rows. */
enum { ROWS = 16 };

struct writer {
    FILE *file;
    uint64_t origin_ns;
    bool first;
};

static void begin_event(struct writer *writer) {
    fputs(writer->first ? "\n" : ",\n", writer->file);
    writer->first = false;
}

static void name_track(struct writer *writer, const char *what, uint32_t device, uint32_t thread,
                       const char *name, uint32_t number) {
    begin_event(writer);
    fprintf(writer->file,
            "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%u,\"tid\":%u,\"args\":{\"name\":\"%s %u\"}}",
            what, device, thread, name, number);
}

static double microseconds(const struct writer *writer, uint64_t ns) {
    return (double)(int64_t)(ns - writer->origin_ns) * 1e-3;
}

static void write_step(struct writer *writer, const struct dtr_device_trace *trace,
                       uint32_t index) {
    const struct dtr_schedule *schedule = trace->schedule;
    const struct dtr_step *step = &schedule->steps[index];
    const bool communicates = step->kind == DTR_STEP_START || step->kind == DTR_STEP_WAIT;
    char place[32] = "head";
    if (step->layer < schedule->layers && step->division >= 0)
        snprintf(place, sizeof place, "layer %u.%d", step->layer, step->division);
    else if (step->layer < schedule->layers)
        snprintf(place, sizeof place, "layer %u", step->layer);
    begin_event(writer);
    fprintf(writer->file,
            "{\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"%s%s%s\",\"pid\":%u,\"tid\":0,\"ts\":%.3f,"
            "\"dur\":%.3f,\"args\":{\"step\":%u,\"where\":\"%s\",\"rows\":%u",
            communicates ? "communicate" : "compute", dtr_step_kind_name(step->kind),
            step->weight >= 0 ? " " : "",
            step->weight >= 0 ? dtr_weight_kind_name(schedule->weights[step->weight].kind) : "",
            trace->device, microseconds(writer, trace->begin_ns[index]),
            (double)(trace->end_ns[index] - trace->begin_ns[index]) * 1e-3, index, place,
            step->out.buffer >= 0 ? dtr_range_count(step->out.rows) : 0);
    if (communicates)
        fprintf(writer->file, ",\"tag\":%u", schedule->collectives[step->collective].tag);
    fputs("}}", writer->file);
}

static void write_flight(struct writer *writer, const struct dtr_device_trace *trace,
                         uint32_t index, uint64_t *free_ns) {
    const struct dtr_schedule *schedule = trace->schedule;
    const struct dtr_collective *collective = &schedule->collectives[index];
    const struct dtr_flight_times *times = &trace->flights[index];
    uint32_t row = 0;
    uint64_t sent, received;
    while (row + 1 < ROWS && free_ns[row] > times->begin_ns)
        row++;
    free_ns[row] = times->end_ns;
    dtr_account_collective(schedule, collective, &sent, &received);
    begin_event(writer);
    fprintf(writer->file,
            "{\"ph\":\"X\",\"cat\":\"flight\",\"name\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f,"
            "\"dur\":%.3f,\"args\":{\"tag\":%u,\"layer\":%u,\"algorithm\":\"%s\",\"sent\":%llu,"
            "\"received\":%llu}}",
            dtr_collective_kind_name(collective->kind), trace->device, row + 1,
            microseconds(writer, times->begin_ns), (double)(times->end_ns - times->begin_ns) * 1e-3,
            collective->tag, collective->layer, dtr_algorithm_name(collective->algorithm),
            (unsigned long long)sent, (unsigned long long)received);
}

static void write_device(struct writer *writer, const struct dtr_device_trace *trace) {
    const struct dtr_schedule *schedule = trace->schedule;
    uint64_t free_ns[ROWS] = {0};
    name_track(writer, "process_name", trace->device, 0, "device", trace->device);
    name_track(writer, "thread_name", trace->device, 0, "steps of device", trace->device);
    for (uint32_t i = 0; i < schedule->steps_count; i++)
        write_step(writer, trace, i);
    for (uint32_t i = 0; i < schedule->collectives_count; i++)
        if (trace->flights[i].begin_ns)
            write_flight(writer, trace, i, free_ns);
}

int dtr_report_trace(const char *path, const struct dtr_session *session, uint32_t devices,
                     struct dtr_error *error) {
    struct dtr_device_trace trace;
    if (!dtr_session_trace(session, 0, &trace))
        return DTR_OK;
    struct writer writer = {
        .file = fopen(path, "w"),
        .origin_ns = trace.schedule->steps_count ? trace.begin_ns[0] : 0,
        .first = true,
    };
    if (!writer.file)
        return dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", writer.file);
    for (uint32_t i = 0; i < devices; i++)
        if (dtr_session_trace(session, i, &trace))
            write_device(&writer, &trace);
    fputs("\n]}\n", writer.file);
    const int failed = ferror(writer.file);
    if (fclose(writer.file) || failed)
        return dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    return DTR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "plan/schedule.h"

#include "plan/route.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void dtr_schedule_free(struct dtr_schedule *schedule) {
    if (!schedule)
        return;
    free(schedule->lengths);
    free(schedule->buffers);
    free(schedule->steps);
    free(schedule->weights);
    free(schedule->collectives);
    free(schedule->messages);
    free(schedule->views);
    free(schedule->spans);
    free(schedule->rows);
    free(schedule->layer_output);
    free(schedule);
}

void dtr_schedules_free(struct dtr_schedule **schedules, uint32_t count) {
    for (uint32_t i = 0; schedules && i < count; i++)
        dtr_schedule_free(schedules[i]);
    free(schedules);
}

const char *dtr_step_kind_name(enum dtr_step_kind kind) {
    static const char *const names[DTR_STEP_KINDS] = {
        [DTR_STEP_EMBED] = "embed",         [DTR_STEP_LINEAR] = "linear",
        [DTR_STEP_ATTENTION] = "attention", [DTR_STEP_ADD_NORM] = "add-norm",
        [DTR_STEP_MOMENTS] = "moments",     [DTR_STEP_MERGE] = "merge",
        [DTR_STEP_NORMALISE] = "normalise", [DTR_STEP_COPY] = "copy",
        [DTR_STEP_START] = "start",         [DTR_STEP_WAIT] = "wait",
    };
    return kind < DTR_STEP_KINDS ? names[kind] : "?";
}

const char *dtr_collective_kind_name(enum dtr_collective_kind kind) {
    static const char *const names[DTR_COLLECTIVE_KINDS] = {
        [DTR_ALL_GATHER] = "all-gather", [DTR_ALL_TO_ALL] = "all-to-all",
        [DTR_GATHER] = "gather",         [DTR_SCATTER] = "scatter",
        [DTR_BROADCAST] = "broadcast",   [DTR_REDUCE_SCATTER] = "reduce-scatter",
        [DTR_ALL_REDUCE] = "all-reduce", [DTR_TRANSFER] = "transfer",
    };
    return kind < DTR_COLLECTIVE_KINDS ? names[kind] : "?";
}

const char *dtr_weight_kind_name(enum dtr_weight_kind kind) {
    static const char *const names[] = {
        [DTR_WEIGHT_QUERY_KEY_VALUE] = "query-key-value",
        [DTR_WEIGHT_QUERY] = "query",
        [DTR_WEIGHT_KEY_VALUE] = "key-value",
        [DTR_WEIGHT_PROJECTION] = "projection",
        [DTR_WEIGHT_FEED_FORWARD_1] = "feed-forward-1",
        [DTR_WEIGHT_FEED_FORWARD_2] = "feed-forward-2",
        [DTR_WEIGHT_ATTENTION_NORM] = "attention-norm",
        [DTR_WEIGHT_OUTPUT_NORM] = "output-norm",
        [DTR_WEIGHT_POOLER] = "pooler",
        [DTR_WEIGHT_CLASSIFIER] = "classifier",
        [DTR_WEIGHT_PREDICTION_DENSE] = "prediction-dense",
        [DTR_WEIGHT_PREDICTION_NORM] = "prediction-norm",
        [DTR_WEIGHT_PREDICTION_DECODER] = "prediction-decoder",
        [DTR_WEIGHT_ANSWER] = "answer",
    };
    return kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

static uint64_t fnv(uint64_t hash, uint64_t value) {
    for (int i = 0; i < 8; i++) {
        hash ^= (value >> (8 * i)) & 0xff;
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t fnv_view(uint64_t hash, const struct dtr_view *view) {
    hash = fnv(hash, (uint64_t)(int64_t)view->buffer);
    hash = fnv(hash, (uint64_t)view->rows.begin << 32 | view->rows.end);
    return fnv(hash, (uint64_t)view->columns.begin << 32 | view->columns.end);
}

static uint64_t fnv_step(uint64_t hash, const struct dtr_step *step) {
    hash = fnv(hash, step->kind | step->flags << 8 | (uint32_t)step->layer << 16);
    hash = fnv(hash, (uint64_t)(uint16_t)step->division << 16 | step->heads);
    hash = fnv(hash, (uint64_t)(uint32_t)step->weight << 32 | (uint32_t)step->collective);
    hash = fnv(hash, (uint64_t)step->list << 32 | step->listed);
    for (int i = 0; i < 3; i++)
        hash = fnv_view(hash, &step->in[i]);
    return fnv_view(hash, &step->out);
}

uint64_t dtr_schedule_digest(const struct dtr_schedule *schedule) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    hash = fnv(hash, (uint64_t)schedule->device << 32 | schedule->devices);
    for (uint32_t i = 0; i < schedule->sequences; i++)
        hash = fnv(hash, schedule->lengths[i]);
    for (uint32_t i = 0; i < schedule->rows_count; i++)
        hash = fnv(hash, schedule->rows[i]);
    for (uint32_t i = 0; i < schedule->steps_count; i++)
        hash = fnv_step(hash, &schedule->steps[i]);
    for (uint32_t i = 0; i < schedule->weights_count; i++) {
        const struct dtr_weight_key *key = &schedule->weights[i];
        hash = fnv(hash,
                   key->kind | (uint32_t)key->layer << 8 | (uint64_t)(uint16_t)key->division << 32);
        hash = fnv(hash, (uint64_t)key->part.begin << 32 | key->part.end);
    }
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        const struct dtr_collective *collective = &schedule->collectives[i];
        hash = fnv(hash, collective->kind | (uint32_t)collective->algorithm << 8 |
                             (uint32_t)collective->wire << 16 | (uint64_t)collective->rounds << 32);
        hash = fnv(hash, (uint64_t)collective->tag << 32 | collective->messages);
    }
    for (uint32_t i = 0; i < schedule->messages_count; i++) {
        const struct dtr_message *message = &schedule->messages[i];
        hash = fnv(hash,
                   message->kind | (uint32_t)message->round << 8 | (uint64_t)message->peer << 32);
        hash = fnv(hash, message->values);
    }
    for (uint32_t i = 0; i < schedule->views_count; i++)
        hash = fnv_view(hash, &schedule->views[i]);
    return hash;
}

static void print_view(const struct dtr_schedule *schedule, const struct dtr_view *view,
                       FILE *out) {
    fprintf(out, "%s[%u:%u,%u:%u]", schedule->buffers[view->buffer].name, view->rows.begin,
            view->rows.end, view->columns.begin, view->columns.end);
}

static void print_collective(const struct dtr_schedule *schedule,
                             const struct dtr_collective *collective, FILE *out) {
    uint64_t sent = 0, received = 0;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &schedule->messages[collective->message + i];
        *(message->kind == DTR_MESSAGE_SEND ? &sent : &received) += message->values;
    }
    fprintf(out, "%s #%u %s, sends %" PRIu64 " values, receives %" PRIu64,
            dtr_collective_kind_name(collective->kind), collective->tag,
            dtr_algorithm_name(collective->algorithm), sent, received);
}

static void print_step(const struct dtr_schedule *schedule, uint32_t index, FILE *out) {
    const struct dtr_step *step = &schedule->steps[index];
    fprintf(out, "%5u  %-9s ", index, dtr_step_kind_name(step->kind));
    if (step->layer < schedule->layers)
        fprintf(out, "layer %u", step->layer);
    else
        fprintf(out, "head");
    if (step->division >= 0)
        fprintf(out, ".%d", step->division);
    fputs("  ", out);
    if (step->collective >= 0)
        print_collective(schedule, &schedule->collectives[step->collective], out);
    if (step->out.buffer >= 0) {
        print_view(schedule, &step->out, out);
        fputs(step->flags & DTR_STEP_ACCUMULATE ? " += " : " = ", out);
        fputs(dtr_step_kind_name(step->kind), out);
        for (int i = 0; i < 3 && step->in[i].buffer >= 0; i++) {
            fputs(i ? ", " : " ", out);
            print_view(schedule, &step->in[i], out);
        }
    }
    if (step->weight >= 0) {
        const struct dtr_weight_key *key = &schedule->weights[step->weight];
        fprintf(out, " by %s[%u:%u]", dtr_weight_kind_name(key->kind), key->part.begin,
                key->part.end);
    }
    fputc('\n', out);
}

void dtr_schedule_print(const struct dtr_schedule *schedule, FILE *out) {
    for (uint32_t i = 0; i < schedule->steps_count; i++)
        print_step(schedule, i, out);
}

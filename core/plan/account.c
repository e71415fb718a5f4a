/* SPDX-License-Identifier: MIT */
#include "plan/account.h"

#include "plan/wire.h"

void dtr_account_collective(const struct dtr_schedule *schedule,
                            const struct dtr_collective *collective, uint64_t *sent_p,
                            uint64_t *received_p) {
    *sent_p = *received_p = 0;
    for (uint32_t i = 0; i < collective->messages; i++) {
        const struct dtr_message *message = &schedule->messages[collective->message + i];
        *(message->kind == DTR_MESSAGE_SEND ? sent_p : received_p) +=
            dtr_wire_bytes(collective->wire, message->rows, message->values);
    }
}

static uint64_t extent(const struct dtr_view *view) {
    return (uint64_t)dtr_range_count(view->rows) * dtr_range_count(view->columns);
}

uint64_t dtr_account_flops(const struct dtr_schedule *schedule, const struct dtr_step *step) {
    if (step->kind == DTR_STEP_LINEAR)
        return 2 * extent(&step->out) * dtr_range_count(step->in[0].columns);
    if (step->kind != DTR_STEP_ATTENTION)
        return 0;
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < step->listed; i++) {
        const struct dtr_span *span = &schedule->spans[step->list + i];
        pairs += (uint64_t)span->query_rows * span->key_rows;
    }
    return 4 * pairs * dtr_range_count(step->out.columns);
}

uint64_t dtr_account_weight(const struct dtr_model_shape *model, const struct dtr_weight_key *key) {
    const bool original = key->division < 0;
    const uint64_t width = original ? model->hidden : model->hidden / model->divisions;
    const uint64_t head_size =
        original ? model->hidden / model->heads : model->sub_attention / model->sub_heads;
    const uint64_t part = dtr_range_count(key->part);
    const uint64_t bias = key->part.begin == 0 ? width : 0;
    switch ((enum dtr_weight_kind)key->kind) {
    case DTR_WEIGHT_QUERY_KEY_VALUE:
        return 3 * part * head_size * (width + 1);
    case DTR_WEIGHT_QUERY:
        return part * head_size * (width + 1);
    case DTR_WEIGHT_KEY_VALUE:
        return 2 * part * head_size * (width + 1);
    case DTR_WEIGHT_PROJECTION:
        return part * head_size * width + bias;
    case DTR_WEIGHT_FEED_FORWARD_1:
        return part * (width + 1);
    case DTR_WEIGHT_FEED_FORWARD_2:
        return part * width + bias;
    case DTR_WEIGHT_ATTENTION_NORM:
    case DTR_WEIGHT_OUTPUT_NORM:
    case DTR_WEIGHT_PREDICTION_NORM:
        return 2 * part;
    default: /* heads: `part` outputs of whole rows */
        return part * (width + 1);
    }
}

uint64_t dtr_account_weight_bytes(const struct dtr_model_shape *model,
                                  const struct dtr_weigher *weigher, uint32_t device,
                                  const struct dtr_weight_key *key) {
    const uint64_t bytes = weigher ? weigher->bytes(weigher->arg, device, key) : 0;
    return bytes ? bytes : sizeof(float) * dtr_account_weight(model, key);
}

void dtr_account_schedule(const struct dtr_schedule *schedule, const struct dtr_model_shape *model,
                          const struct dtr_weigher *weigher, struct dtr_account *account) {
    *account = (struct dtr_account){.arena_bytes = schedule->arena_floats * sizeof(float)};
    for (uint32_t i = 0; i < schedule->collectives_count; i++) {
        uint64_t sent, received;
        dtr_account_collective(schedule, &schedule->collectives[i], &sent, &received);
        account->bytes_sent += sent;
        account->bytes_received += received;
    }
    for (uint32_t i = 0; i < schedule->steps_count; i++)
        account->flops += dtr_account_flops(schedule, &schedule->steps[i]);
    for (uint32_t i = 0; i < schedule->weights_count; i++)
        account->weight_bytes +=
            dtr_account_weight_bytes(model, weigher, schedule->device, &schedule->weights[i]);
}

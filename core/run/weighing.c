/* SPDX-License-Identifier: MIT */
#include "run/weighing.h"

#include <stdlib.h>
#include <string.h>

/* Answers are kept: planners ask for the weights of one layer after the other, over and over. */
enum { ANSWERS = 1024 };

/* What the answer depends on. */
struct question {
    struct dtr_kernels *kernels;
    uint32_t kind, length;
    bool original, first;
};

struct answer {
    struct question question;
    uint64_t bytes;
};

struct dtr_weighing {
    const struct dtr_experiment *experiment;
    struct dtr_plugins *plugins;
    const struct dtr_model *model;
    uint32_t rows_max;
    struct dtr_kernels **kernels; /* [devices]; those of like devices are the same */
    uint8_t *opened;              /* [devices] or it was tried */
    struct answer answers[ANSWERS];
};

int dtr_weighing_create(const struct dtr_experiment *experiment, struct dtr_plugins *plugins,
                        const struct dtr_model *model, uint32_t rows_max,
                        struct dtr_weighing **weighing_p, struct dtr_error *error) {
    struct dtr_weighing *weighing = calloc(1, sizeof *weighing);
    if (!weighing)
        return dtr_fail_memory(error);
    weighing->experiment = experiment;
    weighing->plugins = plugins;
    weighing->model = model;
    weighing->rows_max = rows_max;
    weighing->kernels = calloc(experiment->devices, sizeof *weighing->kernels);
    weighing->opened = calloc(experiment->devices, sizeof *weighing->opened);
    if (!weighing->kernels || !weighing->opened) {
        dtr_weighing_free(weighing);
        return dtr_fail_memory(error);
    }
    *weighing_p = weighing;
    return DTR_OK;
}

/* Of like devices the first owns the kernels. */
static uint32_t owner_of(const struct dtr_weighing *weighing, uint32_t device) {
    uint32_t first = 0;
    while (weighing->kernels[first] != weighing->kernels[device])
        first++;
    return first;
}

void dtr_weighing_free(struct dtr_weighing *weighing) {
    if (!weighing)
        return;
    for (uint32_t i = weighing->experiment->devices; weighing->kernels && i-- > 0;)
        if (owner_of(weighing, i) == i)
            dtr_kernels_close(weighing->kernels[i]);
    free(weighing->kernels);
    free(weighing->opened);
    free(weighing);
}

/* Whether one's plugins say the same as the other's: parameters do not tell what weights take. */
static bool alike(const struct dtr_experiment *experiment, uint32_t a, uint32_t b) {
    const struct dtr_device_settings *one = &experiment->device[a], *other = &experiment->device[b];
    struct dtr_chain x, y;
    struct dtr_error ignored = {0};
    return one->threads == other->threads && one->dtype == other->dtype &&
           !dtr_experiment_chain(experiment, DTR_KERNEL, a, &x, &ignored) &&
           !dtr_experiment_chain(experiment, DTR_KERNEL, b, &y, &ignored) && x.count == y.count &&
           !memcmp(x.plugin, y.plugin, x.count * sizeof x.plugin[0]);
}

static struct dtr_kernels *kernels_of(struct dtr_weighing *weighing, uint32_t device) {
    struct dtr_kernels **kernels = &weighing->kernels[device];
    struct dtr_error ignored = {0};
    if (weighing->opened[device])
        return *kernels;
    weighing->opened[device] = 1;
    for (uint32_t i = 0; i < weighing->experiment->devices; i++)
        if (weighing->kernels[i] && alike(weighing->experiment, i, device))
            return *kernels = weighing->kernels[i];
    if (dtr_kernels_open(weighing->experiment, weighing->plugins, device, NULL, kernels, &ignored))
        *kernels = NULL;
    return *kernels;
}

static struct answer *answer_to(struct dtr_weighing *weighing, const struct question *question) {
    const uint32_t place = question->length * 31 + question->kind * 4 + question->original * 2 +
                           question->first + (uint32_t)((uintptr_t)question->kernels >> 4);
    return &weighing->answers[place % ANSWERS];
}

static bool same(const struct question *a, const struct question *b) {
    return a->kernels == b->kernels && a->kind == b->kind && a->length == b->length &&
           a->original == b->original && a->first == b->first;
}

uint64_t dtr_weighing_bytes(struct dtr_weighing *weighing, uint32_t device,
                            const struct dtr_weight_key *key) {
    const struct question question = {
        .kernels = kernels_of(weighing, device),
        .kind = key->kind,
        .length = dtr_range_count(key->part),
        .original = key->division < 0,
        .first = key->part.begin == 0,
    };
    if (!question.kernels)
        return 0;
    struct answer *answer = answer_to(weighing, &question);
    if (!same(&answer->question, &question))
        *answer = (struct answer){question, dtr_kernels_foretell(question.kernels, weighing->model,
                                                                 key, weighing->rows_max)};
    return answer->bytes;
}

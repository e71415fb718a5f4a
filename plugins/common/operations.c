/* SPDX-License-Identifier: MIT */
#include "operations.h"

#define ALIGNMENT 64u

void dtr_common_open(struct dtr_common *common, const struct dtr_host *host, uint32_t threads) {
    *common = (struct dtr_common){.host = host, .vector = dtr_vector_list()[0], .threads = threads};
}

void dtr_common_close(struct dtr_common *common) {
    common->host->release(common->host, common->scratch);
}

void dtr_common_unprepare(void *self, void *packed) {
    const struct dtr_common *common = self;
    common->host->release(common->host, packed);
}

void *dtr_common_scratch(struct dtr_common *common, size_t bytes) {
    if (bytes <= common->scratch_bytes && common->scratch)
        return common->scratch;
    void *memory = common->host->allocate(common->host, ALIGNMENT, bytes ? bytes : 1);
    if (!memory)
        return NULL;
    common->host->release(common->host, common->scratch);
    common->scratch = memory;
    common->scratch_bytes = bytes;
    return memory;
}

void dtr_common_share(uint32_t total, uint32_t grain, uint32_t parts, uint32_t part,
                      uint32_t *first_p, uint32_t *end_p) {
    const uint64_t grains = total / grain + (total % grain != 0);
    const uint64_t first = grains * part / parts * grain;
    const uint64_t end = grains * (part + 1) / parts * grain;
    *first_p = (uint32_t)(first < total ? first : total);
    *end_p = (uint32_t)(end < total ? end : total);
}

struct attend {
    const struct dtr_common *common;
    const struct dtr_attention *attention;
    float *scratch;
    size_t scratch_floats; /* of each thread */
};

static void attend(void *arg, uint32_t part) {
    const struct attend *call = arg;
    call->common->vector->attend(call->attention, part, call->common->threads,
                                 call->scratch + part * call->scratch_floats);
}

int dtr_common_attention(void *self, const struct dtr_attention *attention) {
    struct dtr_common *common = self;
    struct attend call = {.common = common, .attention = attention};
    const size_t line = ALIGNMENT / sizeof(float);
    const size_t floats = common->vector->attend_scratch(attention);
    call.scratch_floats = (floats + line - 1) / line * line;
    call.scratch =
        dtr_common_scratch(common, call.scratch_floats * common->threads * sizeof(float));
    if (!call.scratch)
        return DTR_E_MEMORY;
    common->host->parallel(common->host, attend, &call, common->threads);
    return DTR_OK;
}

struct rows {
    const struct dtr_common *common;
    const struct dtr_norm *norm;
    void (*run)(const struct dtr_norm *norm, uint32_t first, uint32_t end);
};

static void run_rows(void *arg, uint32_t part) {
    const struct rows *rows = arg;
    uint32_t first, end;
    dtr_common_share(rows->norm->rows, 1, rows->common->threads, part, &first, &end);
    rows->run(rows->norm, first, end);
}

static int all_rows(const struct dtr_common *common, const struct dtr_norm *norm,
                    void (*run)(const struct dtr_norm *norm, uint32_t first, uint32_t end)) {
    struct rows rows = {.common = common, .norm = norm, .run = run};
    common->host->parallel(common->host, run_rows, &rows, common->threads);
    return DTR_OK;
}

int dtr_common_add_norm(void *self, const struct dtr_norm *norm) {
    const struct dtr_common *common = self;
    return all_rows(common, norm, common->vector->add_norm);
}

int dtr_common_moments(void *self, const struct dtr_norm *norm) {
    const struct dtr_common *common = self;
    return all_rows(common, norm, common->vector->moments);
}

int dtr_common_normalise(void *self, const struct dtr_norm *norm) {
    const struct dtr_common *common = self;
    return all_rows(common, norm, common->vector->normalise);
}

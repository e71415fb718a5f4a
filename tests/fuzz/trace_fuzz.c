/* SPDX-License-Identifier: MIT
 *
 * trace_fuzz.c -- the file with the rate and latency of an emulated network over time, and what is
 * asked of it while messages travel.  Input: 8 bytes that make a time and a size, then the file.
 */
#include "fuzz.h"

#include <string.h>

#include "emulated/trace.h"
#include "plugin/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    struct dtr_services services;
    struct dtr_error error = {0};
    struct trace trace;
    uint32_t number[2] = {0};
    size_t length;
    const uint8_t *numbers = fuzz_take(&bytes, sizeof number, &length);
    memcpy(number, numbers, length);
    dtr_services_init(&services, "fuzz", NULL, NULL);
    const char *path = fuzz_file("trace", bytes.data, bytes.size);
    if (!fuzz_sentence(trace_read(&services.host, path, 5, &trace, &error), &error))
        return 0;
    trace.origin_ns = 1000000007;
    const uint64_t begin = (uint64_t)number[0] * 1000;
    const uint64_t end = trace_end(&trace, begin, number[1]);
    fuzz_need(end >= begin, "the end is before the beginning");
    fuzz_need(trace_rate(&trace, begin) >= 0, "a rate is negative");
    fuzz_need(trace_next(&trace, begin) > begin, "the next change is not later");
    trace_latency(&trace, end);
    trace_free(&trace);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "report/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30 };

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void dtr_progress_begin(struct dtr_progress *progress) {
    *progress = (struct dtr_progress){
        .terminal = isatty(STDERR_FILENO),
        .begin_ns = now_ns(),
    };
}

void dtr_progress_step(struct dtr_progress *progress, const char *what, uint64_t done,
                       uint64_t total) {
    const uint64_t now = now_ns(), second = UINT64_C(1000000000);
    if (!progress->terminal || now - progress->begin_ns < second ||
        now - progress->drawn_ns < second / 10)
        return;
    char bar[BAR + 1];
    const uint64_t filled = total ? BAR * done / total : 0;
    for (uint64_t i = 0; i < BAR; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %llu of %llu", what, bar, (unsigned long long)done,
            (unsigned long long)total);
    fflush(stderr);
    progress->shown = true;
    progress->drawn_ns = now;
}

void dtr_progress_end(struct dtr_progress *progress) {
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

/* SPDX-License-Identifier: MIT */
#include "report/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR = 30 };

void dtr_progress_begin(struct dtr_progress *progress) {
    *progress = (struct dtr_progress){
        .terminal = isatty(STDERR_FILENO),
        .begin_ns = dtr_now_ns(),
    };
}

void dtr_progress_step(struct dtr_progress *progress, const char *what, uint64_t done,
                       uint64_t total) {
    const uint64_t now = dtr_now_ns(), second = DTR_SECOND_NS;
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

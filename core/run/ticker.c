/* SPDX-License-Identifier: MIT */
#include "run/ticker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct dtr_ticker {
    uint64_t (*tick)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
};

static struct timespec after(uint64_t ns) {
    const uint64_t at = dtr_now_ns() + ns;
    return (struct timespec){.tv_sec = (time_t)(at / DTR_SECOND_NS),
                             .tv_nsec = (long)(at % DTR_SECOND_NS)};
}

static void *run(void *arg) {
    struct dtr_ticker *ticker = arg;
    pthread_mutex_lock(&ticker->lock);
    while (!ticker->stop) {
        pthread_mutex_unlock(&ticker->lock);
        const struct timespec next = after(ticker->tick(ticker->arg));
        pthread_mutex_lock(&ticker->lock);
        if (!ticker->stop)
            pthread_cond_timedwait(&ticker->changed, &ticker->lock, &next);
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

static void ticker_free(struct dtr_ticker *ticker) {
    pthread_cond_destroy(&ticker->changed);
    pthread_mutex_destroy(&ticker->lock);
    free(ticker);
}

int dtr_ticker_start(uint64_t (*tick)(void *arg), void *arg, struct dtr_ticker **ticker_p,
                     struct dtr_error *error) {
    struct dtr_ticker *ticker = calloc(1, sizeof *ticker);
    if (!ticker)
        return dtr_fail_memory(error);
    *ticker = (struct dtr_ticker){.tick = tick, .arg = arg};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&ticker->lock, NULL);
    const int failed = pthread_create(&ticker->thread, NULL, run, ticker);
    if (failed) {
        ticker_free(ticker);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start a thread: %s", strerror(failed));
    }
    *ticker_p = ticker;
    return DTR_OK;
}

void dtr_ticker_stop(struct dtr_ticker *ticker) {
    if (!ticker)
        return;
    pthread_mutex_lock(&ticker->lock);
    ticker->stop = true;
    pthread_cond_signal(&ticker->changed);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    ticker_free(ticker);
}

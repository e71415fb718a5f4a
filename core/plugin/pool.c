/* SPDX-License-Identifier: MIT */
#include "plugin/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Waking a thread takes longer than many an operation, so whoever has to wait keeps looking for so
 * long before going to sleep. */
#define PATIENCE_NS UINT64_C(200000)

struct job {
    void (*body)(void *arg, uint32_t index);
    void *arg;
    uint32_t count;
};

struct dtr_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* a job was posted, or the end */
    pthread_cond_t idle; /* the last helper left the job */
    struct job job;
    bool ended;
    /* Guarded like all but `next`, but looked at outside the lock, too. */
    atomic_uint open;   /* helpers may still join the job */
    atomic_uint inside; /* helpers in the job */
    /* The only member changed outside the lock.  Relaxed is enough: the lock that is taken to enter
     * and leave a job orders everything else. */
    atomic_uint next;
    uint32_t helpers;
    pthread_t helper[];
};

static void work(struct dtr_pool *pool, const struct job *job) {
    uint32_t i;
    while ((i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < job->count)
        job->body(job->arg, i);
}

/* Takes the lock as soon as *state is `wanted`, or when patience is at an end.  Others may have the
 * core meanwhile. */
static void lock_when(struct dtr_pool *pool, const atomic_uint *state, unsigned wanted) {
    const uint64_t end = dtr_now_ns() + PATIENCE_NS;
    while (atomic_load_explicit(state, memory_order_relaxed) != wanted ||
           pthread_mutex_trylock(&pool->mutex)) {
        if (dtr_now_ns() > end) {
            pthread_mutex_lock(&pool->mutex);
            return;
        }
        sched_yield();
    }
}

static void *helper_main(void *arg) {
    struct dtr_pool *pool = arg;
    lock_when(pool, &pool->open, true);
    while (!pool->ended) {
        if (!pool->open) {
            pthread_cond_wait(&pool->work, &pool->mutex);
            continue;
        }
        const struct job job = pool->job;
        pool->inside++;
        pthread_mutex_unlock(&pool->mutex);
        work(pool, &job);
        pthread_mutex_lock(&pool->mutex);
        pool->open = false; /* nothing is left to take */
        if (--pool->inside == 0)
            pthread_cond_signal(&pool->idle);
        pthread_mutex_unlock(&pool->mutex);
        lock_when(pool, &pool->open, true);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

void dtr_pool_run(struct dtr_pool *pool, void (*body)(void *arg, uint32_t index), void *arg,
                  uint32_t count) {
    if (!pool->helpers || count < 2) {
        for (uint32_t i = 0; i < count; i++)
            body(arg, i);
        return;
    }
    const struct job job = {.body = body, .arg = arg, .count = count};
    pthread_mutex_lock(&pool->mutex);
    pool->job = job;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->open = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    work(pool, &job);
    lock_when(pool, &pool->inside, 0);
    pool->open = false; /* who wakes up only now is not waited for */
    while (pool->inside)
        pthread_cond_wait(&pool->idle, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

/* Signals are for the thread that runs the session. */
static int start_helpers(struct dtr_pool *pool, uint32_t count) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    while (pool->helpers < count &&
           !(code = pthread_create(&pool->helper[pool->helpers], NULL, helper_main, pool))) {
        pthread_setname_np(pool->helper[pool->helpers], "dtr-compute");
        pool->helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int dtr_pool_create(uint32_t threads, struct dtr_pool **pool_p, struct dtr_error *error) {
    const uint32_t helpers = threads > 1 ? threads - 1 : 0;
    struct dtr_pool *pool = calloc(1, sizeof *pool + helpers * sizeof pool->helper[0]);
    if (!pool)
        return dtr_fail_memory(error);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->idle, NULL);
    const int code = start_helpers(pool, helpers);
    if (code) {
        dtr_pool_free(pool);
        return dtr_fail(error, DTR_E_SYSTEM, "cannot start %u threads: %s", threads,
                        strerror(code));
    }
    *pool_p = pool;
    return DTR_OK;
}

void dtr_pool_threads(const struct dtr_pool *pool, dtr_thread_visit *visit, void *arg) {
    for (uint32_t i = 0; i < pool->helpers; i++)
        visit(arg, i + 1, pool->helper[i]);
}

void dtr_pool_free(struct dtr_pool *pool) {
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->ended = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->helpers; i++)
        pthread_join(pool->helper[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

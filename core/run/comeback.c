/* SPDX-License-Identifier: MIT
 *
 * comeback.c -- the threads beside the session's: one hangs up on workers that have fallen silent,
 * the other brings lost ones back.  A process is started by a thread that lives as long as the
 * session, since the kernel ends a worker with the thread that started it.
 */
#include "run/group.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"

/* A worker that falls again and again is started again less and less often. */
#define FIRST_PAUSE_NS UINT64_C(100000000)
enum { MOST_FALLS = 9, STEADY_S = 20, START_S = 20 };
#define LOOK_NS UINT64_C(20000000)

/* --- silence ---------------------------------------------------------------------------------- */

/* A process that is being started says nothing for a while. */
static uint64_t silence(const struct dtr_peer *peer, uint64_t now_ns) {
    const uint64_t heard_ns = dtr_channel_heard_ns(peer->channel);
    const uint64_t grace_ns = START_S * DTR_SECOND_NS;
    uint64_t since_ns = heard_ns ? heard_ns : peer->started_ns + grace_ns;
    if (since_ns < peer->session->resumed_ns)
        since_ns = peer->session->resumed_ns;
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

/* When this thread was held up, so were those that take in what workers say. */
static uint64_t look_for_silence(void *arg) {
    struct dtr_session *session = arg;
    const uint64_t most_ns = session->experiment->lost_after_ns, now_ns = dtr_now_ns();
    const uint64_t since_ns = now_ns - session->watched_ns;
    session->watched_ns = now_ns;
    if (since_ns > most_ns / 2 + LOOK_NS)
        session->resumed_ns = now_ns;
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        pthread_mutex_lock(&session->lock);
        const uint64_t silent_ns = peer->channel ? silence(peer, now_ns) : 0;
        if (silent_ns > most_ns && !atomic_load(&peer->lost)) {
            atomic_store(&peer->silent_ns, silent_ns);
            dtr_channel_hang_up(peer->channel);
        }
        pthread_mutex_unlock(&session->lock);
    }
    return most_ns / 10 < LOOK_NS ? most_ns / 10 : LOOK_NS;
}

/* --- coming back ------------------------------------------------------------------------------ */

static void bring_back(struct dtr_peer *peer) {
    struct dtr_session *session = peer->session;
    struct dtr_error error = {0};
    char how[64];
    if (!dtr_peer_start(peer, &error) && !atomic_load(&peer->lost)) {
        dtr_log(session->log, DTR_LOG_INFO, "device %u is there again", peer->device);
        atomic_store(&peer->state, DTR_PEER_READY);
        atomic_store(&session->returned, true);
        return;
    }
    dtr_log(session->log, DTR_LOG_DEBUG, "device %u cannot be brought back: %s", peer->device,
            error.text);
    dtr_peer_stop(peer, 0, how, sizeof how);
    dtr_comeback_add(peer);
}

static uint64_t bring_all_back(void *arg) {
    struct dtr_session *session = arg;
    for (uint32_t i = 1; i < session->devices; i++) {
        struct dtr_peer *peer = &session->peers[i];
        if (atomic_load(&peer->state) == DTR_PEER_DOWN && dtr_now_ns() >= peer->due_ns &&
            !atomic_load(&session->closing))
            bring_back(peer);
    }
    return LOOK_NS;
}

/* What a launcher has started is not started again. */
static bool can_come_back(const struct dtr_session *session) {
    return strcmp(session->experiment->launch, "local") == 0 ||
           strcmp(session->experiment->launch, "remote") == 0;
}

void dtr_comeback_add(struct dtr_peer *peer) {
    const uint64_t now_ns = dtr_now_ns();
    if (peer->member_ns && now_ns - peer->member_ns > STEADY_S * DTR_SECOND_NS)
        peer->falls = 0;
    peer->member_ns = 0;
    peer->due_ns =
        now_ns + (FIRST_PAUSE_NS << (peer->falls < MOST_FALLS ? peer->falls : MOST_FALLS));
    peer->falls++;
    atomic_store(&peer->state, can_come_back(peer->session) ? DTR_PEER_DOWN : DTR_PEER_GONE);
}

int dtr_comeback_start(struct dtr_session *session, struct dtr_error *error) {
    session->watched_ns = dtr_now_ns();
    const int status = dtr_ticker_start(look_for_silence, session, &session->watch, error);
    return status ? status : dtr_ticker_start(bring_all_back, session, &session->comeback, error);
}

void dtr_comeback_stop(struct dtr_session *session) {
    dtr_ticker_stop(session->watch);
    dtr_ticker_stop(session->comeback);
    session->watch = session->comeback = NULL;
}

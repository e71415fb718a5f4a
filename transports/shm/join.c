/* SPDX-License-Identifier: MIT
 *
 * join.c -- how the devices of a group find each other: each publishes its lanes, writes its proof
 * into its lane of every peer, and is done when every peer's proof has come in and holds.
 */
#include "config.h"

#include "shm/shm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK_NS UINT64_C(1000000) /* between two looks at peers that are not there yet */

/* --- one peer --- */

static struct proof_claim claim_of(const struct shm *shm, uint32_t peer, bool own) {
    const uint8_t *mine = shm->head.nonce, *theirs = shm->peer[peer].head.nonce;
    return (struct proof_claim){
        .epoch = shm->head.epoch,
        .devices = shm->head.devices,
        .from = own ? shm->head.device : peer,
        .to = own ? peer : shm->head.device,
        .nonce_from = own ? mine : theirs,
        .nonce_to = own ? theirs : mine,
    };
}

static void attach_lane(struct shm *shm, const struct dtr_group *group, uint32_t index) {
    struct shm_peer *peer = &shm->peer[index];
    int fd;
    peer->why = lanes_open(&peer->address, peer->directory, &peer->head, &fd);
    if (peer->why == EAGAIN)
        peer->why = 0;
    else if (!peer->why) {
        /* Not this epoch's: it has not joined yet, or we are late; the deadline decides. */
        if (peer->head.epoch == group->epoch && peer->head.devices == group->devices &&
            peer->head.device == index)
            peer->why = lane_attach(fd, &peer->head, group->device, &peer->lane);
        close(fd);
    }
    if (!peer->lane)
        return;
    const struct proof_claim claim = claim_of(shm, index, true);
    proof_make(&claim, group->key, peer->lane->proof);
    atomic_store(&peer->lane->attached, 1);
    bell_ring(&peer->directory->bell);
    peer->out = (struct ring_end){
        .ring = &peer->lane->ring, .bytes = peer->head.ring_bytes, .other = &peer->directory->bell};
    peer->in = (struct ring_end){
        .ring = &peer->own->ring, .bytes = shm->head.ring_bytes, .other = &peer->directory->bell};
}

static int verify(struct shm *shm, const struct dtr_group *group, uint32_t index,
                  struct dtr_error *error) {
    struct shm_peer *peer = &shm->peer[index];
    if (!atomic_load(&peer->own->attached))
        return DTR_OK;
    uint8_t proof[PROOF_BYTES];
    memcpy(proof, peer->own->proof, sizeof proof);
    const struct proof_claim claim = claim_of(shm, index, false);
    if (!proof_holds(&claim, group->key, proof))
        return shm->host->fail(error, DTR_E_PEER, "rank %u does not hold the group's key", index);
    peer->verified = true;
    return DTR_OK;
}

static int connect_peer(struct shm *shm, const struct dtr_group *group, uint32_t index,
                        struct dtr_error *error) {
    struct shm_peer *peer = &shm->peer[index];
    if (!peer->directory)
        peer->why = directory_attach(&peer->address, &peer->directory_fd, &peer->directory);
    const bool dead =
        peer->directory ? directory_is_orphan(peer->directory_fd) : peer->why == ENOENT;
    if (peer->directory && !peer->lane)
        attach_lane(shm, group, index);
    const int status = peer->lane ? verify(shm, group, index, error) : DTR_OK;
    /* One that joined and ended since is found lost later; what it wrote can be read. */
    if (!status && !peer->verified && dead)
        return shm->host->fail(error, DTR_E_PEER, "rank %u (process %d) has ended", index,
                               (int)peer->address.pid);
    return status;
}

/* --- the group --- */

static int read_addresses(struct shm *shm, const struct dtr_group *group, struct dtr_error *error) {
    for (uint32_t i = 0; i < group->devices; i++) {
        struct shm_peer *peer = &shm->peer[i];
        if (i == group->device)
            continue;
        if (!shm_address_parse(group->addresses[i], &peer->address))
            return shm->host->fail(error, DTR_E_CONFIG,
                                   "'%.80s' is no address of the transport 'shm'",
                                   group->addresses[i]);
        peer->own = lanes_at(shm->lanes, i, shm->head.ring_bytes);
    }
    return DTR_OK;
}

static int late(const struct shm *shm, struct dtr_error *error) {
    for (uint32_t i = 0; i < shm->head.devices; i++) {
        const struct shm_peer *peer = &shm->peer[i];
        if (i != shm->head.device && !peer->verified)
            return shm->host->fail(error, DTR_E_TIMEOUT,
                                   "rank %u (process %d) has not joined in time%s%s", i,
                                   (int)peer->address.pid, peer->why ? ": " : "",
                                   peer->why ? strerror(peer->why) : "");
    }
    return DTR_E_TIMEOUT;
}

static int connect_missing(struct shm *shm, const struct dtr_group *group, uint32_t *missing_p,
                           struct dtr_error *error) {
    *missing_p = 0;
    for (uint32_t i = 0; i < group->devices; i++) {
        if (i == group->device || shm->peer[i].verified)
            continue;
        const int status = connect_peer(shm, group, i, error);
        if (status)
            return status;
        *missing_p += !shm->peer[i].verified;
    }
    return DTR_OK;
}

static int connect_all(struct shm *shm, const struct dtr_group *group, uint64_t deadline_ns,
                       struct dtr_error *error) {
    const struct dtr_host *host = shm->host;
    struct bell *bell = &shm->directory->bell;
    uint32_t missing = 1;
    int status = DTR_OK;
    while (!status && missing) {
        const uint32_t seen = bell_lie_down(bell);
        status = connect_missing(shm, group, &missing, error);
        if (!status && exchange_verdict(&shm->exchange) < 0)
            status = host->fail(error, DTR_E_ABORTED, "joining the group was aborted");
        if (!status && missing && host->now_ns(host) >= deadline_ns)
            status = late(shm, error);
        if (!status && missing)
            bell_sleep(bell, seen, LOOK_NS);
        bell_get_up(bell);
    }
    return status;
}

static uint64_t power_of_two(uint64_t bytes) {
    uint64_t power = 4096;
    while (power < bytes)
        power *= 2;
    return power;
}

static int prepare(struct shm *shm, const struct dtr_group *group, struct dtr_error *error) {
    const struct dtr_host *host = shm->host;
    shm->head = (struct lanes_head){.epoch = group->epoch,
                                    .ring_bytes = power_of_two(shm->params->ring),
                                    .devices = group->devices,
                                    .device = group->device};
    memcpy(shm->head.cookie, shm->cookie, COOKIE_BYTES);
    if (!proof_nonce(shm->head.nonce))
        return host->fail(error, DTR_E_SYSTEM, "no random numbers");
    const int cause = lanes_create(&shm->head, &shm->lanes_fd, &shm->lanes);
    if (cause) {
        shm->lanes_fd = -1;
        return host->fail(error, DTR_E_SYSTEM, "shared memory for %u devices: %s", group->devices,
                          strerror(cause));
    }
    return read_addresses(shm, group, error);
}

int shm_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error) {
    struct shm *shm = self;
    const struct dtr_host *host = shm->host;
    if (shm->lanes_fd >= 0 || !shm->directory)
        return host->fail(error, DTR_E_CONFIG, "join() without address(), or without leave()");
    int status = exchange_begin(&shm->exchange, group->devices, group->device);
    if (status)
        return host->fail(error, status, "out of memory");
    shm->peer = host->allocate(host, 64, group->devices * sizeof *shm->peer);
    if (!shm->peer) {
        exchange_end(&shm->exchange);
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    }
    memset(shm->peer, 0, group->devices * sizeof *shm->peer);
    for (uint32_t i = 0; i < group->devices; i++)
        shm->peer[i].directory_fd = -1;
    status = prepare(shm, group, error);
    if (!status) {
        atomic_store_explicit(&shm->directory->lanes, (uint32_t)shm->lanes_fd + 1,
                              memory_order_release);
        status = connect_all(shm, group, deadline_ns, error);
    }
    if (status) {
        shm_leave(shm);
        return status;
    }
    shm->looked_ns = host->now_ns(host);
    return DTR_OK;
}

void shm_part(struct shm_peer *peer) {
    if (peer->own)
        atomic_store(&peer->own->left, 1);
    if (peer->directory)
        bell_ring(&peer->directory->bell);
}

static void drop_peer(struct shm_peer *peer) {
    shm_part(peer);
    lane_unmap(peer->lane, peer->head.ring_bytes);
    directory_unmap(peer->directory);
    if (peer->directory_fd >= 0)
        close(peer->directory_fd);
}

void shm_leave(void *self) {
    struct shm *shm = self;
    if (!shm->peer)
        return;
    atomic_store(&shm->directory->lanes, 0);
    for (uint32_t i = 0; i < shm->exchange.devices; i++)
        drop_peer(&shm->peer[i]);
    shm->host->release(shm->host, shm->peer);
    shm->peer = NULL;
    if (shm->lanes_fd >= 0) {
        munmap(shm->lanes, lanes_size(shm->head.devices, shm->head.ring_bytes));
        close(shm->lanes_fd);
    }
    shm->lanes_fd = -1;
    exchange_end(&shm->exchange);
}

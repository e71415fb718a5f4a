/* SPDX-License-Identifier: MIT
 *
 * join.c -- the group forms over TCP, each tells the others over these connections how its endpoint
 * is called, and all make sure that the fabric carries packets both ways.
 */
#include "config.h"

#include "rdma/rdma.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/proof.h"

#define LOOK_NS UINT64_C(2000000)
#define FLUSH_NS UINT64_C(200000000)

static const uint8_t card_magic[8] = {'D', 'T', 'R', 'R', 'D', 'M', 'A', '1'};

/* What a device tells each other about its endpoint. */
struct card {
    uint8_t magic[8];
    char provider[64];
    uint64_t token;      /* little endian: that it wants to see */
    uint32_t name_bytes; /* little endian */
    uint32_t reserved;
    uint8_t name[FABRIC_NAME_MAX];
};
_Static_assert(sizeof(struct card) == 88 + FABRIC_NAME_MAX, "the card has no holes");

/* What a join needs besides the endpoint. */
struct joining {
    struct rdma *rdma;
    const struct dtr_group *group;
    uint64_t deadline_ns;
    struct card own, *card; /* [devices] */
    size_t *have;           /* [devices] bytes of the card that came */
};

/* --- cards --- */

static int send_cards(const struct joining *joining, struct dtr_error *error) {
    const struct rdma *rdma = joining->rdma;
    for (uint32_t i = 0; i < rdma->devices; i++) {
        if (i == rdma->device)
            continue;
        /* A new connection has room for so little. */
        const ssize_t sent =
            send(rdma->line[i].fd, &joining->own, sizeof joining->own, MSG_NOSIGNAL);
        if (sent != sizeof joining->own)
            return rdma->host->fail(error, DTR_E_PEER, "rank %u at %s has ended", i,
                                    rdma->line[i].text);
    }
    return DTR_OK;
}

static int read_card(struct joining *joining, uint32_t index, struct dtr_error *error) {
    const struct rdma *rdma = joining->rdma;
    size_t *have = &joining->have[index];
    const ssize_t got = recv(rdma->line[index].fd, (uint8_t *)&joining->card[index] + *have,
                             sizeof(struct card) - *have, MSG_DONTWAIT);
    if (!got || (got < 0 && errno != EAGAIN && errno != EINTR))
        return rdma->host->fail(error, DTR_E_PEER, "rank %u at %s has ended", index,
                                rdma->line[index].text);
    if (got > 0)
        *have += (size_t)got;
    return DTR_OK;
}

static int check_abort(const struct joining *joining, struct dtr_error *error) {
    if (atomic_load(&joining->rdma->aborted))
        return joining->rdma->host->fail(error, DTR_E_ABORTED, "joining the group was aborted");
    return DTR_OK;
}

static bool is_late(const struct joining *joining) {
    const struct dtr_host *host = joining->rdma->host;
    return host->now_ns(host) >= joining->deadline_ns;
}

static int await_cards(struct joining *joining, struct dtr_error *error) {
    const struct rdma *rdma = joining->rdma;
    for (;;) {
        uint32_t missing = rdma->devices;
        for (uint32_t i = 0; i < rdma->devices; i++) {
            const bool wanted = i != rdma->device && joining->have[i] < sizeof(struct card);
            const int status = wanted ? read_card(joining, i, error) : DTR_OK;
            if (status)
                return status;
            rdma->poll[i] = (struct pollfd){.fd = -1, .events = POLLIN};
            if (wanted && joining->have[i] < sizeof(struct card)) {
                rdma->poll[i].fd = rdma->line[i].fd;
                missing = i;
            }
        }
        if (missing == rdma->devices)
            return DTR_OK;
        const int status = check_abort(joining, error);
        if (status)
            return status;
        if (is_late(joining))
            return rdma->host->fail(error, DTR_E_TIMEOUT, "rank %u at %s did not answer in time",
                                    missing, rdma->line[missing].text);
        rdma->poll[rdma->devices] = (struct pollfd){.fd = rdma->bell, .events = POLLIN};
        meet_poll(rdma->host, rdma->poll, rdma->devices + 1, joining->deadline_ns);
    }
}

static int take_card(struct joining *joining, uint32_t index, struct dtr_error *error) {
    struct rdma *rdma = joining->rdma;
    struct card *card = &joining->card[index];
    card->provider[sizeof card->provider - 1] = '\0';
    if (memcmp(card->magic, card_magic, sizeof card_magic) ||
        le32toh(card->name_bytes) > FABRIC_NAME_MAX)
        return rdma->host->fail(error, DTR_E_CORRUPT, "rank %u speaks another version", index);
    if (strcmp(card->provider, joining->own.provider))
        return rdma->host->fail(error, DTR_E_CONFIG,
                                "rank %u uses the provider '%.63s', this one '%s'; name one in "
                                "[transport.rdma]",
                                index, card->provider, joining->own.provider);
    rdma->peer[index].token = le64toh(card->token);
    memcpy(rdma->peer[index].name, card->name, sizeof card->name);
    rdma->peer[index].name[sizeof card->name - 1] = '\0';
    const int code = fabric_add(&rdma->fabric, card->name, &rdma->peer[index].address);
    return code ? fabric_fail(&rdma->fabric, code, "a peer's address", error) : DTR_OK;
}

static int exchange_cards(struct joining *joining, struct dtr_error *error) {
    int status = send_cards(joining, error);
    if (!status)
        status = await_cards(joining, error);
    for (uint32_t i = 0; i < joining->rdma->devices && !status; i++)
        if (i != joining->rdma->device)
            status = take_card(joining, i, error);
    return status;
}

/* --- through the fabric --- */

static bool is_ready(const struct rdma *rdma, uint32_t *missing_p) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (i != rdma->device && !rdma->peer[i].ready) {
            *missing_p = i;
            return false;
        }
    return true;
}

/* One that has joined and left since is found lost later. */
static int check_lines(struct rdma *rdma, struct dtr_error *error) {
    char byte;
    for (uint32_t i = 0; i < rdma->devices; i++) {
        if (i == rdma->device || rdma->peer[i].ready)
            continue;
        if (!rdma->peer[i].lost && recv(rdma->line[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0)
            continue;
        rdma_drain(rdma);
        if (!rdma->peer[i].ready)
            return rdma->host->fail(error, DTR_E_PEER,
                                    "rank %u at %s has ended, or cannot be reached through the "
                                    "provider '%s'",
                                    i, rdma->line[i].text, fabric_provider(&rdma->fabric));
    }
    return DTR_OK;
}

static int greet_all(struct joining *joining, struct dtr_error *error) {
    struct rdma *rdma = joining->rdma;
    uint32_t missing = 0;
    int status = rdma_begin(rdma);
    for (uint32_t i = 0; i < rdma->devices && !status; i++)
        if (i != rdma->device)
            status = rdma_greet(rdma, i);
    if (status)
        return rdma->host->fail(error, status, "out of memory, or of memory to register");
    /* What was said must be out, too: the others wait for it. */
    while (!is_ready(rdma, &missing) || rdma_is_busy(rdma)) {
        const bool any = rdma_progress(rdma);
        status = check_abort(joining, error);
        if (!status)
            status = check_lines(rdma, error);
        if (status)
            return status;
        if (is_late(joining))
            return rdma->host->fail(error, DTR_E_TIMEOUT,
                                    "rank %u at %s was not reached through the provider '%s' in "
                                    "time",
                                    missing, rdma->line[missing].text,
                                    fabric_provider(&rdma->fabric));
        if (!any)
            rdma->host->sleep_until(rdma->host, rdma->host->now_ns(rdma->host) + LOOK_NS / 10);
    }
    return DTR_OK;
}

/* --- join and leave --- */

static int prepare_card(struct joining *joining, struct dtr_error *error) {
    struct rdma *rdma = joining->rdma;
    struct card *own = &joining->own;
    uint8_t nonce[PROOF_BYTES];
    size_t bytes;
    const int status = fabric_listen(&rdma->fabric, rdma->devices, own->name, &bytes, error);
    if (status)
        return status;
    if (!proof_nonce(nonce))
        return rdma->host->fail(error, DTR_E_SYSTEM, "no random numbers");
    memcpy(&rdma->token, nonce, sizeof rdma->token);
    memcpy(own->magic, card_magic, sizeof card_magic);
    strncpy(own->provider, fabric_provider(&rdma->fabric), sizeof own->provider - 1);
    own->token = htole64(rdma->token);
    own->name_bytes = htole32((uint32_t)bytes);
    return DTR_OK;
}

static int form(struct joining *joining, struct dtr_error *error) {
    struct rdma *rdma = joining->rdma;
    const struct meeting meeting = {.host = rdma->host,
                                    .transport = "rdma",
                                    .place = &rdma->place,
                                    .group = joining->group,
                                    .bell = rdma->bell,
                                    .aborted = &rdma->aborted,
                                    .peer_timeout_ms = (uint32_t)rdma->params->peer_timeout_ms,
                                    .deadline_ns = joining->deadline_ns};
    int status = prepare_card(joining, error);
    if (!status)
        status = meet(&meeting, rdma->line, error);
    if (status)
        return status;
    status = exchange_cards(joining, error);
    return status ? status : greet_all(joining, error);
}

static bool allocate(struct joining *joining) {
    struct rdma *rdma = joining->rdma;
    const struct dtr_host *host = rdma->host;
    const uint32_t devices = joining->group->devices;
    rdma->line = host->allocate(host, 64, devices * sizeof *rdma->line);
    rdma->peer = host->allocate(host, 64, devices * sizeof *rdma->peer);
    rdma->poll = host->allocate(host, 64, (devices + 2) * sizeof *rdma->poll);
    joining->card = host->allocate(host, 64, devices * sizeof *joining->card);
    joining->have = host->allocate(host, 64, devices * sizeof *joining->have);
    rdma->devices = devices;
    rdma->device = joining->group->device;
    if (!rdma->line || !rdma->peer || !rdma->poll || !joining->card || !joining->have)
        return false;
    memset(rdma->peer, 0, devices * sizeof *rdma->peer);
    memset(joining->have, 0, devices * sizeof *joining->have);
    for (uint32_t i = 0; i < devices; i++)
        rdma->line[i].fd = -1;
    return true;
}

int rdma_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
              struct dtr_error *error) {
    struct rdma *rdma = self;
    const struct dtr_host *host = rdma->host;
    struct joining joining = {.rdma = rdma, .group = group, .deadline_ns = deadline_ns};
    if (rdma->devices || rdma->place.listener < 0)
        return host->fail(error, DTR_E_CONFIG, "join() without address(), or without leave()");
    rdma->changed = false;
    rdma->lost_peer = -1;
    const int status = allocate(&joining) ? form(&joining, error)
                                          : host->fail(error, DTR_E_MEMORY, "out of memory");
    host->release(host, joining.card);
    host->release(host, joining.have);
    if (status) {
        atomic_store(&rdma->aborted, true); /* there is nobody to take leave of */
        rdma_leave(rdma);
    }
    return status;
}

/* What was handed over is to arrive. */
static void take_leave(struct rdma *rdma) {
    const struct dtr_host *host = rdma->host;
    const uint64_t end = host->now_ns(host) + FLUSH_NS;
    while (rdma_is_busy(rdma) && host->now_ns(host) < end)
        if (!rdma_progress(rdma))
            host->sleep_until(host, host->now_ns(host) + LOOK_NS / 10);
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (rdma->line[i].fd >= 0)
            (void)!send(rdma->line[i].fd, "b", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void rdma_leave(void *self) {
    struct rdma *rdma = self;
    const struct dtr_host *host = rdma->host;
    if (!rdma->devices)
        return;
    if (!atomic_load(&rdma->aborted) && rdma->fabric.ep)
        take_leave(rdma);
    fabric_hang_up(&rdma->fabric);
    meet_part(rdma->line, rdma->line ? rdma->devices : 0);
    if (rdma->peer)
        rdma_end(rdma);
    host->release(host, rdma->line);
    host->release(host, rdma->peer);
    host->release(host, rdma->poll);
    rdma->line = NULL;
    rdma->peer = NULL;
    rdma->poll = NULL;
    rdma->devices = 0;
    atomic_store(&rdma->aborted, false);
    atomic_store(&rdma->woken, false);
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "rdma/memory.h"

#include <string.h>

#define PACKETS 16
#define TRANSFERS 64
#define TABLE_LEAST 256u

struct packet_slab {
    struct packet_slab *next;
    struct fid_mr *region;
    struct packet packet[PACKETS];
};

struct transfer_slab {
    struct transfer_slab *next;
    struct dtr_transfer transfer[TRANSFERS];
};

/* --- packets --- */

static bool more_packets(struct rdma *rdma) {
    const struct dtr_host *host = rdma->host;
    struct packet_slab *slab = host->allocate(host, _Alignof(struct packet_slab), sizeof *slab);
    if (!slab)
        return false;
    if (fabric_register_local(&rdma->fabric, slab->packet, sizeof slab->packet, FI_SEND | FI_RECV,
                              &slab->region)) {
        host->release(host, slab);
        return false;
    }
    slab->next = rdma->packets;
    rdma->packets = slab;
    for (int i = PACKETS - 1; i >= 0; i--) {
        slab->packet[i].descriptor = slab->region ? fi_mr_desc(slab->region) : NULL;
        packet_free(rdma, &slab->packet[i]);
    }
    return true;
}

struct packet *packet_new(struct rdma *rdma) {
    if (!rdma->spare && !more_packets(rdma))
        return NULL;
    struct packet *packet = rdma->spare;
    rdma->spare = packet->next;
    packet->next = NULL;
    packet->transfer = NULL;
    packet->bytes = 0;
    memset(&packet->head, 0, sizeof packet->head);
    return packet;
}

void packet_free(struct rdma *rdma, struct packet *packet) {
    packet->next = rdma->spare;
    rdma->spare = packet;
}

void packet_append(struct packet_queue *queue, struct packet *packet) {
    packet->next = NULL;
    if (queue->last)
        queue->last->next = packet;
    else
        queue->first = packet;
    queue->last = packet;
}

struct packet *packet_take(struct packet_queue *queue) {
    struct packet *packet = queue->first;
    if (!packet)
        return NULL;
    queue->first = packet->next;
    if (!queue->first)
        queue->last = NULL;
    return packet;
}

/* --- transfers --- */

void rdma_transfer_free(struct rdma *rdma, struct dtr_transfer *transfer) {
    transfer->next = rdma->free;
    rdma->free = transfer;
}

static bool more_transfers(struct rdma *rdma) {
    const struct dtr_host *host = rdma->host;
    struct transfer_slab *slab = host->allocate(host, _Alignof(struct transfer_slab), sizeof *slab);
    if (!slab)
        return false;
    slab->next = rdma->transfers;
    rdma->transfers = slab;
    for (int i = TRANSFERS - 1; i >= 0; i--)
        rdma_transfer_free(rdma, &slab->transfer[i]);
    return true;
}

struct dtr_transfer *transfer_new(struct rdma *rdma, uint32_t peer) {
    if (!rdma->free && !more_transfers(rdma))
        return NULL;
    struct dtr_transfer *transfer = rdma->free;
    struct rdma_peer *owner = &rdma->peer[peer];
    rdma->free = transfer->next;
    *transfer = (struct dtr_transfer){.peer = peer, .number = NO_NUMBER, .previous = owner->last};
    if (owner->last)
        owner->last->next = transfer;
    else
        owner->first = transfer;
    owner->last = transfer;
    return transfer;
}

void transfer_unlink(struct rdma *rdma, struct dtr_transfer *transfer) {
    struct rdma_peer *owner = &rdma->peer[transfer->peer];
    if (transfer->previous)
        transfer->previous->next = transfer->next;
    else
        owner->first = transfer->next;
    if (transfer->next)
        transfer->next->previous = transfer->previous;
    else
        owner->last = transfer->previous;
    if (transfer->number != NO_NUMBER)
        rdma->table[transfer->number % rdma->table_size] = NULL;
    transfer->number = NO_NUMBER;
}

/* --- numbers --- */

static bool enlarge_table(struct rdma *rdma) {
    const struct dtr_host *host = rdma->host;
    const uint32_t size = rdma->table_size ? 2 * rdma->table_size : TABLE_LEAST;
    struct dtr_transfer **table = host->allocate(host, 64, size * sizeof(void *));
    if (!table)
        return false;
    memset(table, 0, size * sizeof(void *));
    for (uint32_t i = 0; i < rdma->table_size; i++) {
        struct dtr_transfer *transfer = rdma->table[i];
        if (transfer)
            table[transfer->number % size] = transfer;
    }
    host->release(host, rdma->table);
    rdma->table = table;
    rdma->table_size = size;
    return true;
}

int transfer_number(struct rdma *rdma, struct dtr_transfer *transfer) {
    for (uint32_t tries = 0;; tries++) {
        if (tries == rdma->table_size && !enlarge_table(rdma))
            return DTR_E_MEMORY;
        const uint32_t number = rdma->table_next++ & INT32_MAX;
        if (rdma->table[number % rdma->table_size])
            continue;
        rdma->table[number % rdma->table_size] = transfer;
        transfer->number = number;
        return DTR_OK;
    }
}

struct dtr_transfer *transfer_find(const struct rdma *rdma, uint32_t number) {
    struct dtr_transfer *transfer =
        rdma->table_size ? rdma->table[number % rdma->table_size] : NULL;
    return transfer && transfer->number == number ? transfer : NULL;
}

/* --- all of it --- */

void memory_reset(struct rdma *rdma) {
    rdma->spare = NULL;
    rdma->free = NULL;
    for (struct packet_slab *slab = rdma->packets; slab; slab = slab->next)
        for (int i = PACKETS - 1; i >= 0; i--)
            packet_free(rdma, &slab->packet[i]);
    for (struct transfer_slab *slab = rdma->transfers; slab; slab = slab->next)
        for (int i = TRANSFERS - 1; i >= 0; i--)
            rdma_transfer_free(rdma, &slab->transfer[i]);
    for (uint32_t i = 0; i < rdma->table_size; i++)
        rdma->table[i] = NULL;
}

void memory_free(struct rdma *rdma) {
    const struct dtr_host *host = rdma->host;
    while (rdma->packets) {
        struct packet_slab *slab = rdma->packets;
        rdma->packets = slab->next;
        fabric_release(&slab->region);
        host->release(host, slab);
    }
    while (rdma->transfers) {
        struct transfer_slab *slab = rdma->transfers;
        rdma->transfers = slab->next;
        host->release(host, slab);
    }
    host->release(host, rdma->table);
    rdma->spare = NULL;
    rdma->free = NULL;
    rdma->table = NULL;
    rdma->table_size = 0;
}

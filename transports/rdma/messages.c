/* SPDX-License-Identifier: MIT
 *
 * messages.c -- matching, and what is said through the fabric.
 */
#include "config.h"

#include "rdma/memory.h"

#include <endian.h>
#include <string.h>

#define MAGIC UINT32_C(0x46525444) /* "DTRF" */
#define HEAD sizeof(struct packet_head)
#define BATCH 16
#define WINDOW 16u /* operations for one peer: with more, some providers block each other */
#define RECEIVES_LEAST 32u
#define RECEIVES_EACH 16u
#define QUIET_NS UINT64_C(5000000)    /* nothing has come for so long: nothing more will */
#define LINGER_NS UINT64_C(60000000)  /* at most */
#define LEAVE_NS UINT64_C(1000000000) /* for what is under way to who has taken leave */
#define CANCEL_NS UINT64_C(1000000000)

_Static_assert(HEAD == 56, "the head has no holes");
_Static_assert(offsetof(struct packet, payload) == offsetof(struct packet, head) + HEAD,
               "the payload is right behind the head");

static uint64_t now_of(const struct rdma *rdma) {
    return rdma->host->now_ns(rdma->host);
}

static void doom(struct rdma *rdma, uint32_t peer, const char *why) {
    if (rdma->peer[peer].doomed)
        return;
    rdma->peer[peer].doomed = true;
    rdma->host->log(rdma->host, DTR_LOG_WARN, "rank %u: %s", peer, why);
}

static void finish(struct rdma *rdma, struct dtr_transfer *transfer, int status) {
    struct rdma_peer *peer = &rdma->peer[transfer->peer];
    if (!status)
        *(transfer->receive ? &peer->received : &peer->sent) += transfer->length;
    transfer_unlink(rdma, transfer);
    fabric_release(&transfer->region);
    if (transfer->packet)
        transfer->packet->transfer = NULL;
    transfer->packet = NULL;
    if (transfer->orphaned) {
        rdma->host->release(rdma->host, transfer->buffer);
        rdma_transfer_free(rdma, transfer);
        return;
    }
    transfer->done = true;
    transfer->status = status;
    rdma->changed = true;
}

/* --- out --- */

/* Hands the packet to the provider: 0, -FI_EAGAIN, or what is wrong. */
static ssize_t hand_over(struct rdma *rdma, struct packet *packet) {
    struct rdma_peer *peer = &rdma->peer[packet->peer];
    if (packet->use == PACKET_OUT)
        return fi_send(rdma->fabric.ep, &packet->head, packet->bytes, packet->descriptor,
                       peer->address, packet);
    const struct dtr_transfer *transfer = packet->transfer;
    return fi_writedata(rdma->fabric.ep, transfer->buffer, transfer->length,
                        transfer->region ? fi_mr_desc(transfer->region) : NULL,
                        packet->head.landing, peer->address, packet->head.address, packet->head.key,
                        packet);
}

static void flush(struct rdma *rdma, uint32_t index) {
    struct rdma_peer *peer = &rdma->peer[index];
    while (peer->out.first && !peer->doomed && peer->in_flight < WINDOW) {
        const ssize_t code = hand_over(rdma, peer->out.first);
        if (code == -FI_EAGAIN)
            return;
        if (code) {
            doom(rdma, index, fabric_cause(&rdma->fabric, (int)-code));
            return;
        }
        packet_take(&peer->out);
        peer->in_flight++;
    }
}

static void flush_all(struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (rdma->peer[i].out.first)
            flush(rdma, i);
}

static void put(struct rdma *rdma, uint32_t peer, struct packet *packet, enum packet_use use) {
    const bool idle = !rdma->peer[peer].out.first;
    packet->use = use;
    packet->peer = peer;
    packet_append(&rdma->peer[peer].out, packet);
    if (idle)
        flush(rdma, peer);
}

/* `head` in the order of this machine. */
static void say(struct rdma *rdma, uint32_t peer, struct packet *packet,
                const struct packet_head *head, size_t payload) {
    packet->bytes = HEAD + payload;
    packet->head = (struct packet_head){.magic = htole32(MAGIC),
                                        .kind = htole16(head->kind),
                                        .token = htole64(rdma->peer[peer].token),
                                        .length = htole64(head->length),
                                        .address = htole64(head->address),
                                        .key = htole64(head->key),
                                        .from = htole32(rdma->device),
                                        .tag = htole32(head->tag),
                                        .offer = htole32(head->offer),
                                        .landing = htole32(head->landing)};
    put(rdma, peer, packet, PACKET_OUT);
}

static int say_alone(struct rdma *rdma, uint32_t peer, const struct packet_head *head) {
    struct packet *packet = packet_new(rdma);
    if (!packet)
        return DTR_E_MEMORY;
    say(rdma, peer, packet, head, 0);
    return DTR_OK;
}

int rdma_greet(struct rdma *rdma, uint32_t peer) {
    return say_alone(rdma, peer, &(struct packet_head){.kind = PACKET_READY});
}

int rdma_send(struct rdma *rdma, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
              struct dtr_transfer **transfer_p) {
    if (rdma->peer[peer].lost)
        return rdma->peer[peer].lost;
    struct packet *packet = packet_new(rdma);
    struct dtr_transfer *transfer = packet ? transfer_new(rdma, peer) : NULL;
    const bool small = bytes <= SMALL;
    if (!transfer || (!small && transfer_number(rdma, transfer))) {
        if (transfer) {
            transfer_unlink(rdma, transfer);
            rdma_transfer_free(rdma, transfer);
        }
        if (packet)
            packet_free(rdma, packet);
        return DTR_E_MEMORY;
    }
    transfer->tag = tag;
    transfer->buffer = (unsigned char *)(uintptr_t)buffer;
    transfer->bytes = transfer->length = bytes;
    transfer->state = small ? TRANSFER_PACKET : TRANSFER_OFFERED;
    struct packet_head head = {.kind = PACKET_OFFER, .tag = tag, .length = bytes};
    if (small) {
        head.kind = PACKET_SMALL;
        if (bytes)
            memcpy(packet->payload, buffer, bytes);
        packet->transfer = transfer;
        transfer->packet = packet;
    } else {
        head.offer = transfer->number;
    }
    say(rdma, peer, packet, &head, small ? bytes : 0);
    *transfer_p = transfer;
    return DTR_OK;
}

/* --- in: matching --- */

static struct dtr_transfer *posted(const struct rdma_peer *peer, uint32_t tag) {
    struct dtr_transfer *transfer = peer->first;
    while (transfer &&
           !(transfer->receive && transfer->state == TRANSFER_POSTED && transfer->tag == tag))
        transfer = transfer->next;
    return transfer;
}

/* Tells the sender where to write; what cannot be received is refused, so that it ends there. */
static void take_offer(struct rdma *rdma, struct dtr_transfer *transfer,
                       const struct packet_head *head) {
    struct packet_head answer = {.kind = PACKET_REFUSE, .offer = head->offer};
    int status = transfer->bytes < head->length ? DTR_E_CORRUPT : DTR_OK;
    if (!status && fabric_register(&rdma->fabric, transfer->buffer, head->length, FI_REMOTE_WRITE,
                                   &transfer->region))
        status = DTR_E_SYSTEM;
    if (!status)
        status = transfer_number(rdma, transfer);
    if (!status) {
        transfer->length = head->length;
        transfer->state = TRANSFER_LANDING;
        answer.kind = PACKET_PLACE;
        answer.landing = transfer->number;
        answer.address = fabric_target(&rdma->fabric, transfer->buffer);
        answer.key = fi_mr_key(transfer->region);
    }
    if (say_alone(rdma, transfer->peer, &answer))
        doom(rdma, transfer->peer, "out of memory");
    if (status)
        finish(rdma, transfer, status);
}

static void take_small(struct rdma *rdma, struct dtr_transfer *transfer,
                       const struct packet *packet) {
    const size_t length = packet->head.length;
    if (transfer->bytes < length) {
        finish(rdma, transfer, DTR_E_CORRUPT);
        return;
    }
    if (length)
        memcpy(transfer->buffer, packet->payload, length);
    transfer->length = length;
    finish(rdma, transfer, DTR_OK);
}

static void take(struct rdma *rdma, struct dtr_transfer *transfer, const struct packet *packet) {
    if (packet->head.kind == PACKET_SMALL)
        take_small(rdma, transfer, packet);
    else
        take_offer(rdma, transfer, &packet->head);
}

/* The oldest kept packet with the tag, taken out; NULL: there is none. */
static struct packet *unkeep(struct rdma_peer *peer, uint32_t tag) {
    struct packet *before = NULL, *packet = peer->kept.first;
    while (packet && packet->head.tag != tag) {
        before = packet;
        packet = packet->next;
    }
    if (!packet)
        return NULL;
    if (before)
        before->next = packet->next;
    else
        peer->kept.first = packet->next;
    if (!packet->next)
        peer->kept.last = before;
    peer->kept_bytes -= sizeof *packet;
    return packet;
}

int rdma_receive(struct rdma *rdma, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                 struct dtr_transfer **transfer_p) {
    struct packet *packet = unkeep(&rdma->peer[peer], tag);
    if (!packet && rdma->peer[peer].lost)
        return rdma->peer[peer].lost;
    struct dtr_transfer *transfer = transfer_new(rdma, peer);
    if (!transfer)
        return DTR_E_MEMORY;
    transfer->receive = true;
    transfer->tag = tag;
    transfer->buffer = buffer;
    transfer->bytes = bytes;
    transfer->state = TRANSFER_POSTED;
    if (packet) {
        take(rdma, transfer, packet);
        packet_free(rdma, packet);
    }
    *transfer_p = transfer;
    return DTR_OK;
}

/* --- in: packets --- */

static void post(struct rdma *rdma, struct packet *packet) {
    packet->use = PACKET_IN;
    const ssize_t code = fi_recv(rdma->fabric.ep, &packet->head, HEAD + SMALL, packet->descriptor,
                                 FI_ADDR_UNSPEC, packet);
    if (!code)
        return;
    packet_append(&rdma->unposted, packet);
}

static void repost(struct rdma *rdma) {
    struct packet_queue waiting = rdma->unposted;
    struct packet *packet;
    rdma->unposted = (struct packet_queue){NULL, NULL};
    while ((packet = packet_take(&waiting)))
        post(rdma, packet);
}

static void to_host_order(struct packet_head *head) {
    *head = (struct packet_head){.magic = le32toh(head->magic),
                                 .kind = le16toh(head->kind),
                                 .token = le64toh(head->token),
                                 .length = le64toh(head->length),
                                 .address = le64toh(head->address),
                                 .key = le64toh(head->key),
                                 .from = le32toh(head->from),
                                 .tag = le32toh(head->tag),
                                 .offer = le32toh(head->offer),
                                 .landing = le32toh(head->landing)};
}

/* The peer has a place for what it was offered. */
static void write_to(struct rdma *rdma, const struct packet_head *head) {
    struct dtr_transfer *transfer = transfer_find(rdma, head->offer);
    if (!transfer || transfer->receive || transfer->state != TRANSFER_OFFERED ||
        transfer->peer != head->from) {
        doom(rdma, head->from, "sent a place for nothing");
        return;
    }
    struct packet *packet = packet_new(rdma);
    if (!packet || fabric_register_local(&rdma->fabric, transfer->buffer, transfer->length,
                                         FI_WRITE, &transfer->region)) {
        doom(rdma, head->from, "no memory for a write");
        return;
    }
    packet->transfer = transfer;
    packet->head = *head;
    transfer->packet = packet;
    transfer->state = TRANSFER_WRITING;
    put(rdma, head->from, packet, PACKET_WRITE);
}

static void refused(struct rdma *rdma, const struct packet_head *head) {
    struct dtr_transfer *transfer = transfer_find(rdma, head->offer);
    if (transfer && !transfer->receive && transfer->state == TRANSFER_OFFERED &&
        transfer->peer == head->from)
        finish(rdma, transfer, DTR_OK);
}

/* A message or the offer of one; true when the packet is kept. */
static bool message(struct rdma *rdma, struct packet *packet) {
    struct rdma_peer *peer = &rdma->peer[packet->head.from];
    struct dtr_transfer *transfer = posted(peer, packet->head.tag);
    if (transfer) {
        take(rdma, transfer, packet);
        return false;
    }
    if (peer->kept_bytes > rdma->params->unexpected) {
        doom(rdma, packet->head.from, "sent more than may be kept of what nobody has asked for");
        return false;
    }
    packet_append(&peer->kept, packet);
    peer->kept_bytes += sizeof *packet;
    return true;
}

static bool is_sound(const struct rdma *rdma, const struct packet *packet, size_t bytes) {
    const struct packet_head *head = &packet->head;
    return bytes >= HEAD && head->magic == MAGIC && head->token == rdma->token &&
           head->from < rdma->devices && head->from != rdma->device &&
           bytes - HEAD == (head->kind == PACKET_SMALL ? head->length : 0) &&
           head->length <= PTRDIFF_MAX / 2;
}

/* True when the packet is kept. */
static bool arrived(struct rdma *rdma, struct packet *packet, size_t bytes) {
    to_host_order(&packet->head);
    if (!is_sound(rdma, packet, bytes) || rdma->peer[packet->head.from].lost) {
        rdma->host->log(rdma->host, DTR_LOG_DEBUG, "dropped a packet that is not the group's");
        return false;
    }
    rdma->peer[packet->head.from].ready = true;
    switch (packet->head.kind) {
    case PACKET_SMALL:
    case PACKET_OFFER:
        return message(rdma, packet);
    case PACKET_PLACE:
        write_to(rdma, &packet->head);
        return false;
    case PACKET_REFUSE:
        refused(rdma, &packet->head);
        return false;
    default:
        return false;
    }
}

static void received(struct rdma *rdma, struct packet *packet, size_t bytes) {
    if (arrived(rdma, packet, bytes)) {
        struct packet *fresh = packet_new(rdma);
        if (fresh)
            post(rdma, fresh);
    } else {
        post(rdma, packet);
    }
}

/* --- completions --- */

static void sent(struct rdma *rdma, struct packet *packet) {
    const uint32_t peer = packet->peer;
    rdma->peer[peer].in_flight--;
    if (packet->transfer)
        finish(rdma, packet->transfer, DTR_OK);
    packet_free(rdma, packet);
    flush(rdma, peer);
}

static void landed(struct rdma *rdma, uint64_t number) {
    struct dtr_transfer *transfer = transfer_find(rdma, (uint32_t)number);
    if (transfer && transfer->receive && transfer->state == TRANSFER_LANDING)
        finish(rdma, transfer, DTR_OK);
}

static void complete(struct rdma *rdma, const struct fi_cq_data_entry *entry) {
    struct packet *packet = entry->op_context;
    const bool own = entry->flags & (FI_SEND | FI_WRITE); /* some say of both ends that data came */
    if (entry->flags & FI_REMOTE_CQ_DATA && !own)
        landed(rdma, entry->data);
    else if (packet->use == PACKET_IN)
        received(rdma, packet, entry->len);
    else
        sent(rdma, packet);
}

/* An operation has failed: its peer is lost, be it that or what leads to it. */
static void failed(struct rdma *rdma) {
    struct fi_cq_err_entry entry = {.op_context = NULL};
    if (fi_cq_readerr(rdma->fabric.cq, &entry, 0) != 1 || !entry.op_context)
        return;
    struct packet *packet = entry.op_context;
    if (packet->use == PACKET_IN) {
        if (entry.err != FI_ECANCELED)
            post(rdma, packet);
        return;
    }
    rdma->peer[packet->peer].in_flight--;
    if (!rdma->peer[packet->peer].lost)
        doom(rdma, packet->peer, fabric_cause(&rdma->fabric, entry.err));
    if (packet->transfer)
        packet->transfer->packet = NULL;
    packet_free(rdma, packet);
}

/* True when there was anything. */
static bool collect(struct rdma *rdma) {
    struct fi_cq_data_entry entry[BATCH];
    bool any = false;
    for (;;) {
        const ssize_t count = fi_cq_read(rdma->fabric.cq, entry, BATCH);
        if (count == -FI_EAVAIL)
            failed(rdma);
        else if (count <= 0)
            return any;
        for (ssize_t i = 0; i < count; i++)
            complete(rdma, &entry[i]);
        any = true;
    }
}

/* --- the end of a peer --- */

static void drop_queued(struct rdma *rdma, struct rdma_peer *peer) {
    struct packet *packet;
    while ((packet = packet_take(&peer->out))) {
        if (packet->transfer)
            packet->transfer->packet = NULL;
        packet_free(rdma, packet);
    }
}

/* Messages that came whole can still be received; offers are worth nothing now. */
static void drop_offers(struct rdma *rdma, struct rdma_peer *peer) {
    struct packet_queue kept = peer->kept;
    struct packet *packet;
    peer->kept = (struct packet_queue){NULL, NULL};
    while ((packet = packet_take(&kept))) {
        if (packet->head.kind == PACKET_SMALL) {
            packet_append(&peer->kept, packet);
        } else {
            peer->kept_bytes -= sizeof *packet;
            packet_free(rdma, packet);
        }
    }
}

/* Until the provider is done with the peer's buffers, as far as it gets. */
static void settle(struct rdma *rdma, struct rdma_peer *peer) {
    const uint64_t end = now_of(rdma) + (peer->leaving ? LEAVE_NS : LINGER_NS);
    while (peer->in_flight && now_of(rdma) < end) {
        if (!collect(rdma))
            rdma->host->sleep_until(rdma->host, now_of(rdma) + 200000);
        flush_all(rdma);
    }
}

static void bury(struct rdma *rdma, uint32_t index) {
    struct rdma_peer *peer = &rdma->peer[index];
    if (peer->lost)
        return;
    peer->doomed = true;
    peer->lost = DTR_E_PEER;
    rdma->lost_peer = (int)index;
    drop_queued(rdma, peer);
    drop_offers(rdma, peer);
    settle(rdma, peer);
    if (rdma->line[index].fd >= 0)
        socket_close(rdma->line[index].fd);
    rdma->line[index].fd = -1;
    while (peer->first)
        finish(rdma, peer->first, DTR_E_PEER);
    if (!peer->leaving)
        fabric_sweep(&rdma->fabric, peer->name);
    rdma->changed = true;
}

void rdma_drain(struct rdma *rdma) {
    const uint64_t end = now_of(rdma) + LINGER_NS;
    uint64_t last = now_of(rdma);
    for (uint64_t now = last; now < end && now - last < QUIET_NS; now = now_of(rdma)) {
        if (collect(rdma))
            last = now;
        else
            rdma->host->sleep_until(rdma->host, now + 200000);
    }
}

void rdma_lose(struct rdma *rdma, uint32_t peer, bool took_leave) {
    rdma->peer[peer].leaving = took_leave;
    rdma_drain(rdma);
    bury(rdma, peer);
}

/* --- progress --- */

bool rdma_progress(struct rdma *rdma) {
    if (rdma->unposted.first)
        repost(rdma);
    const bool any = collect(rdma);
    flush_all(rdma);
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (rdma->peer[i].doomed && !rdma->peer[i].lost)
            bury(rdma, i);
    return any;
}

bool rdma_has_queued(const struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (rdma->peer[i].out.first)
            return true;
    return rdma->unposted.first != NULL;
}

bool rdma_is_busy(const struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        if (!rdma->peer[i].lost && (rdma->peer[i].out.first || rdma->peer[i].in_flight))
            return true;
    return false;
}

/* --- cancelling --- */

/* What was offered is sent all the same, from a copy: the peer may wait for it. */
static bool adopt(struct rdma *rdma, struct dtr_transfer *transfer) {
    unsigned char *copy = rdma->host->allocate(rdma->host, 64, transfer->length);
    if (!copy)
        return false;
    memcpy(copy, transfer->buffer, transfer->length);
    transfer->buffer = copy;
    transfer->orphaned = true;
    return true;
}

/* The provider, or the peer, is at the buffer: that has to end first. */
static void await(struct rdma *rdma, const struct dtr_transfer *transfer) {
    const uint32_t peer = transfer->peer;
    const uint64_t end = now_of(rdma) + CANCEL_NS;
    while (!transfer->done && now_of(rdma) < end)
        if (!rdma_progress(rdma))
            rdma->host->sleep_until(rdma->host, now_of(rdma) + 50000);
    if (!transfer->done)
        bury(rdma, peer);
}

void rdma_cancel(struct rdma *rdma, struct dtr_transfer *transfer) {
    const bool alive = !transfer->done && rdma->fabric.ep;
    const bool offered = alive && transfer->state == TRANSFER_OFFERED;
    if (offered && adopt(rdma, transfer))
        return;
    if (offered ||
        (alive && (transfer->state == TRANSFER_LANDING || transfer->state == TRANSFER_WRITING)))
        await(rdma, transfer);
    if (!transfer->done) {
        if (transfer->packet)
            transfer->packet->transfer = NULL;
        transfer_unlink(rdma, transfer);
        fabric_release(&transfer->region);
    }
    rdma_transfer_free(rdma, transfer);
}

/* --- from join to leave --- */

int rdma_begin(struct rdma *rdma) {
    const uint32_t wanted = RECEIVES_EACH * (rdma->devices - 1);
    const uint32_t most = (uint32_t)rdma->fabric.info->rx_attr->size;
    uint32_t count = wanted < RECEIVES_LEAST ? RECEIVES_LEAST : wanted;
    if (most && count > most)
        count = most;
    for (uint32_t i = 0; i < count; i++) {
        struct packet *packet = packet_new(rdma);
        if (!packet)
            return DTR_E_MEMORY;
        post(rdma, packet);
    }
    return DTR_OK;
}

void rdma_end(struct rdma *rdma) {
    for (uint32_t i = 0; i < rdma->devices; i++)
        for (struct dtr_transfer *transfer = rdma->peer[i].first; transfer;
             transfer = transfer->next) {
            fabric_release(&transfer->region);
            if (transfer->orphaned)
                rdma->host->release(rdma->host, transfer->buffer);
        }
    rdma->unposted = (struct packet_queue){NULL, NULL};
    memory_reset(rdma);
}

/* SPDX-License-Identifier: MIT
 *
 * shm.h -- an endpoint of the shared memory transport: its own files, and what it has mapped of
 * its peers'.
 */
#ifndef DTR_SHM_SHM_H
#define DTR_SHM_SHM_H

#include "common/exchange.h"
#include "shm/segment.h"

struct shm_params {
    uint64_t ring;       /* bytes                       */
    uint64_t unexpected; /* bytes                       */
    int64_t spin_us;
};

struct shm_peer {
    struct shm_address address;
    int directory_fd; /* -1: not attached */
    int why;          /* errno of the last try to reach it; 0: not ready yet */
    struct directory *directory;
    struct lanes_head head; /* of its lanes */
    struct lane *lane;      /* that this device writes to */
    struct lane *own;       /* that it writes to, in this device's lanes */
    bool verified;
    struct ring_end out, in;
};

struct shm {
    struct exchange exchange; /* first: its operations are ours */
    const struct dtr_host *host;
    const struct shm_params *params;

    uint8_t cookie[COOKIE_BYTES];
    int directory_fd;
    struct directory *directory;

    int lanes_fd; /* -1: not joined */
    unsigned char *lanes;
    struct lanes_head head;
    struct shm_peer *peer; /* [exchange.devices] */

    uint64_t looked_ns; /* when the peers' processes were last looked at */
};

int shm_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error);
void shm_leave(void *self);

/* Tells the peer that this device will not read what it writes. */
void shm_part(struct shm_peer *peer);

#endif

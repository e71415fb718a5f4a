/* SPDX-License-Identifier: MIT
 *
 * segment.h -- the two anonymous memory files of a device.  The directory lives as long as the
 * endpoint and is what the address names; the lanes live from join() to leave(), one lane for each
 * peer that writes to this device.
 *
 * Both are memfds that peers reach as /proc/PID/fd/N: they have no name in any file system, so the
 * kernel frees them with their last process, however that ends.
 */
#ifndef DTR_SHM_SEGMENT_H
#define DTR_SHM_SEGMENT_H

#include "common/proof.h"
#include "shm/ring.h"

#include <stdbool.h>
#include <sys/types.h>

#define COOKIE_BYTES 16u

/* Shared, one page. */
struct directory {
    uint64_t magic;
    uint8_t cookie[COOKIE_BYTES];
    _Atomic uint32_t lanes; /* descriptor number of the lanes plus one; zero: not joined */
    _Alignas(64) struct bell bell;
    _Alignas(64) _Atomic uint32_t away; /* not 0: the device has left its core to others */
};

/* Shared, the head of the lanes; constant once published. */
struct lanes_head {
    uint64_t magic;
    uint64_t epoch;
    uint64_t ring_bytes;
    uint32_t devices, device;
    uint8_t cookie[COOKIE_BYTES];
    uint8_t nonce[PROOF_BYTES];
};

/* Shared, one for each peer. */
struct lane {
    uint8_t proof[PROOF_BYTES]; /* of the peer that writes here    */
    _Atomic uint32_t attached;  /* the peer has, and `proof` holds */
    _Atomic uint32_t left;      /* the owner has left the group    */
    struct ring ring;
};

/* How to reach a device: "PID/FD/COOKIE". */
struct shm_address {
    pid_t pid;
    int fd;
    uint8_t cookie[COOKIE_BYTES];
};
bool shm_address_parse(const char *text, struct shm_address *address_p);
int shm_address_print(const struct shm_address *address, char *text, size_t bytes);

/* All return 0 or an errno.  The creator holds a lock on its directory, which the kernel takes away
 * with the process, however that ends; attaching to one that is gone gives ENOENT. */
int directory_create(const uint8_t cookie[COOKIE_BYTES], int *fd_p, struct directory **map_p);
int directory_attach(const struct shm_address *address, int *fd_p, struct directory **map_p);
bool directory_is_orphan(int fd);
void directory_unmap(struct directory *directory);

size_t lanes_size(uint32_t devices, uint64_t ring_bytes);
int lanes_create(const struct lanes_head *head, int *fd_p, unsigned char **map_p);
struct lane *lanes_at(unsigned char *map, uint32_t device, uint64_t ring_bytes);

/* Opens a peer's lanes and reads their head; EAGAIN when they are not there yet, or no longer. */
int lanes_open(const struct shm_address *address, const struct directory *directory,
               struct lanes_head *head_p, int *fd_p);
int lane_attach(int fd, const struct lanes_head *head, uint32_t device, struct lane **lane_p);
void lane_unmap(struct lane *lane, uint64_t ring_bytes);

#endif

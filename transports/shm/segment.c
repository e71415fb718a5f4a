/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MAGIC UINT64_C(0x3152494452544444)
#define LANES_MAGIC UINT64_C(0x32454e414c525444)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define RING_LEAST ((uint64_t)1 << 12)
#define RING_MOST ((uint64_t)1 << 30)

static size_t page_round(size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static size_t lane_stride(uint64_t ring_bytes) {
    return page_round(sizeof(struct lane) + ring_bytes);
}

size_t lanes_size(uint32_t devices, uint64_t ring_bytes) {
    return page_round(sizeof(struct lanes_head)) + devices * lane_stride(ring_bytes);
}

/* --- addresses --- */

int shm_address_print(const struct shm_address *address, char *text, size_t bytes) {
    int length = snprintf(text, bytes, "%d/%d/", (int)address->pid, address->fd);
    if (length < 0 || (size_t)length + 2 * COOKIE_BYTES + 1 > bytes)
        return ENAMETOOLONG;
    for (unsigned i = 0; i < COOKIE_BYTES; i++)
        length += snprintf(text + length, 3, "%02x", address->cookie[i]);
    return 0;
}

static bool parse_number(const char **text_p, int least, int *value_p) {
    char *end;
    errno = 0;
    const long value = strtol(*text_p, &end, 10);
    if (errno || end == *text_p || **text_p < '0' || **text_p > '9' || *end != '/' ||
        value < least || value > 1 << 30)
        return false;
    *value_p = (int)value;
    *text_p = end + 1;
    return true;
}

bool shm_address_parse(const char *text, struct shm_address *address_p) {
    static const char digits[] = "0123456789abcdef";
    struct shm_address address;
    int pid;
    if (!parse_number(&text, 1, &pid) || !parse_number(&text, 0, &address.fd))
        return false;
    address.pid = (pid_t)pid;
    if (strlen(text) != 2 * COOKIE_BYTES || strspn(text, digits) != 2 * COOKIE_BYTES)
        return false;
    for (unsigned i = 0; i < COOKIE_BYTES; i++) {
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);
        address.cookie[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    *address_p = address;
    return true;
}

/* --- files --- */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

#define READY_MOST ((size_t)8 << 20) /* bytes of the lanes of one device */

/* Some systems insist on the newest flag, older ones do not know it. */
static int memory_file(const char *name) {
    const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

/* Few devices have all their pages at once, instead of one by one on the first way round. */
static int populate(size_t bytes) {
    return bytes <= READY_MOST ? MAP_POPULATE : 0;
}

static int file_create(const char *name, size_t bytes, int *fd_p, void **map_p) {
    const int fd = memory_file(name);
    if (fd < 0)
        return errno;
    void *map = MAP_FAILED;
    /* Sealed, so that no peer can make our reads and writes fault by cutting the file. */
    if (fchmod(fd, 0600) || ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, SEALS) ||
        (map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | populate(bytes), fd, 0)) ==
            MAP_FAILED) {
        const int cause = errno;
        close(fd);
        return cause;
    }
    *fd_p = fd;
    *map_p = map;
    return 0;
}

/* Opens another process's file and makes sure that it is one of ours and stays as long as it is. */
static int file_open(pid_t pid, int number, int *fd_p, size_t *bytes_p) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, number);
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    struct stat stat;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &stat) || !S_ISREG(stat.st_mode) ||
        stat.st_uid != geteuid() || stat.st_size < 0) {
        close(fd);
        return EPERM;
    }
    *fd_p = fd;
    *bytes_p = (size_t)stat.st_size;
    return 0;
}

/* --- the directory --- */

int directory_create(const uint8_t cookie[COOKIE_BYTES], int *fd_p, struct directory **map_p) {
    void *map;
    int fd;
    const int cause = file_create("detransformer", page_round(sizeof(struct directory)), &fd, &map);
    if (cause)
        return cause;
    struct directory *directory = map;
    struct flock lock = {.l_type = F_WRLCK};
    if (fcntl(fd, F_OFD_SETLK, &lock)) {
        const int refused = errno;
        directory_unmap(directory);
        close(fd);
        return refused;
    }
    directory->magic = DIRECTORY_MAGIC;
    memcpy(directory->cookie, cookie, COOKIE_BYTES);
    *fd_p = fd;
    *map_p = directory;
    return 0;
}

int directory_attach(const struct shm_address *address, int *fd_p, struct directory **map_p) {
    int fd;
    size_t bytes;
    int cause = file_open(address->pid, address->fd, &fd, &bytes);
    if (cause)
        return cause;
    struct directory *map = MAP_FAILED;
    if (bytes != page_round(sizeof *map))
        cause = EPERM;
    else if ((map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        cause = errno;
    else if (map->magic != DIRECTORY_MAGIC || memcmp(map->cookie, address->cookie, COOKIE_BYTES)) {
        directory_unmap(map);
        cause = ENOENT; /* the process that it was has ended */
    }
    if (cause) {
        close(fd);
        return cause;
    }
    *fd_p = fd;
    *map_p = map;
    return 0;
}

bool directory_is_orphan(int fd) {
    struct flock lock = {.l_type = F_RDLCK};
    return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type == F_UNLCK;
}

void directory_unmap(struct directory *directory) {
    if (directory)
        munmap(directory, page_round(sizeof *directory));
}

/* --- the lanes --- */

int lanes_create(const struct lanes_head *head, int *fd_p, unsigned char **map_p) {
    void *map;
    const int cause =
        file_create("detransformer", lanes_size(head->devices, head->ring_bytes), fd_p, &map);
    if (cause)
        return cause;
    memcpy(map, head, sizeof *head);
    ((struct lanes_head *)map)->magic = LANES_MAGIC;
    *map_p = map;
    return 0;
}

struct lane *lanes_at(unsigned char *map, uint32_t device, uint64_t ring_bytes) {
    return (struct lane *)(map + page_round(sizeof(struct lanes_head)) +
                           device * lane_stride(ring_bytes));
}

static bool head_is_sound(const struct lanes_head *head, const struct shm_address *address,
                          size_t bytes) {
    return head->magic == LANES_MAGIC && !memcmp(head->cookie, address->cookie, COOKIE_BYTES) &&
           head->ring_bytes >= RING_LEAST && head->ring_bytes <= RING_MOST &&
           !(head->ring_bytes & (head->ring_bytes - 1)) && head->devices &&
           head->device < head->devices && head->devices <= 1u << 16 &&
           bytes == lanes_size(head->devices, head->ring_bytes);
}

int lanes_open(const struct shm_address *address, const struct directory *directory,
               struct lanes_head *head_p, int *fd_p) {
    const uint32_t published = atomic_load_explicit(&directory->lanes, memory_order_acquire);
    if (!published || published > 1u << 30)
        return EAGAIN;
    int fd;
    size_t bytes;
    if (file_open(address->pid, (int)published - 1, &fd, &bytes))
        return EAGAIN;
    struct lanes_head head;
    if (pread(fd, &head, sizeof head, 0) != sizeof head || !head_is_sound(&head, address, bytes)) {
        close(fd);
        return EAGAIN;
    }
    *head_p = head;
    *fd_p = fd;
    return 0;
}

int lane_attach(int fd, const struct lanes_head *head, uint32_t device, struct lane **lane_p) {
    const size_t stride = lane_stride(head->ring_bytes);
    const size_t offset = page_round(sizeof *head) + device * stride;
    void *map = mmap(NULL, stride, PROT_READ | PROT_WRITE,
                     MAP_SHARED | populate(head->devices * stride), fd, (off_t)offset);
    if (map == MAP_FAILED)
        return errno;
    *lane_p = map;
    return 0;
}

void lane_unmap(struct lane *lane, uint64_t ring_bytes) {
    if (lane)
        munmap(lane, lane_stride(ring_bytes));
}

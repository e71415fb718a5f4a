/* SPDX-License-Identifier: MIT
 *
 * launch.c -- who this process is among those that mpirun or srun started, and a stream of bytes
 * between rank 0 and each of the others.
 *
 * The streams are sockets: the core reads them in threads of its own, and sleeps there, which MPI
 * cannot.  MPI carries the invitation: where rank 0 listens, and a key that nobody else can know.
 */
#include "config.h"

#include "mpi/mpi_transport.h"

#include <errno.h>
#include <ifaddrs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/socket.h"

#define PLACES 16u
#define LOOK_NS UINT64_C(1000000)
#define TRY_NS UINT64_C(2000000000) /* for one place */

/* Where rank 0 can be reached.  Both ends were built from the same source: a plain struct does. */
struct invitation {
    uint8_t key[PROOF_BYTES];
    char host[64]; /* its name: processes of the same host take the first place */
    uint32_t places;
    struct endpoint place[PLACES]; /* the first is the loopback interface's */
};

/* --- the world --- */

/* Set by the launchers of Open MPI, MPICH and Slurm. */
static bool was_launched(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK",
                                        "PMIX_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i]))
            return true;
    return false;
}

int mpi_world(void *self, uint32_t *rank_p, uint32_t *size_p, struct dtr_error *error) {
    struct mpi *mpi = self;
    uint32_t rank = 0, size = 1;
    if (was_launched() || mpi->size) {
        const int status = mpi_start(mpi, error);
        if (status)
            return status;
        rank = (uint32_t)mpi->rank;
        size = (uint32_t)mpi->size;
    }
    *rank_p = rank;
    *size_p = size;
    return DTR_OK;
}

/* --- rank 0 --- */

static void add_place(struct invitation *invitation, const struct sockaddr *address,
                      uint16_t port) {
    struct endpoint place;
    if (invitation->places == PLACES || !endpoint_from(address, port, &place))
        return;
    if (endpoint_is_loopback(&place) == (invitation->places == 0))
        invitation->place[invitation->places++] = place;
}

static int find_places(struct invitation *invitation, uint16_t port) {
    struct ifaddrs *all;
    if (getifaddrs(&all))
        return errno;
    for (const struct ifaddrs *one = all; one && !invitation->places; one = one->ifa_next)
        add_place(invitation, one->ifa_addr, port);
    for (const struct ifaddrs *one = all; one && invitation->places; one = one->ifa_next)
        add_place(invitation, one->ifa_addr, port);
    freeifaddrs(all);
    return invitation->places ? 0 : ENETDOWN;
}

static int invite(struct mpi *mpi, uint32_t rank, uint64_t deadline_ns, struct dtr_error *error) {
    const struct dtr_host *host = mpi->host;
    struct invitation invitation = {.places = 0};
    char text[MPI_MAX_ERROR_STRING];
    int cause = 0;
    if (mpi->listener < 0) {
        if (!proof_nonce(mpi->key))
            return host->fail(error, DTR_E_SYSTEM, "no random numbers");
        cause = socket_listen_everywhere(&mpi->listener);
    }
    if (!cause)
        cause = find_places(&invitation, socket_port(mpi->listener));
    if (cause)
        return host->fail(error, DTR_E_SYSTEM, "cannot listen for the other ranks: %s",
                          strerror(cause));
    memcpy(invitation.key, mpi->key, PROOF_BYTES);
    gethostname(invitation.host, sizeof invitation.host - 1);
    MPI_Request request;
    const int code = MPI_Isend(&invitation, sizeof invitation, MPI_BYTE, (int)rank,
                               MPI_TAG_INVITATION, MPI_COMM_WORLD, &request);
    if (code)
        return host->fail(error, DTR_E_SYSTEM, "MPI: %s", mpi_text(code, text));
    if (mpi_finish(mpi, &request, deadline_ns) == 1)
        return DTR_OK;
    mpi_give_up(mpi);
    return host->fail(error, DTR_E_TIMEOUT, "rank %u does not answer", rank);
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Steps a handshake to its end, or until the deadline. */
static enum handshake_result shake_hands(const struct mpi *mpi, struct handshake *shake,
                                         uint64_t deadline_ns) {
    const struct dtr_host *host = mpi->host;
    const struct handshake_group group = {
        .devices = (uint32_t)mpi->size, .device = (uint32_t)mpi->rank, .key = mpi->key};
    for (;;) {
        struct pollfd ready = {.fd = shake->fd, .events = handshake_events(shake)};
        const int count = poll(&ready, 1, 10);
        const enum handshake_result result =
            count > 0 ? handshake_step(shake, &group) : HANDSHAKE_GOES_ON;
        if (result != HANDSHAKE_GOES_ON)
            return result;
        if (host->now_ns(host) >= deadline_ns)
            return HANDSHAKE_BROKEN;
    }
}

/* One call; strangers are dropped. */
static void answer_one(struct mpi *mpi, uint64_t deadline_ns) {
    const struct dtr_host *host = mpi->host;
    const int fd = accept4(mpi->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct handshake shake;
    if (fd < 0) {
        mpi_doze(mpi, LOOK_NS);
        return;
    }
    const uint64_t now = host->now_ns(host);
    if (!handshake_answer(&shake, fd, now) ||
        shake_hands(mpi, &shake, sooner(now + TRY_NS, deadline_ns)) != HANDSHAKE_READY) {
        close(fd);
        return;
    }
    if (mpi->called[shake.peer] >= 0)
        close(mpi->called[shake.peer]);
    mpi->called[shake.peer] = fd;
}

static int call_in(struct mpi *mpi, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                   struct dtr_error *error) {
    const struct dtr_host *host = mpi->host;
    const int status = invite(mpi, rank, deadline_ns, error);
    if (status)
        return status;
    while (mpi->called[rank] < 0) {
        if (host->now_ns(host) >= deadline_ns) {
            mpi_give_up(mpi);
            return host->fail(error, DTR_E_TIMEOUT, "rank %u has not called in time", rank);
        }
        answer_one(mpi, deadline_ns);
    }
    *fd_p = mpi->called[rank];
    mpi->called[rank] = -1;
    return DTR_OK;
}

/* --- the other ranks --- */

static int await_invitation(struct mpi *mpi, uint64_t deadline_ns, struct invitation *invitation,
                            struct dtr_error *error) {
    const struct dtr_host *host = mpi->host;
    char text[MPI_MAX_ERROR_STRING];
    MPI_Request request;
    const int code = MPI_Irecv(invitation, sizeof *invitation, MPI_BYTE, 0, MPI_TAG_INVITATION,
                               MPI_COMM_WORLD, &request);
    if (code)
        return host->fail(error, DTR_E_SYSTEM, "MPI: %s", mpi_text(code, text));
    if (mpi_finish(mpi, &request, deadline_ns) != 1)
        return host->fail(error, DTR_E_TIMEOUT, "rank 0 sent no invitation in time");
    if (invitation->places > PLACES)
        return host->fail(error, DTR_E_CORRUPT, "rank 0 sent an invitation that makes no sense");
    return DTR_OK;
}

/* A connected stream, or -1 with the reason in errno. */
static int call_place(struct mpi *mpi, const struct endpoint *place, uint64_t deadline_ns) {
    const struct dtr_host *host = mpi->host;
    const uint64_t now = host->now_ns(host);
    const struct handshake_group group = {
        .devices = (uint32_t)mpi->size, .device = (uint32_t)mpi->rank, .key = mpi->key};
    struct handshake shake;
    int fd;
    errno = socket_connect(NULL, place, NULL, &fd);
    if (errno)
        return -1;
    if (handshake_call(&shake, &group, fd, 0, now) &&
        shake_hands(mpi, &shake, sooner(now + TRY_NS, deadline_ns)) == HANDSHAKE_READY)
        return fd;
    const int cause = errno ? errno : ECONNRESET;
    close(fd);
    errno = cause;
    return -1;
}

static int call_out(struct mpi *mpi, uint64_t deadline_ns, int *fd_p, struct dtr_error *error) {
    struct invitation invitation;
    char host[sizeof invitation.host] = "";
    const int status = await_invitation(mpi, deadline_ns, &invitation, error);
    if (status)
        return status;
    memcpy(mpi->key, invitation.key, PROOF_BYTES);
    gethostname(host, sizeof host - 1);
    int cause = ENETUNREACH;
    for (uint32_t i = strncmp(host, invitation.host, sizeof host) ? 1 : 0; i < invitation.places;
         i++) {
        *fd_p = call_place(mpi, &invitation.place[i], deadline_ns);
        if (*fd_p >= 0)
            return DTR_OK;
        cause = errno;
    }
    return mpi->host->fail(error, DTR_E_SYSTEM, "rank 0 cannot be reached: %s", strerror(cause));
}

int mpi_control(void *self, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                struct dtr_error *error) {
    struct mpi *mpi = self;
    const int status = mpi_start(mpi, error);
    if (status)
        return status;
    if (rank >= (uint32_t)mpi->size || (rank == 0) == (mpi->rank == 0))
        return mpi->host->fail(error, DTR_E_CONFIG, "no stream from rank %d to rank %u", mpi->rank,
                               rank);
    return rank ? call_in(mpi, rank, deadline_ns, fd_p, error)
                : call_out(mpi, deadline_ns, fd_p, error);
}

void mpi_control_close(struct mpi *mpi) {
    for (int i = 0; mpi->called && i < mpi->size; i++)
        if (mpi->called[i] >= 0)
            close(mpi->called[i]);
    if (mpi->listener >= 0)
        close(mpi->listener);
}

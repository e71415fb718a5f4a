/* SPDX-License-Identifier: MIT
 *
 * group.c -- joins and leaves.  Making a communicator blocks until all its members take part, so
 * the members first tell each other that they are there; who is late is found out before.
 */
#include "config.h"

#include "mpi/mpi_transport.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS UINT64_C(100000)

/* What a join needs besides the endpoint. */
struct joining {
    struct mpi *mpi;
    const struct dtr_group *group;
    uint64_t deadline_ns;
    int *rank;             /* [devices], in the world */
    uint64_t *says;        /* [devices] */
    MPI_Request *in, *out; /* [devices] */
    uint64_t epoch;        /* as it is said: one more, since zero is nothing */
};

static int parse_address(const struct mpi *mpi, const char *text, int *rank_p) {
    char *end;
    if (strncmp(text, "rank/", 5) || text[5] < '0' || text[5] > '9')
        return DTR_E_CONFIG;
    errno = 0;
    const long rank = strtol(text + 5, &end, 10);
    if (errno || *end || rank >= mpi->size)
        return DTR_E_CONFIG;
    *rank_p = (int)rank;
    return DTR_OK;
}

static int read_addresses(struct joining *joining, struct dtr_error *error) {
    const struct mpi *mpi = joining->mpi;
    for (uint32_t i = 0; i < joining->group->devices; i++)
        if (parse_address(mpi, joining->group->addresses[i], &joining->rank[i]))
            return mpi->host->fail(error, DTR_E_CONFIG,
                                   "'%.80s' is no address of the transport 'mpi' in a world of %d",
                                   joining->group->addresses[i], mpi->size);
    if (joining->rank[joining->group->device] != mpi->rank)
        return mpi->host->fail(error, DTR_E_CONFIG, "device %u is rank %d, not rank %d",
                               joining->group->device, mpi->rank,
                               joining->rank[joining->group->device]);
    return DTR_OK;
}

static bool is_here(const struct joining *joining, uint32_t device) {
    return device == joining->group->device ||
           joining->mpi->heard[joining->rank[device]] == joining->epoch;
}

static int listen_to(struct joining *joining, uint32_t device) {
    return MPI_Irecv(&joining->says[device], 1, MPI_UINT64_T, joining->rank[device], MPI_TAG_HELLO,
                     MPI_COMM_WORLD, &joining->in[device]);
}

/* What a device said for an earlier epoch is of no more interest; for a later one it is kept. */
static int hear(struct joining *joining, uint32_t device) {
    int there = 0;
    if (is_here(joining, device) || joining->in[device] == MPI_REQUEST_NULL)
        return MPI_SUCCESS;
    int code = MPI_Test(&joining->in[device], &there, MPI_STATUS_IGNORE);
    if (code || !there)
        return code;
    joining->mpi->heard[joining->rank[device]] = joining->says[device];
    return is_here(joining, device) ? MPI_SUCCESS : listen_to(joining, device);
}

static int greet(struct joining *joining) {
    int code = MPI_SUCCESS;
    for (uint32_t i = 0; i < joining->group->devices && !code; i++) {
        if (i == joining->group->device)
            continue;
        uint64_t *said = &joining->mpi->said[joining->rank[i]];
        *said = joining->epoch;
        code = MPI_Isend(said, 1, MPI_UINT64_T, joining->rank[i], MPI_TAG_HELLO, MPI_COMM_WORLD,
                         &joining->out[i]);
        if (!code && !is_here(joining, i))
            code = listen_to(joining, i);
    }
    return code;
}

static int late(const struct joining *joining, struct dtr_error *error) {
    uint32_t device = 0;
    while (is_here(joining, device))
        device++;
    return joining->mpi->host->fail(error, DTR_E_TIMEOUT,
                                    "device %u (rank %d) has not joined in time", device,
                                    joining->rank[device]);
}

static int wait_for_all(struct joining *joining, struct dtr_error *error) {
    struct mpi *mpi = joining->mpi;
    char text[MPI_MAX_ERROR_STRING];
    for (;;) {
        uint32_t missing = 0;
        for (uint32_t i = 0; i < joining->group->devices; i++) {
            const int code = hear(joining, i);
            if (code)
                return mpi->host->fail(error, DTR_E_SYSTEM, "MPI: %s", mpi_text(code, text));
            missing += !is_here(joining, i);
        }
        if (!missing)
            return DTR_OK;
        if (atomic_load(&mpi->aborted))
            return mpi->host->fail(error, DTR_E_ABORTED, "joining the group was aborted");
        if (mpi->host->now_ns(mpi->host) >= joining->deadline_ns)
            return late(joining, error);
        mpi_doze(mpi, LOOK_NS);
    }
}

static void end_greetings(struct joining *joining) {
    for (uint32_t i = 0; i < joining->group->devices; i++) {
        if (joining->in[i] != MPI_REQUEST_NULL) {
            MPI_Cancel(&joining->in[i]);
            MPI_Wait(&joining->in[i], MPI_STATUS_IGNORE);
        }
        /* It goes on its way by itself; what it says outlives it. */
        if (joining->out[i] != MPI_REQUEST_NULL)
            MPI_Request_free(&joining->out[i]);
    }
}

/* --- communicators --- */

static int make_channels(struct joining *joining) {
    struct mpi *mpi = joining->mpi;
    MPI_Group world, group;
    int code = MPI_Comm_group(MPI_COMM_WORLD, &world);
    if (code)
        return code;
    code = MPI_Group_incl(world, (int)joining->group->devices, joining->rank, &group);
    MPI_Group_free(&world);
    if (code)
        return code;
    for (uint32_t i = 0; i < mpi->channels && !code; i++) {
        code = MPI_Comm_create_group(MPI_COMM_WORLD, group, (int)i, &mpi->channel[i]);
        if (!code)
            code = MPI_Comm_set_errhandler(mpi->channel[i], MPI_ERRORS_RETURN);
    }
    MPI_Group_free(&group);
    return code;
}

/* As many communicators as it takes for MPI's tags to carry 32 bits. */
static int count_channels(struct mpi *mpi, struct dtr_error *error) {
    void *value = NULL;
    int there = 0;
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &there);
    const int most = there ? *(int *)value : 32767;
    mpi->tag_bits = 31;
    while (mpi->tag_bits && (1u << mpi->tag_bits) - 1 > (unsigned)most)
        mpi->tag_bits--;
    if (32 - mpi->tag_bits > 4)
        return mpi->host->fail(error, DTR_E_UNSUPPORTED, "this MPI has tags of %u bits only",
                               mpi->tag_bits);
    mpi->channels = 1u << (32 - mpi->tag_bits);
    return DTR_OK;
}

static int form(struct joining *joining, struct dtr_error *error) {
    struct mpi *mpi = joining->mpi;
    char text[MPI_MAX_ERROR_STRING];
    int status = read_addresses(joining, error);
    if (!status)
        status = count_channels(mpi, error);
    if (status)
        return status;
    int code = greet(joining);
    if (!code)
        status = wait_for_all(joining, error);
    end_greetings(joining);
    if (!code && !status)
        code = make_channels(joining);
    if (code)
        return mpi->host->fail(error, DTR_E_SYSTEM, "MPI: %s", mpi_text(code, text));
    return status;
}

int mpi_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error) {
    struct mpi *mpi = self;
    const struct dtr_host *host = mpi->host;
    if (mpi->joined || !mpi->size)
        return host->fail(error, DTR_E_CONFIG, "join() without address(), or without leave()");
    const size_t each = sizeof(int) + sizeof(uint64_t) + 2 * sizeof(MPI_Request);
    unsigned char *block = host->allocate(host, 64, group->devices * each);
    mpi->counter =
        host->allocate(host, _Alignof(struct mpi_counter), group->devices * sizeof *mpi->counter);
    struct joining joining = {.mpi = mpi,
                              .group = group,
                              .deadline_ns = deadline_ns,
                              .says = (uint64_t *)block,
                              .epoch = group->epoch + 1};
    int status = DTR_E_MEMORY;
    if (!block || !mpi->counter) {
        host->fail(error, status, "out of memory");
        goto out;
    }
    joining.in = (MPI_Request *)(joining.says + group->devices);
    joining.out = joining.in + group->devices;
    joining.rank = (int *)(joining.out + group->devices);
    for (uint32_t i = 0; i < 2 * group->devices; i++)
        joining.in[i] = MPI_REQUEST_NULL;
    memset(mpi->counter, 0, group->devices * sizeof *mpi->counter);
    mpi->devices = group->devices;
    mpi->device = group->device;
    mpi->joined = true;
    mpi->changed = false;
    status = form(&joining, error);
out:
    if (status)
        mpi_leave(mpi);
    host->release(host, block);
    return status;
}

void mpi_leave(void *self) {
    struct mpi *mpi = self;
    mpi_cancel_all(mpi);
    for (uint32_t i = 0; i < MPI_CHANNELS; i++)
        if (mpi->channel[i] != MPI_COMM_NULL)
            MPI_Comm_free(&mpi->channel[i]);
    mpi->host->release(mpi->host, mpi->counter);
    mpi->counter = NULL;
    mpi->joined = false;
    mpi->devices = 0;
    atomic_store(&mpi->aborted, false);
    atomic_store(&mpi->woken, false);
}

/* SPDX-License-Identifier: MIT
 *
 * mpi_transport.h -- an endpoint over MPI: the library's own requests, from the callers' buffers to
 * the callers' buffers.
 */
#ifndef DTR_MPI_TRANSPORT_H
#define DTR_MPI_TRANSPORT_H

#include <detransformer/transport.h>

#include <mpi.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/handshake.h"

#define MPI_CHANNELS \
    16u /* communicators of a group at most: tags have 32 bits, MPI's may have fewer */

struct mpi_params {
    int64_t spin_us;
};

struct dtr_transfer {
    struct dtr_transfer *next; /* free list */
    uint32_t index;            /* in the arrays of what is under way; meaningless when done */
    uint32_t peer;
    bool receive, done;
    int status;
    size_t bytes;  /* of the buffer */
    size_t length; /* of the message */
};

struct mpi_slab;

struct mpi_counter {
    uint64_t sent, received;
};

struct mpi {
    const struct dtr_host *host;
    const struct mpi_params *params;
    int bell;       /* an eventfd */
    int rank, size; /* size 0: MPI was not asked yet */
    bool given_up;  /* a rank did not answer */

    /* [size] Where each rank of the world said last that it goes, and where it was last told that
     * this one goes: group.c. */
    uint64_t *heard, *said;

    /* The streams that rank 0 was called for: launch.c. */
    int listener;
    int *called; /* [size], -1: not yet */
    uint8_t key[PROOF_BYTES];

    bool joined;
    uint32_t devices, device;
    MPI_Comm channel[MPI_CHANNELS];
    uint32_t channels, tag_bits;
    struct mpi_counter *counter; /* [devices] */

    /* What is under way, at the same place in each. */
    uint32_t active, room;
    MPI_Request *request;
    struct dtr_transfer **owner;
    MPI_Status *status;
    int *index;

    struct dtr_transfer *free;
    struct mpi_slab *slabs;
    bool changed;
    atomic_bool aborted, woken;
};

/* Starts MPI unless it runs, and finds out who this process is. */
int mpi_start(struct mpi *mpi, struct dtr_error *error);

/* A rank does not answer: the process will end the whole job when it ends itself. */
void mpi_give_up(struct mpi *mpi);

/* The text of an MPI error code. */
const char *mpi_text(int code, char text[MPI_MAX_ERROR_STRING]);

/* Waits for a request of this plugin's own until the deadline; cancels it then.  1: done. */
int mpi_finish(struct mpi *mpi, MPI_Request *request, uint64_t deadline_ns);

/* A short sleep that wake() and abort() end. */
void mpi_doze(const struct mpi *mpi, uint64_t ns);

int mpi_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
             struct dtr_error *error);
void mpi_leave(void *self);

int mpi_world(void *self, uint32_t *rank_p, uint32_t *size_p, struct dtr_error *error);
int mpi_control(void *self, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                struct dtr_error *error);
void mpi_control_close(struct mpi *mpi);

/* From mpi.c: all that is under way ends, with DTR_E_ABORTED for who asks. */
void mpi_cancel_all(struct mpi *mpi);

/* The tags of the plugin's own messages in the world. */
enum { MPI_TAG_HELLO = 1, MPI_TAG_INVITATION = 2 };

#endif

/* SPDX-License-Identifier: MIT
 *
 * mpi -- messages, and the launch, by an MPI library: for clusters that have a scheduler.
 */
#include "config.h"

#include "mpi/mpi_transport.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLAB 64
#define DOZE_LEAST_NS UINT64_C(5000)
#define DOZE_MOST_NS UINT64_C(200000)

struct mpi_slab {
    struct mpi_slab *next;
    struct dtr_transfer request[SLAB];
};

static const struct dtr_param params[] = {
    {.key = "spin_us",
     .fallback = "100",
     .unit = "us",
     .range = "0..1000000",
     .help = "How long to look for messages, giving way to others in between, before "
             "longer pauses.",
     .type = DTR_INT,
     .offset = offsetof(struct mpi_params, spin_us)},
    {.key = NULL},
};

/* --- MPI itself --- */

const char *mpi_text(int code, char text[MPI_MAX_ERROR_STRING]) {
    int length = 0;
    if (MPI_Error_string(code, text, &length))
        snprintf(text, MPI_MAX_ERROR_STRING, "error %d", code);
    return text;
}

/* MPI is the process's, not the instance's: it starts once and ends with the process. */
static void at_exit(void) {
    int ended = 0;
    if (!MPI_Finalized(&ended) && !ended)
        MPI_Finalize();
}

/* To finish, MPI waits for every rank. */
static void abort_at_exit(void) {
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

void mpi_give_up(struct mpi *mpi) {
    if (!mpi->given_up)
        atexit(abort_at_exit); /* it comes before at_exit(), which was registered before */
    mpi->given_up = true;
}

static int initialize(struct mpi *mpi, struct dtr_error *error) {
    const struct dtr_host *host = mpi->host;
    char text[MPI_MAX_ERROR_STRING];
    int running = 0, level = MPI_THREAD_SINGLE;
    MPI_Initialized(&running);
    const int code = running ? MPI_Query_thread(&level)
                             : MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    if (code)
        return host->fail(error, DTR_E_SYSTEM, "MPI does not start: %s", mpi_text(code, text));
    if (!running)
        atexit(at_exit);
    if (level < MPI_THREAD_SERIALIZED)
        return host->fail(error, DTR_E_UNSUPPORTED,
                          "this MPI was built without threads (MPI_THREAD_SERIALIZED)");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    return DTR_OK;
}

int mpi_start(struct mpi *mpi, struct dtr_error *error) {
    const struct dtr_host *host = mpi->host;
    int size;
    if (mpi->size)
        return DTR_OK;
    const int status = initialize(mpi, error);
    if (status)
        return status;
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const size_t ranks = (size_t)size;
    mpi->heard = host->allocate(host, 64, ranks * (2 * sizeof(uint64_t) + sizeof(int)));
    if (!mpi->heard)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    mpi->said = mpi->heard + ranks;
    mpi->called = (int *)(mpi->said + ranks);
    memset(mpi->heard, 0, 2 * ranks * sizeof(uint64_t));
    for (size_t i = 0; i < ranks; i++)
        mpi->called[i] = -1;
    mpi->size = size;
    return DTR_OK;
}

void mpi_doze(const struct mpi *mpi, uint64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                                  .tv_nsec = (long)(ns % 1000000000)};
    struct pollfd bell = {.fd = mpi->bell, .events = POLLIN};
    if (ppoll(&bell, 1, &time, NULL) > 0) {
        uint64_t rung;
        const ssize_t got = read(mpi->bell, &rung, sizeof rung);
        (void)got;
    }
}

int mpi_finish(struct mpi *mpi, MPI_Request *request, uint64_t deadline_ns) {
    const struct dtr_host *host = mpi->host;
    for (int done = 0;;) {
        if (MPI_Test(request, &done, MPI_STATUS_IGNORE))
            return DTR_E_SYSTEM;
        if (done)
            return 1;
        if (host->now_ns(host) >= deadline_ns) {
            MPI_Cancel(request);
            MPI_Request_free(request);
            return DTR_E_TIMEOUT;
        }
        mpi_doze(mpi, DOZE_MOST_NS);
    }
}

/* --- requests --- */

static void request_free(struct mpi *mpi, struct dtr_transfer *request) {
    request->next = mpi->free;
    mpi->free = request;
}

static struct dtr_transfer *request_new(struct mpi *mpi) {
    if (!mpi->free) {
        struct mpi_slab *slab =
            mpi->host->allocate(mpi->host, _Alignof(struct mpi_slab), sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = mpi->slabs;
        mpi->slabs = slab;
        for (int i = SLAB - 1; i >= 0; i--)
            request_free(mpi, &slab->request[i]);
    }
    struct dtr_transfer *request = mpi->free;
    mpi->free = request->next;
    memset(request, 0, sizeof *request);
    return request;
}

/* Room for one more that is under way. */
static bool make_room(struct mpi *mpi) {
    if (mpi->active < mpi->room)
        return true;
    const struct dtr_host *host = mpi->host;
    const uint32_t room = mpi->room ? 2 * mpi->room : SLAB;
    MPI_Request *request = host->allocate(host, 64, room * sizeof *request);
    struct dtr_transfer **owner = host->allocate(host, 64, room * sizeof(void *));
    MPI_Status *status = host->allocate(host, 64, room * sizeof *status);
    int *index = host->allocate(host, 64, room * sizeof *index);
    const bool good = request && owner && status && index;
    if (good && mpi->active) {
        memcpy(request, mpi->request, mpi->active * sizeof *request);
        memcpy(owner, mpi->owner, mpi->active * sizeof(void *));
    }
    host->release(host, good ? mpi->request : request);
    host->release(host, good ? (void *)mpi->owner : (void *)owner);
    host->release(host, good ? mpi->status : status);
    host->release(host, good ? mpi->index : index);
    if (!good)
        return false;
    mpi->request = request;
    mpi->owner = owner;
    mpi->status = status;
    mpi->index = index;
    mpi->room = room;
    return true;
}

/* Takes it out of what is under way; the last takes its place. */
static void retire(struct mpi *mpi, struct dtr_transfer *request) {
    const uint32_t last = --mpi->active;
    mpi->request[request->index] = mpi->request[last];
    mpi->owner[request->index] = mpi->owner[last];
    mpi->owner[request->index]->index = request->index;
    request->done = true;
}

static void complete(struct mpi *mpi, struct dtr_transfer *request, int code,
                     const MPI_Status *status) {
    int count = 0;
    if (!code && request->receive) {
        MPI_Get_count(status, MPI_BYTE, &count);
        request->length = (size_t)count;
    }
    if (code) {
        int class = MPI_ERR_OTHER;
        MPI_Error_class(code, &class);
        request->status = class == MPI_ERR_TRUNCATE ? DTR_E_CORRUPT : DTR_E_PEER;
    } else if (request->receive) {
        mpi->counter[request->peer].received += request->length;
    } else {
        mpi->counter[request->peer].sent += request->length;
    }
    mpi->changed = true;
}

static void progress(struct mpi *mpi) {
    if (!mpi->active)
        return;
    int count = 0;
    const int code = MPI_Testsome((int)mpi->active, mpi->request, &count, mpi->index, mpi->status);
    if (count == MPI_UNDEFINED || (code && code != MPI_ERR_IN_STATUS))
        return;
    for (int i = 0; i < count; i++)
        complete(mpi, mpi->owner[mpi->index[i]], code ? mpi->status[i].MPI_ERROR : MPI_SUCCESS,
                 &mpi->status[i]);
    for (uint32_t i = mpi->active; i-- > 0;)
        if (mpi->request[i] == MPI_REQUEST_NULL)
            retire(mpi, mpi->owner[i]);
}

/* A receive is cancelled for certain.  A send cannot be: it is left to MPI, which may still read
 * the buffer until its peer has received. */
static void abandon(struct mpi *mpi, struct dtr_transfer *request) {
    MPI_Request *under_way = &mpi->request[request->index];
    if (*under_way != MPI_REQUEST_NULL) {
        if (request->receive) {
            MPI_Cancel(under_way);
            MPI_Wait(under_way, MPI_STATUS_IGNORE);
        } else {
            MPI_Request_free(under_way);
        }
    }
    retire(mpi, request);
}

void mpi_cancel_all(struct mpi *mpi) {
    while (mpi->active)
        abandon(mpi, mpi->owner[mpi->active - 1]);
    mpi->free = NULL;
    for (struct mpi_slab *slab = mpi->slabs; slab; slab = slab->next)
        for (int i = SLAB - 1; i >= 0; i--)
            request_free(mpi, &slab->request[i]);
}

/* --- operations --- */

static int mpi_address(void *self, const char *hint, char *text, size_t bytes,
                       struct dtr_error *error) {
    (void)hint;
    struct mpi *mpi = self;
    const int status = mpi_start(mpi, error);
    if (status)
        return status;
    const int length = snprintf(text, bytes, "rank/%d", mpi->rank);
    if (length < 0 || (size_t)length >= bytes)
        return mpi->host->fail(error, DTR_E_CONFIG, "no room for an address in %zu bytes", bytes);
    return DTR_OK;
}

static int begin(struct mpi *mpi, uint32_t peer, size_t bytes, struct dtr_transfer **request_p) {
    if (atomic_load_explicit(&mpi->aborted, memory_order_relaxed))
        return DTR_E_ABORTED;
    if (peer >= mpi->devices || peer == mpi->device)
        return DTR_E_CONFIG;
    if (bytes > INT_MAX)
        return DTR_E_UNSUPPORTED;
    if (!make_room(mpi))
        return DTR_E_MEMORY;
    struct dtr_transfer *request = request_new(mpi);
    if (!request)
        return DTR_E_MEMORY;
    request->peer = peer;
    request->bytes = request->length = bytes;
    request->index = mpi->active;
    *request_p = request;
    return DTR_OK;
}

static int begun(struct mpi *mpi, struct dtr_transfer *request, int code,
                 struct dtr_transfer **request_p) {
    if (code) {
        request_free(mpi, request);
        return DTR_E_PEER;
    }
    mpi->owner[mpi->active++] = request;
    *request_p = request;
    return DTR_OK;
}

static int mpi_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer, size_t bytes,
                     struct dtr_transfer **request_p) {
    struct mpi *mpi = self;
    struct dtr_transfer *request;
    const int status = begin(mpi, peer, bytes, &request);
    if (status)
        return status;
    const int code =
        MPI_Isend(buffer, (int)bytes, MPI_BYTE, (int)peer, (int)(tag & ((1u << mpi->tag_bits) - 1)),
                  mpi->channel[tag >> mpi->tag_bits], &mpi->request[mpi->active]);
    return begun(mpi, request, code, request_p);
}

static int mpi_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                     struct dtr_transfer **request_p) {
    struct mpi *mpi = self;
    struct dtr_transfer *request;
    const int status = begin(mpi, peer, bytes, &request);
    if (status)
        return status;
    request->receive = true;
    const int code =
        MPI_Irecv(buffer, (int)bytes, MPI_BYTE, (int)peer, (int)(tag & ((1u << mpi->tag_bits) - 1)),
                  mpi->channel[tag >> mpi->tag_bits], &mpi->request[mpi->active]);
    return begun(mpi, request, code, request_p);
}

static void mpi_cancel(void *self, struct dtr_transfer *request) {
    struct mpi *mpi = self;
    if (!request->done)
        abandon(mpi, request);
    request_free(mpi, request);
}

static int mpi_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    struct mpi *mpi = self;
    if (!request->done && !atomic_load_explicit(&mpi->aborted, memory_order_relaxed))
        progress(mpi);
    if (!request->done) {
        if (!atomic_load_explicit(&mpi->aborted, memory_order_relaxed))
            return 0;
        mpi_cancel(mpi, request);
        return DTR_E_ABORTED;
    }
    const int status = request->status;
    if (!status && bytes_p)
        *bytes_p = request->length;
    request_free(mpi, request);
    return status ? status : 1;
}

static int verdict(struct mpi *mpi) {
    if (atomic_load(&mpi->aborted))
        return DTR_E_ABORTED;
    const bool some = atomic_exchange(&mpi->woken, false) || mpi->changed;
    mpi->changed = false;
    return some;
}

/* MPI sleeps for nobody: look, without a pause at first, then with longer and longer ones. */
static int mpi_wait(void *self, uint64_t deadline_ns) {
    struct mpi *mpi = self;
    const struct dtr_host *host = mpi->host;
    const uint64_t started = host->now_ns(host);
    uint64_t pause = DOZE_LEAST_NS;
    for (;;) {
        progress(mpi);
        const int now_is = verdict(mpi);
        if (now_is)
            return now_is < 0 ? now_is : DTR_OK;
        const uint64_t now = host->now_ns(host);
        if (now >= deadline_ns)
            return DTR_E_TIMEOUT;
        if (now - started < (uint64_t)mpi->params->spin_us * 1000) {
            sched_yield();
            continue;
        }
        const uint64_t left = deadline_ns - now;
        mpi_doze(mpi, pause < left ? pause : left);
        pause = pause < DOZE_MOST_NS ? pause * 2 : DOZE_MOST_NS;
    }
}

static void ring(const struct mpi *mpi) {
    const uint64_t one = 1;
    const ssize_t sent = write(mpi->bell, &one, sizeof one);
    (void)sent;
}

static void mpi_wake(void *self) {
    struct mpi *mpi = self;
    atomic_store(&mpi->woken, true);
    ring(mpi);
}

static void mpi_abort(void *self) {
    struct mpi *mpi = self;
    atomic_store(&mpi->aborted, true);
    ring(mpi);
}

static void mpi_counters(void *self, uint32_t peer, uint64_t *sent_p, uint64_t *received_p) {
    const struct mpi *mpi = self;
    uint64_t sent = 0, received = 0;
    for (uint32_t i = 0; i < mpi->devices; i++)
        if (peer == UINT32_MAX || peer == i) {
            sent += mpi->counter[i].sent;
            received += mpi->counter[i].received;
        }
    *sent_p = sent;
    *received_p = received;
}

static const struct dtr_transport_ops ops = {
    .size = sizeof ops,
    .address = mpi_address,
    .join = mpi_join,
    .leave = mpi_leave,
    .isend = mpi_isend,
    .irecv = mpi_irecv,
    .test = mpi_test,
    .wait = mpi_wait,
    .cancel = mpi_cancel,
    .wake = mpi_wake,
    .abort = mpi_abort,
    .counters = mpi_counters,
    .world = mpi_world,
    .control = mpi_control,
};

/* --- the plugin --- */

static int mpi_probe(const struct dtr_host *host, struct dtr_error *error) {
    (void)host;
    (void)error;
    return 5;
}

static int mpi_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                    struct dtr_error *error) {
    struct mpi *mpi = host->allocate(host, _Alignof(struct mpi), sizeof *mpi);
    if (!mpi)
        return host->fail(error, DTR_E_MEMORY, "out of memory");
    *mpi = (struct mpi){.host = host, .params = how->params, .listener = -1};
    for (uint32_t i = 0; i < MPI_CHANNELS; i++)
        mpi->channel[i] = MPI_COMM_NULL;
    mpi->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mpi->bell < 0) {
        const int status = host->fail(error, DTR_E_SYSTEM, "an event: %s", strerror(errno));
        host->release(host, mpi);
        return status;
    }
    *self_p = mpi;
    return DTR_OK;
}

static void mpi_close(void *self) {
    struct mpi *mpi = self;
    const struct dtr_host *host = mpi->host;
    if (mpi->joined)
        mpi_leave(mpi);
    mpi_control_close(mpi);
    close(mpi->bell);
    while (mpi->slabs) {
        struct mpi_slab *slab = mpi->slabs;
        mpi->slabs = slab->next;
        host->release(host, slab);
    }
    host->release(host, mpi->request);
    host->release(host, mpi->owner);
    host->release(host, mpi->status);
    host->release(host, mpi->index);
    host->release(host, mpi->heard);
    host->release(host, mpi);
}

static const struct dtr_plugin plugin = {
    .abi_major = DTR_ABI_MAJOR,
    .abi_minor = DTR_ABI_MINOR,
    .size = sizeof plugin,
    .kind = DTR_TRANSPORT,
    .name = "mpi",
    .version = "1.0",
    .summary = "an MPI library, which also starts the devices (mpirun, srun)",
    .caps = DTR_CAP_LAUNCH | DTR_CAP_REMOTE,
    .params = params,
    .param_stride = sizeof params[0],
    .params_size = sizeof(struct mpi_params),
    .probe = mpi_probe,
    .open = mpi_open,
    .close = mpi_close,
    .ops = &ops,
};

DTR_PLUGIN_ENTRY {
    return &plugin;
}

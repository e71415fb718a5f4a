/* SPDX-License-Identifier: MIT
 *
 * dummy.h -- what plugins are made of that are only looked at: they load and open, and do nothing.
 */
#ifndef DTR_TESTS_DUMMY_H
#define DTR_TESTS_DUMMY_H

#include <detransformer/kernel.h>
#include <detransformer/transport.h>

static inline int dummy_open(const struct dtr_host *host, const struct dtr_open *how, void **self_p,
                             struct dtr_error *error) {
    (void)host;
    (void)how;
    (void)error;
    *self_p = NULL;
    return DTR_OK;
}

static inline void dummy_close(void *self) {
    (void)self;
}

static inline int dummy_address(void *self, const char *hint, char *text, size_t bytes,
                                struct dtr_error *error) {
    (void)self;
    (void)hint;
    (void)text;
    (void)bytes;
    (void)error;
    return DTR_E_UNSUPPORTED;
}

static inline int dummy_join(void *self, const struct dtr_group *group, uint64_t deadline_ns,
                             struct dtr_error *error) {
    (void)self;
    (void)group;
    (void)deadline_ns;
    (void)error;
    return DTR_E_UNSUPPORTED;
}

static inline int dummy_isend(void *self, uint32_t peer, uint32_t tag, const void *buffer,
                              size_t bytes, struct dtr_transfer **request_p) {
    (void)self;
    (void)peer;
    (void)tag;
    (void)buffer;
    (void)bytes;
    (void)request_p;
    return DTR_E_UNSUPPORTED;
}

static inline int dummy_irecv(void *self, uint32_t peer, uint32_t tag, void *buffer, size_t bytes,
                              struct dtr_transfer **request_p) {
    return dummy_isend(self, peer, tag, buffer, bytes, request_p);
}

static inline int dummy_test(void *self, struct dtr_transfer *request, size_t *bytes_p) {
    (void)self;
    (void)request;
    (void)bytes_p;
    return DTR_E_UNSUPPORTED;
}

static inline int dummy_wait(void *self, uint64_t deadline_ns) {
    (void)self;
    (void)deadline_ns;
    return DTR_E_TIMEOUT;
}

static inline void dummy_cancel(void *self, struct dtr_transfer *request) {
    (void)self;
    (void)request;
}

/* The members of the table that every transport has. */
#define DUMMY_TRANSPORT_OPS                                                                     \
    .size = sizeof(struct dtr_transport_ops), .address = dummy_address, .join = dummy_join,     \
    .leave = dummy_close, .isend = dummy_isend, .irecv = dummy_irecv, .test = dummy_test,       \
    .wait = dummy_wait, .cancel = dummy_cancel, .wake = dummy_close, .abort = dummy_close
#define DUMMY_TRANSPORT { DUMMY_TRANSPORT_OPS }

#endif

/* SPDX-License-Identifier: MIT
 *
 * library.h -- loads a library with a CBLAS interface.  It is loaded by hand and not linked, since
 * OpenBLAS chooses its kernels while it is being loaded and sometimes has to be told which.
 */
#ifndef DTR_BLAS_LIBRARY_H
#define DTR_BLAS_LIBRARY_H

#include <detransformer/plugin.h>
#include <stdbool.h>

enum { BLAS_ROW_MAJOR = 101, BLAS_NO_TRANS = 111, BLAS_TRANS = 112 };

typedef void blas_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                           const float *a, int lda, const float *b, int ldb, float beta, float *c,
                           int ldc);

struct blas_library {
    void *handle;
    blas_sgemm_fn *sgemm;
    bool tuned; /* known to be written for speed */
};

/* Loads the library of that file name, or where it is empty the first known one that is there, and
 * tells it to use the calling thread only.  Not to be called while another thread reads the
 * environment. */
int blas_library_open(const struct dtr_host *host, const char *name, struct blas_library *library,
                      struct dtr_error *error);
void blas_library_close(struct blas_library *library);

#endif

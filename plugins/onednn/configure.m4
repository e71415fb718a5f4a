# SPDX-License-Identifier: MIT
# oneDNN 2.x, built for OpenMP: the plugin has to tell it to use one thread.
AC_DEFUN([DTR_CHECK_onednn], [
  ONEDNN_CFLAGS=-fopenmp
  ONEDNN_LIBS="-ldnnl -fopenmp"
  CFLAGS="$CFLAGS $ONEDNN_CFLAGS"
  LIBS="$ONEDNN_LIBS $LIBS"
  AC_MSG_CHECKING([for oneDNN 2])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[
      #include <oneapi/dnnl/dnnl.h>
      #include <omp.h>
      #if DNNL_VERSION_MAJOR != 2 || DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP
      #error not this one
      #endif
    ]], [[
      dnnl_matmul_desc_t matmul;
      omp_set_num_threads(1);
      return dnnl_matmul_desc_init(&matmul, NULL, NULL, NULL, NULL);
    ]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     dtr_why="oneDNN 2 for OpenMP is missing (libdnnl-dev)"])
  AC_SUBST([ONEDNN_CFLAGS])
  AC_SUBST([ONEDNN_LIBS])
])

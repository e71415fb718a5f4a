# SPDX-License-Identifier: MIT
# Any MPI 3 that pkg-config knows; MPI_CFLAGS and MPI_LIBS name another.  Open MPI before 3.0 cannot be loaded by a plugin.
AC_DEFUN([DTR_CHECK_mpi], [
  PKG_CHECK_MODULES([MPI], [ompi-c >= 3.0], [],
    [PKG_CHECK_MODULES([MPI], [mpich], [],
      [dtr_why="MPI is missing (libopenmpi-dev or libmpich-dev)"])])
  AS_IF([test -z "$dtr_why"], [
    CPPFLAGS="$CPPFLAGS $MPI_CFLAGS"
    LIBS="$MPI_LIBS $LIBS"
    AC_MSG_CHECKING([for MPI 3])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[
        #include <mpi.h>
        #if MPI_VERSION < 3
        #error too old
        #endif
      ]], [[MPI_Comm comm; return MPI_Comm_create_group(MPI_COMM_WORLD, MPI_GROUP_NULL, 0, &comm);]])],
      [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       dtr_why="there is no MPI 3 that can be linked"])])
])

# SPDX-License-Identifier: MIT
# DTR_LIBRARIES: what the core itself needs.  What a plugin needs is in its own folder.
AC_DEFUN([DTR_LIBRARIES], [
  AC_SEARCH_LIBS([dlopen], [dl], [], [AC_MSG_ERROR([dlopen() is missing])])
  AC_SEARCH_LIBS([expf], [m], [], [AC_MSG_ERROR([the mathematics library is missing])])
  AX_DTR_PTHREAD
  PKG_CHECK_MODULES([INIH], [inih])
  PKG_CHECK_MODULES([CJSON], [libcjson])
  PKG_CHECK_MODULES([UTF8PROC], [libutf8proc])
  PKG_CHECK_MODULES([SODIUM], [libsodium])
  DTR_HWLOC
  CORE_CFLAGS="$INIH_CFLAGS $CJSON_CFLAGS $UTF8PROC_CFLAGS $SODIUM_CFLAGS $HWLOC_CFLAGS"
  CORE_LIBS="$INIH_LIBS $CJSON_LIBS $UTF8PROC_LIBS $SODIUM_LIBS $HWLOC_LIBS"
  AC_SUBST([CORE_CFLAGS])
  AC_SUBST([CORE_LIBS])
])
AC_DEFUN([AX_DTR_PTHREAD], [
  AC_SEARCH_LIBS([pthread_create], [pthread], [], [AC_MSG_ERROR([POSIX threads are missing])])
])

# DTR_HWLOC: what threads are pinned to cores with; [device] cores is refused without.
AC_DEFUN([DTR_HWLOC], [
  AC_ARG_WITH([hwloc], [AS_HELP_STRING([--with-hwloc=yes|no|auto], [pin threads to cores])], [],
    [with_hwloc=auto])
  dtr_hwloc="no: switched off"
  AS_IF([test "x$with_hwloc" != xno],
    [PKG_CHECK_MODULES([HWLOC], [hwloc >= 2.0], [dtr_hwloc=yes],
      [dtr_hwloc="no: hwloc 2 is missing (libhwloc-dev)"
       AS_IF([test "x$with_hwloc" = xyes],
         [AC_MSG_ERROR([--with-hwloc was given, but hwloc 2 is missing (libhwloc-dev)])])])])
  AM_CONDITIONAL([HAVE_HWLOC], [test "$dtr_hwloc" = yes])
])

# SPDX-License-Identifier: MIT
# DTR_TESTS: what the tests need; without it they are left out and the summary says so.
AC_DEFUN([DTR_TESTS], [
  PKG_CHECK_MODULES([CMOCKA], [cmocka], [dtr_unit_tests=yes], [dtr_unit_tests="no: cmocka is missing"])
  AM_CONDITIONAL([HAVE_CMOCKA], [test "$dtr_unit_tests" = yes])
  # Only to read our headers: with AC_PROG_CXX libtool would look into it for long.
  AC_CHECK_PROGS([CXX], [g++ clang++ c++])
  AS_IF([test -n "$CXX"], [dtr_cxx=yes], [dtr_cxx="no: a C++ compiler is missing"])
  DTR_SUMMARY_TESTS="  unit tests      $dtr_unit_tests
  headers in C++  $dtr_cxx
"
])

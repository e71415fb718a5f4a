# SPDX-License-Identifier: MIT
# DTR_TESTS: what the tests need; without it they are left out and the summary says so.
AC_DEFUN([DTR_TESTS], [
  PKG_CHECK_MODULES([CMOCKA], [cmocka], [dtr_have_cmocka=yes], [dtr_have_cmocka=no])
  AM_CONDITIONAL([HAVE_CMOCKA], [test $dtr_have_cmocka = yes])
  DTR_SUMMARY_TESTS="  unit tests (cmocka)   $dtr_have_cmocka
"
])

# SPDX-License-Identifier: MIT
AC_DEFUN([DTR_CHECK_foreign], [
  PKG_CHECK_MODULES([FFI], [libffi], [], [dtr_why="libffi is missing (libffi-dev)"])
])

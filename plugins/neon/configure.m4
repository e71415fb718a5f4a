# SPDX-License-Identifier: MIT
AC_DEFUN([DTR_CHECK_neon], [
  AS_CASE([$host_cpu], [aarch64*], [], [dtr_why="this is no AArch64 machine"])
])

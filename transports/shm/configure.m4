# SPDX-License-Identifier: MIT
AC_DEFUN([DTR_CHECK_shm], [
  AC_CHECK_FUNC([memfd_create], [], [dtr_why="memfd_create() is missing"])
])

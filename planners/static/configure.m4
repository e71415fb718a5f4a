# SPDX-License-Identifier: MIT
AC_DEFUN([DTR_CHECK_static], [])

# SPDX-License-Identifier: MIT
# The library is loaded at run time; building needs none.
AC_DEFUN([DTR_CHECK_blas], [])

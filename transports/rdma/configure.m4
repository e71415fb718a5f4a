# SPDX-License-Identifier: MIT
AC_DEFUN([DTR_CHECK_rdma], [
  PKG_CHECK_MODULES([RDMA], [libfabric >= 1.11], [],
    [dtr_why="libfabric is missing (libfabric-dev)"])
])

# SPDX-License-Identifier: MIT
# Two lines a plugin; aclocal wants the file names spelled out.
m4_include([plugins/common/configure.m4])
DTR_COMMON_VECTOR
m4_include([plugins/reference/configure.m4])
DTR_PLUGIN([kernel], [reference])
m4_include([plugins/native/configure.m4])
DTR_PLUGIN([kernel], [native])
m4_include([plugins/blas/configure.m4])
DTR_PLUGIN([kernel], [blas])
m4_include([plugins/throttle/configure.m4])
DTR_PLUGIN([kernel], [throttle])
m4_include([transports/shm/configure.m4])
DTR_PLUGIN([transport], [shm])
m4_include([transports/tcp/configure.m4])
DTR_PLUGIN([transport], [tcp])
m4_include([planners/fixed/configure.m4])
DTR_PLUGIN([planner], [fixed])

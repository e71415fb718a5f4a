# SPDX-License-Identifier: MIT
# DTR_COMMON_VECTOR: whether the code shared by kernel plugins is compiled for AVX2 and AVX-512 too.
AC_DEFUN([DTR_COMMON_VECTOR], [
  DTR_AVX2_CFLAGS="-mavx2 -mfma"
  DTR_AVX512_CFLAGS="-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512"
  DTR_AVX512BF16_CFLAGS="$DTR_AVX512_CFLAGS -mavx512bf16"
  dtr_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS $DTR_AVX512BF16_CFLAGS"
  AC_MSG_CHECKING([whether AVX2 and AVX-512 code can be compiled])
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [[return __builtin_cpu_supports("avx512bf16") == 77;]])],
    [dtr_x86=yes], [dtr_x86=no])
  AC_MSG_RESULT([$dtr_x86])
  CFLAGS=$dtr_saved_CFLAGS
  AC_SUBST([DTR_AVX2_CFLAGS])
  AC_SUBST([DTR_AVX512_CFLAGS])
  AC_SUBST([DTR_AVX512BF16_CFLAGS])
  AM_CONDITIONAL([HAVE_X86_VARIANTS], [test $dtr_x86 = yes])
])

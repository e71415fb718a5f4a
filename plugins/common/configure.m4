# SPDX-License-Identifier: MIT
# DTR_COMMON_VECTOR: whether the code shared by kernel plugins is compiled for AVX2 and AVX-512 too.
AC_DEFUN([DTR_COMMON_VECTOR], [
  DTR_AVX2_CFLAGS="-mavx2 -mfma"
  DTR_AVX512_CFLAGS="-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512"
  DTR_AVX512BF16_CFLAGS="$DTR_AVX512_CFLAGS -mavx512bf16"
  DTR_COMMON_COMPILES([AVX2 and AVX-512], [avx512vl], [$DTR_AVX512_CFLAGS], [dtr_x86])
  DTR_COMMON_COMPILES([AVX-512 BF16], [avx512bf16], [$DTR_AVX512BF16_CFLAGS], [dtr_bf16])
  AC_SUBST([DTR_AVX2_CFLAGS])
  AC_SUBST([DTR_AVX512_CFLAGS])
  AC_SUBST([DTR_AVX512BF16_CFLAGS])
  AM_CONDITIONAL([HAVE_X86_VARIANTS], [test $dtr_x86 = yes])
  AM_CONDITIONAL([HAVE_AVX512BF16], [test $dtr_bf16 = yes])
])

# DTR_COMMON_COMPILES(WHAT, FEATURE, CFLAGS, VARIABLE): whether the compiler makes such code and can ask for the feature.
AC_DEFUN([DTR_COMMON_COMPILES], [
  dtr_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS $3"
  AC_MSG_CHECKING([whether $1 code can be compiled])
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [[return __builtin_cpu_supports("$2") == 77;]])],
    [$4=yes], [$4=no])
  AC_MSG_RESULT([$$4])
  CFLAGS=$dtr_saved_CFLAGS
])

# SPDX-License-Identifier: MIT
# DTR_COMPILER: C11, the warnings we keep quiet, hidden symbols.
AC_DEFUN([DTR_COMPILER], [
  DTR_CFLAGS="-std=gnu11"
  for dtr_flag in -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
                  -Wmissing-prototypes -Wwrite-strings -Wvla -Wformat=2 -fvisibility=hidden \
                  -fno-math-errno; do
    AX_DTR_TRY_CFLAG([$dtr_flag])
  done
  AC_SUBST([DTR_CFLAGS])
])

AC_DEFUN([AX_DTR_TRY_CFLAG], [
  dtr_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $1"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [DTR_CFLAGS="$DTR_CFLAGS $1"])
  CFLAGS=$dtr_saved_CFLAGS
])

# DTR_SANITIZERS: --enable-asan, --enable-ubsan, --enable-tsan, and --enable-fuzz, which makes the fuzz targets libFuzzer's.
AC_DEFUN([DTR_SANITIZERS], [
  # Plugins leave nothing undefined.
  DTR_DEFS="-Wl,-z,defs"
  AC_SUBST([DTR_DEFS])
  # Seconds for one test.
  DTR_TEST_LIMIT=600
  AC_SUBST([DTR_TEST_LIMIT])
  DTR_SANITIZER([asan], [address])
  DTR_SANITIZER([ubsan], [undefined])
  DTR_SANITIZER([tsan], [thread])
  DTR_FUZZ
])
AC_DEFUN([DTR_SANITIZER], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [build with -fsanitize=$2])], [],
    [enable_$1=no])
  AS_IF([test "x$enable_$1" = xyes], [
    CFLAGS="$CFLAGS -fsanitize=$2 -fno-omit-frame-pointer -fno-sanitize-recover=all"
    LDFLAGS="$LDFLAGS -fsanitize=$2"
    # but for the sanitizer's runtime, which clang puts into the program alone.
    DTR_DEFS=
    DTR_TEST_LIMIT=1200])
])
AC_DEFUN([DTR_FUZZ], [
  AC_ARG_ENABLE([fuzz], [AS_HELP_STRING([--enable-fuzz],
    [build the fuzz targets for libFuzzer, all with the address and undefined sanitizers (CC=clang)])], [],
    [enable_fuzz=no])
  AS_IF([test "x$enable_fuzz" = xyes], [
    CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all"
    LDFLAGS="$LDFLAGS -fsanitize=address,undefined"
    FUZZ_LDFLAGS="-fsanitize=fuzzer"
    DTR_DEFS=
    DTR_TEST_LIMIT=1200
    dtr_saved_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $FUZZ_LDFLAGS"
    AC_LINK_IFELSE([AC_LANG_SOURCE([[#include <stddef.h>
      int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
      int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) { return size && !data; }]])], [],
      [AC_MSG_ERROR([--enable-fuzz needs a clang with libFuzzer: CC=clang-14, libclang-rt-14-dev])])
    LDFLAGS=$dtr_saved_LDFLAGS])
  AC_SUBST([FUZZ_LDFLAGS])
  AM_CONDITIONAL([FUZZ], [test "x$enable_fuzz" = xyes])
])

# SPDX-License-Identifier: MIT
# DTR_PLUGIN(KIND, NAME): one plugin.
#
# Gives --enable-KIND-NAME=yes|no|auto and the automake conditional BUILD_NAME.  The configure.m4 of its folder
# defines DTR_CHECK_NAME, which sets dtr_why to the reason when the plugin cannot be built and leaves
# it empty when it can; flags go to NAME_CFLAGS and NAME_LIBS (AC_SUBST), never to CFLAGS or LIBS.
AC_DEFUN([DTR_PLUGIN], [
  AC_ARG_ENABLE([$1-$2], [AS_HELP_STRING([--enable-$1-$2=yes|no|auto], [the $1 plugin $2])], [],
    [enable_$1_$2=auto])
  dtr_why=
  AS_CASE([$enable_$1_$2],
    [no], [dtr_why="switched off"],
    [yes|auto], [
      dtr_saved_CFLAGS=$CFLAGS dtr_saved_CPPFLAGS=$CPPFLAGS dtr_saved_LIBS=$LIBS
      DTR_CHECK_$2
      CFLAGS=$dtr_saved_CFLAGS CPPFLAGS=$dtr_saved_CPPFLAGS LIBS=$dtr_saved_LIBS
      AS_IF([test -n "$dtr_why" && test "x$enable_$1_$2" = xyes],
        [AC_MSG_ERROR([--enable-$1-$2 was given, but $dtr_why])])],
    [AC_MSG_ERROR([--enable-$1-$2 takes yes, no or auto])])
  AM_CONDITIONAL(m4_toupper([BUILD_$2]), [test -z "$dtr_why"])
  AS_IF([test -z "$dtr_why"],
    [DTR_PLUGINS_BUILT="$DTR_PLUGINS_BUILT $2"
     DTR_SUMMARY_PLUGINS="$DTR_SUMMARY_PLUGINS  m4_format([%-10s %-10s], [$1], [$2]) yes
"],
    [DTR_SUMMARY_PLUGINS="$DTR_SUMMARY_PLUGINS  m4_format([%-10s %-10s], [$1], [$2]) no: $dtr_why
"])
  AC_SUBST([DTR_PLUGINS_BUILT])
])

# DTR_SUMMARY: what was built, what was left out, and why.
AC_DEFUN([DTR_SUMMARY], [
  AS_ECHO(["
$PACKAGE_NAME $PACKAGE_VERSION
  compiler   $CC $CFLAGS
  prefix     $prefix
  pinning    $dtr_hwloc

Plugins
$DTR_SUMMARY_PLUGINS
Tests
$DTR_SUMMARY_TESTS"])
])

# DTR_RELOCATION: from bin/ to the plugins, where both are under one prefix and so can be moved
# together.
AC_DEFUN([DTR_RELOCATION], [
  AS_CASE([$bindir:$libdir],
    [['${exec_prefix}/bin:${exec_prefix}/'*|'${exec_prefix}/bin:${prefix}/'*]], [
      AC_DEFINE_UNQUOTED([DTR_PLUGIN_FOLDER_FROM_BIN], ["../${libdir@%:@*\}/}/$PACKAGE"],
        [The installed plugins, seen from the folder of the program])])
])

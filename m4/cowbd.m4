dnl SPDX-License-Identifier: BSD-3-Clause
dnl cowbd.m4 - checks that configure.ac makes more than once

dnl COWBD_LIBRARY(VARIABLE, MODULE, DEBIAN PACKAGE)
dnl pkg-config MODULE into VARIABLE_CFLAGS and VARIABLE_LIBS; else names the package and ends.
AC_DEFUN([COWBD_LIBRARY], [
	PKG_CHECK_MODULES([$1], [$2], [],
		[AC_MSG_ERROR([$2 not found: apt install $3])])
])

dnl COWBD_CFLAGS(VARIABLE, FLAGS)
dnl Those FLAGS that the compiler knows, into VARIABLE.
AC_DEFUN([COWBD_CFLAGS], [
	$1=
	cowbd_saved_cflags=$CFLAGS
	for cowbd_flag in m4_normalize([$2]); do
		AC_MSG_CHECKING([whether $CC knows $cowbd_flag])
		CFLAGS="$cowbd_saved_cflags -Werror $cowbd_flag"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
			[AC_MSG_RESULT([yes]); AS_VAR_APPEND([$1], [" $cowbd_flag"])],
			[AC_MSG_RESULT([no])])
	done
	CFLAGS=$cowbd_saved_cflags
	AC_SUBST([$1])
])

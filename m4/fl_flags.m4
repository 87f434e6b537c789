# SPDX-License-Identifier: Apache-2.0
#
# fl_flags.m4 - try one compiler or linker flag at a time
#
# Each macro appends to a shell variable what the compiler accepts without a warning, and
# leaves CFLAGS, CPPFLAGS and LDFLAGS as it found them.

# FL_TRY_LINK_FLAGS(CFLAGS, IF-YES, IF-NO)
AC_DEFUN([FL_TRY_LINK_FLAGS], [
	fl_save_CFLAGS=$CFLAGS
	fl_save_LDFLAGS=$LDFLAGS
	CFLAGS="$CFLAGS $1"
	LDFLAGS="$LDFLAGS $1"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stdio.h>]], [[puts("x")]])],
		[fl_ok=yes], [fl_ok=no])
	CFLAGS=$fl_save_CFLAGS
	LDFLAGS=$fl_save_LDFLAGS
	AS_IF([test $fl_ok = yes], [$2], [$3])
])

# FL_COMPILE_FLAG(VARIABLE, FLAG, [IF-NO])
AC_DEFUN([FL_COMPILE_FLAG], [
	AC_MSG_CHECKING([whether $CC accepts $2])
	fl_save_CFLAGS=$CFLAGS
	# gcc takes any -Wno-NAME in silence: ask for the positive form
	CFLAGS="$CFLAGS -Werror m4_bpatsubst([$2], [^-Wno-], [-W])"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [fl_ok=yes], [fl_ok=no])
	CFLAGS=$fl_save_CFLAGS
	AC_MSG_RESULT([$fl_ok])
	AS_IF([test $fl_ok = yes], [$1="$$1 $2"], [$3
		:])
])

# FL_LINK_FLAG(CFLAGS-VARIABLE, LDFLAGS-VARIABLE, CFLAG, LDFLAG)
AC_DEFUN([FL_LINK_FLAG], [
	AC_MSG_CHECKING([whether $CC links with $4])
	fl_save_CFLAGS=$CFLAGS
	fl_save_LDFLAGS=$LDFLAGS
	CFLAGS="$CFLAGS -Werror $3"
	LDFLAGS="$LDFLAGS $4"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [fl_ok=yes], [fl_ok=no])
	CFLAGS=$fl_save_CFLAGS
	LDFLAGS=$fl_save_LDFLAGS
	AC_MSG_RESULT([$fl_ok])
	AS_IF([test $fl_ok = yes], [
		m4_ifval([$1], [$1="$$1 $3"])
		$2="$$2 $4"])
])

# FL_FORTIFY(LEVEL, [IF-NO]): needs optimisation, which the user's CFLAGS may have turned off
AC_DEFUN([FL_FORTIFY], [
	AC_MSG_CHECKING([whether _FORTIFY_SOURCE=$1 works])
	fl_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$1"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <string.h>
#ifndef __OPTIMIZE__
# error does nothing without -O
#endif
#if $1 > 2 && !defined(__clang__) && __GNUC__ < 12
# error level 3 needs gcc 12
#endif
		]], [[char b[8]; memset(b, 0, sizeof(b)); return b[0] + (int)strlen(b)]])],
		[fl_ok=yes], [fl_ok=no])
	CFLAGS=$fl_save_CFLAGS
	AC_MSG_RESULT([$fl_ok])
	AS_IF([test $fl_ok = yes],
		[FL_HARDEN_CPPFLAGS="$FL_HARDEN_CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$1"], [$2
		:])
])

# FL_DEFINE_DIR(MACRO, VALUE, TEXT): VALUE with ${prefix} and the like expanded, into config.h
AC_DEFUN([FL_DEFINE_DIR], [
	fl_save_prefix=$prefix
	fl_save_exec_prefix=$exec_prefix
	test "x$prefix" = xNONE && prefix=$ac_default_prefix
	test "x$exec_prefix" = xNONE && exec_prefix=$prefix
	eval "$1=$2"
	# a directory is given in terms of another, which is given in terms of prefix
	while AS_CASE([$$1], [*'$'*], [:], [false]); do
		eval "$1=[\"][$]$1[\"]"
	done
	prefix=$fl_save_prefix
	exec_prefix=$fl_save_exec_prefix
	AC_DEFINE_UNQUOTED([$1], ["[$]$1"], [$3])
])

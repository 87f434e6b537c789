# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += src/conf/conf.h src/conf/inside.h \
	src/conf/diag.c src/conf/source.c src/conf/image.c src/conf/lex.c src/conf/sig.c src/conf/value.c \
	src/conf/number.c src/conf/address.c \
	src/conf/parse.c src/conf/load.c src/conf/tree.c src/conf/resolve.c src/conf/check.c \
	src/conf/check_vserver.c src/conf/check_cores.c src/conf/kept.c src/conf/dump.c src/conf/diff.c src/conf/fmt.c

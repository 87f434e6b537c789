# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/http/head.c src/http/head.h \
	src/http/h1_body.c src/http/h1.h \
	src/http/h1_head.c src/http/h1_inside.h \
	src/http/h1_lex.c \
	src/http/h1_put.c \
	src/http/h1_uri.c

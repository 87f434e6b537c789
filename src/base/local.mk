# SPDX-License-Identifier: Apache-2.0
# Sources of the room `base`
libfairlead_a_SOURCES += \
	src/base/addr.c src/base/addr.h \
	src/base/assert.c src/base/compiler.h \
	src/base/buf.c src/base/buf.h \
	src/base/cores.c src/base/cores.h \
	src/base/env.c src/base/env.h \
	src/base/env_fp.c \
	src/base/env_sock.c src/base/retry.h \
	src/base/err.c src/base/err.h \
	src/base/hash.c src/base/hash.h \
	src/base/list.h \
	src/base/log.c src/base/log.h \
	src/base/map.c src/base/map.h \
	src/base/pool.c src/base/pool.h \
	src/base/sb.c \
	src/base/str.c src/base/str.h \
	src/base/wheel.c src/base/wheel.h \
	src/base/work.h

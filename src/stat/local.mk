# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/stat/board.c \
	src/stat/count.c \
	src/stat/crash.c src/stat/crash.h \
	src/stat/fold.c src/stat/fold.h src/stat/part.c src/stat/window.c \
	src/stat/health.c \
	src/stat/latch.c src/stat/latch.h \
	src/stat/mail.c src/stat/mail.h \
	src/stat/object.c \
	src/stat/owner.c src/stat/owner.h \
	src/stat/reason.c src/stat/reason.h \
	src/stat/ring.c \
	src/stat/segment.c src/stat/segment.h \
	src/stat/stat.h \
	src/stat/total.c \
	src/stat/view.c src/stat/view.h

# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/admin/admin.c src/admin/admin.h src/admin/inside.h \
	src/admin/ask.c \
	src/admin/change.c \
	src/admin/command.c \
	src/admin/crash.c \
	src/admin/csv.c \
	src/admin/ctl.c \
	src/admin/explain.c src/admin/explain.h \
	src/admin/explain_print.c \
	src/admin/figures.c \
	src/admin/grid.c src/admin/grid.h \
	src/admin/metrics.c \
	src/admin/out.c \
	src/admin/owner.c \
	src/admin/page.c \
	src/admin/show.c src/admin/show_listener.c \
	src/admin/snmp.c \
	src/admin/status.c \
	src/admin/verbs.c src/admin/verbs.h src/tbl/verbs.def \
	src/admin/web.c \
	src/admin/words.c

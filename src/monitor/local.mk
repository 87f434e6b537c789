# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/monitor/monitor.h src/monitor/probe.h \
	src/monitor/monitor.c src/monitor/judge.c src/monitor/judge.h src/monitor/resolve.c src/monitor/target.h \
	src/monitor/own.c src/monitor/load.c \
	src/monitor/probe_ping.c src/monitor/probe_tcp.c src/monitor/probe_http.c

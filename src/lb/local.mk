# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/lb/lb.h src/lb/method.h \
	src/lb/build.c src/lb/build_vserver.c src/lb/build.h src/lb/attach.c src/lb/conf_hooks.c src/lb/index.c src/lb/index.h src/lb/route.c src/lb/pick.c \
	src/lb/method_round_robin.c src/lb/method_least_connection.c src/lb/method_source_ip_hash.c

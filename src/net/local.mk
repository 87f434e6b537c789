# SPDX-License-Identifier: Apache-2.0
# Sources of the room `net`
libfairlead_a_SOURCES += \
	src/net/conn.c src/net/conn.h src/net/conn_int.h \
	src/net/conn_owed.c \
	src/net/conn_pump.c \
	src/net/conn_read.c \
	src/net/conn_segs.c \
	src/net/conn_shake.c \
	src/net/conn_write.c \
	src/net/engine.c src/net/engine.h \
	src/net/flow_hash.c src/net/flow_hash.h \
	src/net/listener.c src/net/listener.h \
	src/net/queues.c src/net/queues.h \
	src/net/relay.c src/net/relay.h \
	src/net/resolver.c src/net/resolver.h \
	src/net/rss.c src/net/rss.h src/net/rss_prog.c src/net/rss_tree.c \
	src/net/steer.c src/net/steer.h \
	src/net/tls.h \
	src/net/tls_cert.c src/net/tls_int.h \
	src/net/tls_ciphers.c \
	src/net/tls_client.c \
	src/net/tls_io.c src/net/tls_io.h src/net/tls_io_int.h \
	src/net/tls_kernel.c \
	src/net/tls_leaf.c \
	src/net/tls_mem.c src/net/tls_mem.h \
	src/net/tls_ocsp.c \
	src/net/tls_server.c \
	src/net/tls_share.c \
	src/net/tls_ticket.c \
	src/net/udp.c src/net/udp.h src/net/udp_int.h \
	src/net/udp_batch.c \
	src/net/udp_flow.c

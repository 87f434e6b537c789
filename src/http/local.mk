# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/http/head.c src/http/head.h \
	src/http/h1_body.c src/http/h1.h \
	src/http/h1_head.c src/http/h1_inside.h \
	src/http/h1_lex.c \
	src/http/h1_put.c \
	src/http/h1_span.c src/http/h1_span.h \
	src/http/h1_uri.c \
	src/http/accesslog.c \
	src/http/answer.c src/http/answer.h \
	src/http/blocked.c src/http/blocked.h \
	src/http/exchange.c src/http/exchange.h \
	src/http/facts.c \
	src/http/forward.c \
	src/http/h1c.c \
	src/http/h1s.c src/http/h1s.h src/http/h1s_inside.h \
	src/http/h1s_req.c \
	src/http/h1s_resp.c \
	src/http/http.c src/http/http.h src/http/inside.h \
	src/http/module.c src/http/module.h \
	src/http/respbuf.c src/http/respbuf.h \
	src/http/refuse.c src/http/refuse.h \
	src/http/steer.c \
	src/http/tcp.c \
	src/http/tunnel.c \
	src/http/txn.c src/http/txn.h src/http/filter.h \
	src/http/udp_vs.c src/http/udp_vs.h \
	src/http/upstream.c src/http/upstream.h

# SPDX-License-Identifier: Apache-2.0

check_PROGRAMS += \
	tests/unit/net/test_conn \
	tests/unit/net/test_engine \
	tests/unit/net/test_listener \
	tests/unit/net/test_pump \
	tests/unit/net/test_queues \
	tests/unit/net/test_resolver \
	tests/unit/net/test_rss \
	tests/unit/net/test_steer \
	tests/unit/net/test_tls \
	tests/unit/net/test_tls_bad \
	tests/unit/net/test_tls_certs \
	tests/unit/net/test_tls_mem \
	tests/unit/net/test_tls_share \
	tests/unit/net/test_udp

tests_unit_net_test_conn_SOURCES = tests/unit/net/test_conn.c tests/unit/net/net_unit.h
tests_unit_net_test_conn_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_engine_SOURCES = tests/unit/net/test_engine.c tests/unit/net/net_unit.h
tests_unit_net_test_engine_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_listener_SOURCES = tests/unit/net/test_listener.c tests/unit/net/net_unit.h
tests_unit_net_test_listener_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_pump_SOURCES = tests/unit/net/test_pump.c tests/unit/net/net_unit.h
tests_unit_net_test_pump_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_resolver_SOURCES = tests/unit/net/test_resolver.c tests/unit/net/net_unit.h
tests_unit_net_test_resolver_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_tls_SOURCES = tests/unit/net/test_tls.c tests/unit/net/tls_unit.h tests/unit/net/net_unit.h
tests_unit_net_test_tls_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_queues_SOURCES = tests/unit/net/test_queues.c
tests_unit_net_test_queues_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_rss_SOURCES = tests/unit/net/test_rss.c
tests_unit_net_test_rss_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_steer_SOURCES = tests/unit/net/test_steer.c
tests_unit_net_test_steer_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_tls_bad_SOURCES = tests/unit/net/test_tls_bad.c tests/unit/net/tls_unit.h
tests_unit_net_test_tls_bad_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_tls_certs_SOURCES = tests/unit/net/test_tls_certs.c tests/unit/net/tls_unit.h
tests_unit_net_test_tls_certs_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_tls_share_SOURCES = tests/unit/net/test_tls_share.c
tests_unit_net_test_tls_share_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_tls_mem_SOURCES = tests/unit/net/test_tls_mem.c
tests_unit_net_test_tls_mem_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_net_test_udp_SOURCES = tests/unit/net/test_udp.c tests/unit/net/net_unit.h tests/unit/heapcount.h
tests_unit_net_test_udp_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

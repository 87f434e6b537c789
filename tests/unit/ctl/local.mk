# SPDX-License-Identifier: Apache-2.0
# Tests of the room `ctl`
check_PROGRAMS += tests/unit/ctl/test_client
tests_unit_ctl_test_client_SOURCES = tests/unit/ctl/test_client.c
tests_unit_ctl_test_client_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_ctl_test_client_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

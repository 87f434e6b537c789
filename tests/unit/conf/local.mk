# SPDX-License-Identifier: Apache-2.0
# Tests of the room `conf`
check_PROGRAMS += tests/unit/conf/test_errors
tests_unit_conf_test_errors_SOURCES = tests/unit/conf/test_errors.c tests/unit/conf/conf_test.h
tests_unit_conf_test_errors_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_conf_test_errors_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/conf/test_load
tests_unit_conf_test_load_SOURCES = tests/unit/conf/test_load.c tests/unit/conf/conf_test.h
tests_unit_conf_test_load_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_conf_test_load_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/conf/test_print
tests_unit_conf_test_print_SOURCES = tests/unit/conf/test_print.c tests/unit/conf/conf_test.h
tests_unit_conf_test_print_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_conf_test_print_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

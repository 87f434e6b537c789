# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/modules/test_module
tests_unit_modules_test_module_SOURCES = tests/unit/modules/test_module.c
tests_unit_modules_test_module_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_modules_test_module_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/modules/test_request_id
tests_unit_modules_test_request_id_SOURCES = tests/unit/modules/test_request_id.c tests/unit/conf/conf_test.h
tests_unit_modules_test_request_id_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_modules_test_request_id_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

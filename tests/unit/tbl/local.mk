# SPDX-License-Identifier: Apache-2.0
# Tests of the room `tbl`
check_PROGRAMS += tests/unit/tbl/test_tbl
tests_unit_tbl_test_tbl_SOURCES = tests/unit/tbl/test_tbl.c
tests_unit_tbl_test_tbl_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_tbl_test_tbl_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

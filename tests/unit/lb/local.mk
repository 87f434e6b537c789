# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/lb/test_pick
tests_unit_lb_test_pick_SOURCES = tests/unit/lb/test_pick.c
tests_unit_lb_test_pick_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/lb/test_index
tests_unit_lb_test_index_SOURCES = tests/unit/lb/test_index.c
tests_unit_lb_test_index_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

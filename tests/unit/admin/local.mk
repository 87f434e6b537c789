# SPDX-License-Identifier: Apache-2.0
# Tests of the room `admin`
check_PROGRAMS += tests/unit/admin/test_verbs
tests_unit_admin_test_verbs_SOURCES = tests/unit/admin/test_verbs.c
tests_unit_admin_test_verbs_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_admin_test_verbs_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/admin/test_ctl
tests_unit_admin_test_ctl_SOURCES = tests/unit/admin/test_ctl.c tests/unit/admin/admin_test.h
tests_unit_admin_test_ctl_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_admin_test_ctl_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/admin/test_explain
tests_unit_admin_test_explain_SOURCES = tests/unit/admin/test_explain.c tests/unit/admin/admin_test.h
tests_unit_admin_test_explain_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_admin_test_explain_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/admin/test_web
tests_unit_admin_test_web_SOURCES = tests/unit/admin/test_web.c tests/unit/admin/admin_test.h
tests_unit_admin_test_web_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_admin_test_web_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

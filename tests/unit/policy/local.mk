# SPDX-License-Identifier: Apache-2.0
# Tests of the room `policy`
check_PROGRAMS += tests/unit/policy/test_eval
tests_unit_policy_test_eval_SOURCES = tests/unit/policy/test_eval.c tests/unit/policy/facts.h tests/unit/heapcount.h
tests_unit_policy_test_eval_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_eval_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/policy/test_errors
tests_unit_policy_test_errors_SOURCES = tests/unit/policy/test_errors.c tests/unit/policy/facts.h
tests_unit_policy_test_errors_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_errors_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/policy/test_prop
tests_unit_policy_test_prop_SOURCES = tests/unit/policy/test_prop.c tests/unit/policy/facts.h
tests_unit_policy_test_prop_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_prop_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/policy/test_rules
tests_unit_policy_test_rules_SOURCES = tests/unit/policy/test_rules.c tests/unit/policy/facts.h
tests_unit_policy_test_rules_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_rules_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/policy/test_mac
tests_unit_policy_test_mac_SOURCES = tests/unit/policy/test_mac.c tests/unit/policy/facts.h
tests_unit_policy_test_mac_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_mac_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/policy/test_man
tests_unit_policy_test_man_SOURCES = tests/unit/policy/test_man.c
tests_unit_policy_test_man_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_policy_test_man_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

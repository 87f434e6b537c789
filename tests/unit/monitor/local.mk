# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/monitor/test_judge
tests_unit_monitor_test_judge_SOURCES = tests/unit/monitor/test_judge.c
tests_unit_monitor_test_judge_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

# SPDX-License-Identifier: Apache-2.0
# Unit tests of the room `proc`
check_PROGRAMS += tests/unit/proc/test_manifest
tests_unit_proc_test_manifest_SOURCES = tests/unit/proc/test_manifest.c
tests_unit_proc_test_manifest_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_msg
tests_unit_proc_test_msg_SOURCES = tests/unit/proc/test_msg.c
tests_unit_proc_test_msg_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_sandbox
tests_unit_proc_test_sandbox_SOURCES = tests/unit/proc/test_sandbox.c
tests_unit_proc_test_sandbox_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_tickets
tests_unit_proc_test_tickets_SOURCES = tests/unit/proc/test_tickets.c
tests_unit_proc_test_tickets_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_starved
tests_unit_proc_test_starved_SOURCES = tests/unit/proc/test_starved.c
tests_unit_proc_test_starved_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_guard
tests_unit_proc_test_guard_SOURCES = tests/unit/proc/test_guard.c
tests_unit_proc_test_guard_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_place
tests_unit_proc_test_place_SOURCES = tests/unit/proc/test_place.c
tests_unit_proc_test_place_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/proc/test_buckets
tests_unit_proc_test_buckets_SOURCES = tests/unit/proc/test_buckets.c
tests_unit_proc_test_buckets_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

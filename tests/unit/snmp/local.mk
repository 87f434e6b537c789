# SPDX-License-Identifier: Apache-2.0
# Tests of the room `snmp`
check_PROGRAMS += tests/unit/snmp/test_oid
tests_unit_snmp_test_oid_SOURCES = tests/unit/snmp/test_oid.c
tests_unit_snmp_test_oid_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
check_PROGRAMS += tests/unit/snmp/test_manager
tests_unit_snmp_test_manager_SOURCES = tests/unit/snmp/test_manager.c
tests_unit_snmp_test_manager_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)

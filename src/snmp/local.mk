# SPDX-License-Identifier: Apache-2.0
# Sources of the room `snmp`
libfairlead_a_SOURCES += \
	src/snmp/manager.c src/snmp/manager.h \
	src/snmp/oid.c src/snmp/oid.h \
	src/snmp/poll.c src/snmp/poll.h \
	src/snmp/value.c src/snmp/value.h \
	src/snmp/varbind.c src/snmp/varbind.h

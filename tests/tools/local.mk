# SPDX-License-Identifier: Apache-2.0
#
# tests/tools/local.mk - programs that the end-to-end and chaos tests start (see each one's first lines)

noinst_PROGRAMS += tests/tools/load tests/tools/origin tests/tools/datagrams

tests_tools_load_SOURCES = tests/tools/load.c tests/tools/due.h tests/tools/token.h
tests_tools_load_LDADD = $(OPENSSL_LIBS)
tests_tools_origin_SOURCES = tests/tools/origin.c tests/tools/due.h tests/tools/token.h
tests_tools_datagrams_SOURCES = tests/tools/datagrams.c tests/tools/due.h tests/tools/token.h

# against the library: what the consolidator costs
noinst_PROGRAMS += tests/tools/foldbench
tests_tools_foldbench_SOURCES = tests/tools/foldbench.c
tests_tools_foldbench_LDADD = libfairlead.a $(FL_LIBS)

# SPDX-License-Identifier: Apache-2.0
#
# tests/fuzz/local.mk - fuzz targets
#
# A target is one file with LLVMFuzzerTestOneInput(). Normally it is linked with driver.c, which
# replays tests/fuzz/corpus/NAME/* under `make check`; with --enable-fuzzers (CC=clang) it is
# linked with libFuzzer and is not run by `make check`. For a target fuzz_x:
#
#   FUZZ_TARGETS += tests/fuzz/fuzz_x
#   tests_fuzz_fuzz_x_SOURCES = tests/fuzz/fuzz_x.c $(FUZZ_MAIN)
#   tests_fuzz_fuzz_x_LDADD = libfairlead.a $(FL_LIBS)
#   tests_fuzz_fuzz_x_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS =

FUZZ_TARGETS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c $(FUZZ_MAIN)
tests_fuzz_fuzz_config_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_expr
tests_fuzz_fuzz_expr_SOURCES = tests/fuzz/fuzz_expr.c $(FUZZ_MAIN)
tests_fuzz_fuzz_expr_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_expr_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_h1_request
tests_fuzz_fuzz_h1_request_SOURCES = tests/fuzz/fuzz_h1_request.c tests/fuzz/h1_fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_h1_request_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_h1_request_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_h1_response
tests_fuzz_fuzz_h1_response_SOURCES = tests/fuzz/fuzz_h1_response.c tests/fuzz/h1_fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_h1_response_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_h1_response_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_h1_span
tests_fuzz_fuzz_h1_span_SOURCES = tests/fuzz/fuzz_h1_span.c tests/fuzz/h1_fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_h1_span_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_h1_span_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_chunked
tests_fuzz_fuzz_chunked_SOURCES = tests/fuzz/fuzz_chunked.c tests/fuzz/h1_fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_chunked_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_chunked_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_admin_line
tests_fuzz_fuzz_admin_line_SOURCES = tests/fuzz/fuzz_admin_line.c $(FUZZ_MAIN)
tests_fuzz_fuzz_admin_line_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_admin_line_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz_snmp_text
tests_fuzz_fuzz_snmp_text_SOURCES = tests/fuzz/fuzz_snmp_text.c $(FUZZ_MAIN)
tests_fuzz_fuzz_snmp_text_LDADD = libfairlead.a $(FL_LIBS)
tests_fuzz_fuzz_snmp_text_LDFLAGS = $(AM_LDFLAGS) $(FL_FUZZ_LDFLAGS)

if FL_FUZZERS
FUZZ_MAIN =
noinst_PROGRAMS += $(FUZZ_TARGETS)
else
FUZZ_MAIN = tests/fuzz/driver.c
check_PROGRAMS += $(FUZZ_TARGETS)
endif

# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += src/tbl/tbl.c src/tbl/tbl.h src/tbl/directives.def src/tbl/counters.def \
	src/tbl/states.def src/tbl/events.def src/tbl/errors.def src/tbl/diags.def src/tbl/fields.def \
	src/tbl/h1_reasons.def src/tbl/txn_codes.def src/tbl/tls_reasons.def

# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += src/tbl/tbl.c src/tbl/tbl.h src/tbl/directives.def src/tbl/counters.def \
	src/tbl/states.def src/tbl/events.def src/tbl/errors.def src/tbl/fields.def

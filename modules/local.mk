# SPDX-License-Identifier: Apache-2.0
# One line per module: its sources and its rows.
libfairlead_a_SOURCES += modules/modules.c modules/directives.def modules/counters_vserver.def
libfairlead_a_SOURCES += modules/request_id/request_id.c modules/request_id/directives.def modules/request_id/counters.def

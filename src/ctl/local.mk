# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += src/ctl/client.c src/ctl/ctl.h
bin_fairleadctl_SOURCES += src/ctl/local_verbs.c src/ctl/shm.c src/ctl/snmp_words.c src/ctl/top.c
